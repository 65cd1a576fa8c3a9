"""A trained model as a self-contained folder: weights, config, text tokenizer, learned tokenizers and card.

An imported model may lack tokenizers; operations that need one say so.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.checkpoints.safetensors import SafetensorsFile, write_safetensors
from lightning_modules.checkpoints.tokenizer import TrainedTokenizer, load_tokenizer
from modalities.errors import CheckpointError, DataError
from modalities.layouts import ScaleConfig
from modalities.registry import Registry
from modalities.spec import Modality, SequenceModality, learned_tokenizer
from modalities.storage.atomic import read_json_object
from modalities.storage.serialization import from_plain, to_plain
from modalities.variants import ModalityVariant
from networks.fourm.config import FourMConfig
from networks.fourm.model import FourM
from networks.streams import Stream
from networks.tokenizers.codec import Codec
from networks.tokenizers.text import TextTokenizer

WEIGHTS_FILE, CONFIG_FILE, TEXT_TOKENIZER_FILE, CARD_FILE, TOKENIZERS_FOLDER = (
    "model.safetensors",
    "config.json",
    "text_tokenizer.json",
    "card.json",
    "tokenizers",
)

UNKNOWN_FINGERPRINT = "published"
"""Placeholder for the fingerprint of a tokenizer that was not imported with its model."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model loaded from its folder, in evaluation mode on the CPU."""

    model: FourM
    streams: tuple[Stream, ...]
    modalities: tuple[str, ...]
    scale: ScaleConfig
    variants: dict[str, ModalityVariant]
    text_tokenizer: TextTokenizer | None
    """None where the model was imported without one."""
    tokenizers: dict[str, TrainedTokenizer]
    fingerprints: dict[str, str]
    card: dict[str, Any]

    def build_modalities(self, registry: Registry) -> dict[str, Modality]:
        """The model's modalities, at its sizes.

        Raises:
            UnknownNameError: One is not installed.
        """
        return {name: self._build_modality(name, registry) for name in self.modalities}

    def codec(self, registry: Registry, names: Collection[str] | None = None) -> Codec:
        """Encoder and decoder of the model's modalities.

        Args:
            names: Some of the modalities; None for all.

        Raises:
            UnknownNameError: A modality is not installed.
        """
        modalities = self.build_modalities(registry)
        return Codec(
            modalities={name: item for name, item in modalities.items() if names is None or name in names},
            tokenizers={name: item.tokenizer for name, item in self.tokenizers.items()},
            text_tokenizer=self.text_tokenizer,
        )

    def missing_option(self, modality: Modality) -> str | None:
        """The import option that would have brought the tokenizer of a modality; None if the folder has it."""
        learned = learned_tokenizer(modality)
        if learned is not None and learned.tokenizer.name not in self.tokenizers:
            return f"--tokenizer {learned.tokenizer.name}=PATH"
        if isinstance(modality, SequenceModality) and self.text_tokenizer is None:
            return "--text-tokenizer FILE"
        return None

    def require_tokenizers(self, modality: Modality) -> None:
        """Check that the folder has every tokenizer of a modality.

        Raises:
            DataError: One is missing; the message names the import option that brings it.
        """
        option = self.missing_option(modality)
        if option is not None:
            raise DataError(
                f"{modality.name!r} needs a tokenizer that this model was imported without: "
                f"run fourm import-checkpoint again with {option}."
            )

    def _build_modality(self, name: str, registry: Registry) -> Modality:
        variant = self.variants.get(name)
        if variant is None:
            return registry[name].scaled(self.scale)
        return variant.build_modality(name, registry)


@dataclass(frozen=True, kw_only=True)
class _ModelFolderConfig:
    streams: tuple[Stream, ...]
    model: FourMConfig
    modalities: tuple[str, ...]
    scale: ScaleConfig
    fingerprints: dict[str, str]
    variants: dict[str, ModalityVariant] = field(default_factory=dict)
    has_text: bool = True


