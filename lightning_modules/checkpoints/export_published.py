"""Export of a model's folder as a published checkpoint that the reference can load, with its tokenizers."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import TEXT_TOKENIZER_FILE, TOKENIZERS_FOLDER, LoadedModel, load_model
from lightning_modules.checkpoints.published import CONFIG_FILE, EXPORT_METADATA_KEY, WEIGHTS_FILE
from lightning_modules.checkpoints.safetensors import write_safetensors
from lightning_modules.checkpoints.tokenizer import TrainedTokenizer
from modalities.errors import CheckpointError
from modalities.storage.atomic import atomic_folder
from modalities.storage.serialization import to_plain
from networks.fourm.config import FourMConfig
from networks.pretrained.adapters import FourMAdapter, TokenizerAdapter
from networks.pretrained.fourm_weights import unsupported_settings
from networks.pretrained.names import PUBLISHED_MODALITIES, published_stream_name
from networks.streams import TokenStream


def export_checkpoint(source: Path, out: Path, arm: str | None = None, seed: int | None = None) -> list[str]:
    """Write a model in the published format.

    Args:
        source: The model's folder, or an ablation's.
        arm: Arm of the ablation, see `find_model`.
        seed: Seed of the model, see `find_model`.

    Returns:
        Lines to print.

    Raises:
        CheckpointError: The format cannot express the model; the message names the setting.
        DataError: There is no model, or the folder cannot be written.
    """
    folder = find_model(source, arm, seed)
    loaded = load_model(folder)
    config, tensors = FourMAdapter.to_published(loaded.model)
    lines = [f"{len(tensors)} tensors in {out / WEIGHTS_FILE}."]
    with atomic_folder(out) as partial:
        _write_checkpoint(partial, tensors, config, _project_metadata(loaded))
        if loaded.text_tokenizer is not None:
            shutil.copy(folder / TEXT_TOKENIZER_FILE, partial / TEXT_TOKENIZER_FILE)
        for name, item in loaded.tokenizers.items():
            lines += _export_tokenizer(partial / TOKENIZERS_FOLDER / name, name, item)
    unknown = [
        stream.name
        for stream in loaded.streams
        if published_stream_name(stream).partition("@")[0] not in PUBLISHED_MODALITIES
    ]
    restricted = [stream.name for stream in loaded.streams if isinstance(stream, TokenStream) and stream.predictable]
    if restricted:
        lines.append(
            f"The heads of {', '.join(restricted)} were trained on the ids that occur in training data. Read back here "
            "they still choose among these; the published code gives every id of the vocabulary a probability."
        )
    if unknown:
        lines.append(f"The published code knows no modality like {', '.join(unknown)}; this project reads them back.")
    return lines


def export_limits(config: FourMConfig) -> list[str]:
    """One line for each setting of a model that will keep it from being exported."""
    return [
        f"Models of this config cannot be exported to the published format: {reason}"
        for reason in unsupported_settings(config)
    ]


def _export_tokenizer(folder: Path, name: str, item: TrainedTokenizer) -> list[str]:
    try:
        config, tensors = TokenizerAdapter(task=item.task, config=item.config).to_published(item.tokenizer)
    except CheckpointError as error:
        return [f"Tokenizer {name} is left out: {error}"]
    folder.mkdir(parents=True)
    metadata = {"task": to_plain(item.task), "config": to_plain(item.config)}
    _write_checkpoint(folder, tensors, config, metadata)
    return []


def _write_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    text = json.dumps(config)
    write_safetensors(
        folder / WEIGHTS_FILE, tensors, {"format": "pt", "config": text, EXPORT_METADATA_KEY: json.dumps(metadata)}
    )
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n")


def _project_metadata(loaded: LoadedModel) -> dict[str, Any]:
    """The settings that the published config cannot express."""
    return {
        "streams": to_plain(loaded.streams),
        "model": to_plain(loaded.model.config),
        "modalities": list(loaded.modalities),
        "scale": to_plain(loaded.scale),
        "variants": to_plain(loaded.variants),
        "card": loaded.card,
    }
