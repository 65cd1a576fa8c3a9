"""A trained model as a folder that needs nothing else: weights, config, text tokenizer and learnt tokenizers."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lightning_modules.data.shards import whole_folder
from lightning_modules.records import from_plain, to_plain
from lightning_modules.tokenizer_folder import TrainedTokenizer, load_tokenizer
from modalities.errors import CheckpointError
from modalities.spec import Scale
from networks.fourm import FourM, FourMConfig
from networks.streams import Stream
from networks.tokenizers.text import TextTokenizer

WEIGHTS, CONFIG, TEXT, CARD, TOKENIZERS = (
    "model.safetensors",
    "config.json",
    "text_tokenizer.json",
    "card.json",
    "tokenizers",
)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model as it comes out of its folder, in evaluation mode on the CPU."""

    model: FourM
    streams: tuple[Stream, ...]
    modalities: tuple[str, ...]
    scale: Scale
    text: TextTokenizer
    tokenizers: dict[str, TrainedTokenizer]
    fingerprints: dict[str, str]
    card: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Config:
    streams: tuple[Stream, ...]
    model: FourMConfig
    modalities: tuple[str, ...]
    scale: Scale
    fingerprints: dict[str, str]


def save_model(
    folder: Path,
    model: FourM,
    *,
    modalities: Sequence[str],
    scale: Scale,
    text: TextTokenizer,
    fingerprints: Mapping[str, str],
    tokenizers: Mapping[str, Path],
    card: Mapping[str, Any],
) -> None:
    """Write a model's folder, whole or not at all.

    Args:
        fingerprints: Of the tokenizers, by stream.
        tokenizers: Folders of the learnt ones, by task; they are copied.

    Raises:
        DataError: The folder cannot be written.
    """
    config = _Config(
        streams=model.streams,
        model=model.config,
        modalities=tuple(modalities),
        scale=scale,
        fingerprints=dict(fingerprints),
    )
    with whole_folder(folder) as partial:
        # Tied tables are one parameter under several names, which the format does not take.
        kept = dict(model.named_parameters(remove_duplicate=True))
        save_file({name: value.detach().cpu().contiguous() for name, value in kept.items()}, partial / WEIGHTS)
        (partial / CONFIG).write_text(json.dumps(to_plain(config), indent=1) + "\n")
        (partial / TEXT).write_text(text.to_json())
        (partial / CARD).write_text(json.dumps(dict(card), indent=1) + "\n")
        for name, path in tokenizers.items():
            shutil.copytree(path, partial / TOKENIZERS / name)


def load_model(folder: Path, expected: Sequence[str] | None = None) -> LoadedModel:
    """The model in ``folder``.

    Args:
        expected: Modalities that it must be of; None takes any.

    Raises:
        CheckpointError: A file is missing or damaged, or the model is of other modalities; the message names which.
    """
    config = _config(folder)
    if expected is not None and set(expected) != set(config.modalities):
        raise CheckpointError(
            f"{folder} is a model of {', '.join(config.modalities)}; expected one of {', '.join(expected)}."
        )
    model = FourM(config.streams, config.model)
    _load_weights(model, folder / WEIGHTS)
    try:
        text = TextTokenizer.from_json((folder / TEXT).read_text())
        card = json.loads((folder / CARD).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is incomplete: {error}.") from error
    found = sorted((folder / TOKENIZERS).iterdir()) if (folder / TOKENIZERS).is_dir() else []
    return LoadedModel(
        model=model.eval(),
        streams=config.streams,
        modalities=config.modalities,
        scale=config.scale,
        text=text,
        tokenizers={path.name: load_tokenizer(path) for path in found},
        fingerprints=config.fingerprints,
        card=card,
    )


def _config(folder: Path) -> _Config:
    path = folder / CONFIG
    try:
        return from_plain(_Config, json.loads(path.read_text()))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: {folder} is not a model's folder.") from None
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


def _load_weights(model: FourM, path: Path) -> None:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    own = dict(model.named_parameters(remove_duplicate=True))
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unknown:
        raise CheckpointError(f"{path} lacks {missing[:3] or 'nothing'} and has unknown {unknown[:3] or 'nothing'}.")
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise CheckpointError(f"{path}: {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}.")
        own[name].data.copy_(value)