def save_model(
    folder: Path,
    model: FourM,
    *,
    modalities: Sequence[str],
    scale: ScaleConfig,
    text: TextTokenizer | None,
    fingerprints: Mapping[str, str],
    tokenizers: Mapping[str, Path],
    card: Mapping[str, Any],
    variants: Mapping[str, ModalityVariant] | None = None,
) -> None:
    """Write a model's files into a folder. Atomicity is the caller's: see `modalities.storage.atomic.atomic_folder`.

    Args:
        fingerprints: Fingerprints of the tokenizers, by stream.
        tokenizers: Folders of the learned tokenizers, by task; they are copied.
        variants: Modalities whose sizes differ from those of the scale.

    Raises:
        DataError: The folder cannot be written.
    """
    config = _ModelFolderConfig(
        streams=model.streams,
        model=model.config,
        modalities=tuple(modalities),
        scale=scale,
        fingerprints=dict(fingerprints),
        variants=dict(variants or {}),
        has_text=text is not None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    # Tied tables are one parameter under several names, which the format does not take.
    parameters = dict(model.named_parameters(remove_duplicate=True))
    write_safetensors(folder / WEIGHTS_FILE, parameters)
    (folder / CONFIG_FILE).write_text(json.dumps(to_plain(config), indent=1) + "\n")
    if text is not None:
        (folder / TEXT_TOKENIZER_FILE).write_text(text.to_json())
    (folder / CARD_FILE).write_text(json.dumps(dict(card), indent=1) + "\n")
    for name, path in tokenizers.items():
        shutil.copytree(path, folder / TOKENIZERS_FOLDER / name)


def load_model(folder: Path, expected: Sequence[str] | None = None) -> LoadedModel:
    """Load the model in ``folder``.

    Args:
        expected: Modalities that the model must have; None accepts any.

    Raises:
        CheckpointError: A file is missing or damaged, the model has other modalities, or a tokenizer is not the one
            that the model was trained with; the message names which.
    """
    config = _read_config(folder)
    if expected is not None and set(expected) != set(config.modalities):
        raise CheckpointError(
            f"{folder} is a model of {', '.join(config.modalities)}; expected one of {', '.join(expected)}."
        )
    model = FourM(config.streams, config.model, initialized=False)
    _load_weights(model, folder / WEIGHTS_FILE)
    card = read_json_object(folder / CARD_FILE, CheckpointError)
    try:
        text = TextTokenizer.from_json((folder / TEXT_TOKENIZER_FILE).read_text()) if config.has_text else None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is incomplete: {error}.") from error
    return LoadedModel(
        model=model.eval(),
        streams=config.streams,
        modalities=config.modalities,
        scale=config.scale,
        variants=config.variants,
        text_tokenizer=text,
        tokenizers=_load_tokenizers(folder / TOKENIZERS_FOLDER, config.fingerprints),
        fingerprints=config.fingerprints,
        card=card,
    )


def file_fingerprint(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file's content.

    Raises:
        CheckpointError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


def _load_tokenizers(folder: Path, fingerprints: Mapping[str, str]) -> dict[str, TrainedTokenizer]:
    """Load the tokenizers in ``folder``, and compare each with the one that the model was trained with."""
    found = {path.name: load_tokenizer(path) for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    for name, item in found.items():
        if item.task.name != name:
            raise CheckpointError(
                f"{folder / name} holds the tokenizer {item.task.name!r} ({item.fingerprint}), expected {name!r}: "
                "copy the model's own back."
            )
        for member in item.task.members:
            # A sequence's fingerprint is followed by its text tokenizer's.
            expected = fingerprints.get(member, UNKNOWN_FINGERPRINT).split("+")[0]
            if expected not in (UNKNOWN_FINGERPRINT, item.fingerprint):
                raise CheckpointError(
                    f"{folder / name} holds a tokenizer {name!r} with the fingerprint {item.fingerprint}, expected "
                    f"{expected}, with which the model was trained: copy the model's own back."
                )
    return found


def _read_config(folder: Path) -> _ModelFolderConfig:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: {folder} is not a model's folder.")
    content = read_json_object(path, CheckpointError)
    if "domains_in" in content:
        raise CheckpointError(f"{folder} is a published checkpoint: run fourm import-checkpoint {folder} OUT first.")
    try:
        return from_plain(_ModelFolderConfig, content)
    except ValueError as error:
        raise CheckpointError(f"{path} does not describe a model: {error}.") from error


def _load_weights(model: FourM, path: Path) -> None:
    weights = SafetensorsFile(path)
    own_parameters = dict(model.named_parameters(remove_duplicate=True))
    missing, unknown = sorted(own_parameters.keys() - set(weights)), sorted(set(weights) - own_parameters.keys())
    if missing or unknown:
        raise CheckpointError(f"{path} lacks {missing[:3] or 'nothing'} and has unknown {unknown[:3] or 'nothing'}.")
    for name in weights:
        found, expected = weights.shape(name), tuple(own_parameters[name].shape)
        if found != expected:
            raise CheckpointError(f"{path}: {name} has shape {found}, expected {expected}.")
        own_parameters[name].data.copy_(weights[name])
