"""From a model's folder to a published checkpoint that the reference can load, with its tokenizers beside it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import LoadedModel, load_model
from lightning_modules.checkpoints.published import CONFIG_FILE, EXPORT_METADATA_KEY, WEIGHTS_FILE
from lightning_modules.checkpoints.safetensors import write_safetensors
from lightning_modules.checkpoints.tokenizer import TrainedTokenizer
from modalities.errors import CheckpointError
from modalities.storage.atomic import atomic_folder
from modalities.storage.serialization import to_plain
from networks.pretrained.adapters import FourMAdapter, TokenizerAdapter
from networks.pretrained.names import PUBLISHED_MODALITIES, published_stream_name


def export_checkpoint(source: Path, out: Path, arm: str | None = None, seed: int | None = None) -> list[str]:
    """Write the model of ``run`` in the published format; answers with lines for a person.

    Raises:
        CheckpointError: The model has what the format has no place for; the message names it.
        DataError: There is no model, or the folder cannot be written.
    """
    folder = find_model(source, arm, seed)
    loaded = load_model(folder)
    config, tensors = FourMAdapter.to_published(loaded.model)
    lines = [f"{len(tensors)} tensors in {out / WEIGHTS_FILE}."]
    with atomic_folder(out) as partial:
        _write_checkpoint(partial, tensors, config, _project_metadata(loaded))
        if loaded.text_tokenizer is not None:
            shutil.copy(folder / "text_tokenizer.json", partial / "text_tokenizer.json")
        for name, item in loaded.tokenizers.items():
            lines += _export_tokenizer(partial / "tokenizers" / name, name, item)
    unknown = [
        stream.name
        for stream in loaded.streams
        if published_stream_name(stream).partition("@")[0] not in PUBLISHED_MODALITIES
    ]
    if unknown:
        lines.append(f"The published code knows no modality like {', '.join(unknown)}; this project reads them back.")
    return lines


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
    """What the published config cannot say; nothing where the model came from a published checkpoint as it is."""
    return {
        "streams": to_plain(loaded.streams),
        "model": to_plain(loaded.model.config),
        "modalities": list(loaded.modalities),
        "scale": to_plain(loaded.scale),
        "variants": to_plain(loaded.variants),
        "card": loaded.card,
    }
