"""Published checkpoints as files: a ``.safetensors`` file, a folder, or a repository of the Hugging Face hub.

Only safetensors are read; nothing is ever unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_modules.checkpoints.safetensors import SafetensorsFile
from modalities.errors import CheckpointError
from modalities.layouts import Dense
from modalities.storage.serialization import from_plain
from modalities.tokenizer_specs import ReconstructionLoss, TokenizerTask
from networks.fourm.model import FourM
from networks.pretrained.adapters import FourMAdapter, TokenizerAdapter
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.tokenizer import Tokenizer

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"

EXPORT_METADATA_KEY = "fourm_lab"
"""Key of a file's metadata under which an exported model says what the published config cannot."""

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


@dataclass(frozen=True, kw_only=True)
class CheckpointSource:
    """A published checkpoint, opened."""

    origin: str
    """File, folder or repository, for messages."""
    tensors: SafetensorsFile
    config: Mapping[str, Any]
    export_metadata: Mapping[str, Any] | None
    """Metadata under `EXPORT_METADATA_KEY`; None unless this project exported the file."""


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A 4M model that was read."""

    model: FourM
    export_metadata: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class PublishedTokenizer:
    """A tokenizer that was read."""

    tokenizer: Tokenizer
    task: TokenizerTask
    config: TokenizerConfig


def open_checkpoint(location: Path | str) -> CheckpointSource:
    """Open a published checkpoint.

    Args:
        location: A ``.safetensors`` file, a folder with ``model.safetensors``, or a repository id like ``owner/name``.

    Raises:
        CheckpointError: There is none, it is not safetensors, or it does not say its config.
    """
    path = Path(location)
    if path.suffix in PICKLE_SUFFIXES:
        raise CheckpointError(f"{path} is a pickle, which could run any code; expected a .safetensors file.")
    if path.is_dir():
        weights, config_path = path / WEIGHTS_FILE, path / CONFIG_FILE
    elif path.exists():
        weights, config_path = path, path.with_name(CONFIG_FILE)
    else:
        weights, config_path = _download(str(location))
    if not weights.exists():
        raise CheckpointError(f"{path} has no {WEIGHTS_FILE}; expected a published checkpoint as safetensors.")
    tensors = SafetensorsFile(weights)
    metadata = tensors.metadata
    config = (
        _parse_json(metadata["config"], f"config of {weights}")
        if "config" in metadata
        else _read_config_file(weights, config_path)
    )
    export_metadata = (
        _parse_json(metadata[EXPORT_METADATA_KEY], f"{EXPORT_METADATA_KEY} of {weights}")
        if EXPORT_METADATA_KEY in metadata
        else None
    )
    if not (FourMAdapter.accepts(config) or TokenizerAdapter.accepts(config)):
        raise CheckpointError(
            f"The config of {weights} is neither of a 4M model (it lacks domains_in) nor of a tokenizer "
            "(it lacks codebook_size)."
        )
    return CheckpointSource(origin=str(location), tensors=tensors, config=config, export_metadata=export_metadata)


def read_published_model(source: CheckpointSource) -> PublishedModel:
    """The 4M model of a checkpoint.

    Raises:
        CheckpointError: It is a tokenizer, or a tensor is missing, unknown or of another shape.
    """
    if not FourMAdapter.accepts(source.config):
        raise CheckpointError(f"{source.origin} is a tokenizer, expected a 4M model.")
    if source.export_metadata is None:
        adapter = FourMAdapter.read(source.config, source.tensors)
    else:
        try:
            plain = source.export_metadata
            adapter = from_plain(FourMAdapter, {"streams": plain["streams"], "config": plain["model"]})
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{source.origin} does not describe its model: {error}.") from error
    model = adapter.from_published(source.tensors).eval()
    return PublishedModel(model=model, export_metadata=source.export_metadata)


def read_published_tokenizer(
    source: CheckpointSource, name: str, loss: ReconstructionLoss | None = None, grid: int | None = None
) -> PublishedTokenizer:
    """The tokenizer of a checkpoint.

    Args:
        name: Name of the tokenizer in this project.
        loss: Loss that it was trained with; None if unknown.
        grid: Side of the token grid that it shall work on; None for the one it was trained on.

    Raises:
        CheckpointError: It is a 4M model, or a tensor is missing, unknown or of another shape.
    """
    if not TokenizerAdapter.accepts(source.config):
        raise CheckpointError(f"{source.origin} is a 4M model, expected a tokenizer.")
    if source.export_metadata is None:
        adapter = TokenizerAdapter.read(source.config, source.tensors, name, loss)
        layout = adapter.task.layout
        if grid is not None and isinstance(layout, Dense):
            layout = replace(layout, size=grid * layout.patch)
            adapter = replace(adapter, task=replace(adapter.task, layout=layout))
    else:
        try:
            adapter = from_plain(
                TokenizerAdapter,
                {"task": source.export_metadata["task"], "config": source.export_metadata["config"]},
            )
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{source.origin} does not describe its tokenizer: {error}.") from error
    tokenizer = adapter.from_published(source.tensors)
    return PublishedTokenizer(tokenizer=tokenizer, task=adapter.task, config=adapter.config)


def _read_config_file(weights: Path, path: Path) -> dict[str, Any]:
    if not path.exists():
        raise CheckpointError(f"{weights} has no config in its metadata, and there is no {CONFIG_FILE} beside it.")
    return _parse_json(path.read_text(), str(path))


def _parse_json(text: str, label: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"The {label} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"The {label} is not an object.")
    return content


def _download(repository: str) -> tuple[Path, Path]:
    """The files of a hub repository, from its cache where they are there."""
    if repository.count("/") != 1 or repository.startswith((".", "/")):
        raise CheckpointError(f"There is no file or folder {repository}.")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise CheckpointError(
            f"There is no file or folder {repository}; to fetch the repository of that name, install huggingface_hub."
        ) from None
    try:
        weights = Path(hf_hub_download(repository, WEIGHTS_FILE))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"There is no file or folder {repository}, and the hub did not give it: {first}"
        ) from error
    try:
        config = Path(hf_hub_download(repository, CONFIG_FILE))
    except (EntryNotFoundError, OSError):
        config = weights.with_name(CONFIG_FILE)
    return weights, config
