"""Pretrained models as folders: found on disk or on the Hub, hashed, and loaded by transformers without torchvision."""

import functools
import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modalities.errors import ConfigError, DataError
from modalities.storage.atomic import read_json_object

WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.onnx", "*.tflite")
HUB_PATTERNS = ["*.json", "*.txt", "*.safetensors", "*.model", "README.md"]
"""Files of a model that are fetched from the Hub."""
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in evaluation mode, and what prepares its inputs."""

    model: Any
    processor: Any
    device: torch.device


def import_extra(module: str, purpose: str) -> Any:
    """A module of the extra ``experts``.

    Raises:
        ConfigError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the package {module.partition('.')[0]}: pip install 'fourm-lab[experts]'."
        ) from error


def find_model(model: str) -> Path:
    """The folder of a model: a local one, or the copy of one on the Hub.

    Raises:
        ConfigError: There is neither; the message says what to do.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ConfigError(f"{folder} has no config.json: expected a model's folder as transformers saves it.")
        return folder
    if folder.is_absolute() or model.count("/") != 1:
        raise ConfigError(f"There is no folder {model}: expected a model's folder, or a name on the Hub, OWNER/MODEL.")
    hub = import_extra("huggingface_hub", f"Fetching {model} from the Hub")
    try:
        return Path(hub.snapshot_download(model, allow_patterns=HUB_PATTERNS))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{model} is no folder here, and the Hub does not give it ({type(error).__name__}: {reason}). "
            "Copy the model's folder here and name that."
        ) from error


def read_model_config(folder: Path) -> dict[str, Any]:
    """The model's configuration.

    Raises:
        DataError: It is damaged.
    """
    return read_json_object(folder / "config.json")


def read_model_license(folder: Path) -> str:
    """The licence in the header of the model's card; `UNKNOWN_LICENSE` where it says none."""
    card = folder / "README.md"
    lines = card.read_text(encoding="utf-8").splitlines() if card.exists() else []
    for line in lines[1:] if lines[:1] == ["---"] else []:
        if line.strip() == "---":
            break
        name, _, value = line.partition(":")
        if name.strip() == "license" and value.strip():
            return value.strip()
    return UNKNOWN_LICENSE


@functools.lru_cache(maxsize=32)
def hash_weights(place: Path) -> str:
    """A hash of a model: of one file, or of the weights in a folder and the JSON files that say how they are used.

    Raises:
        DataError: The folder has none.
    """
    files = [place] if place.is_file() else sorted(path for item in WEIGHT_PATTERNS for path in place.glob(item))
    if not files:
        raise DataError(f"{place} has no weights: expected one of {', '.join(WEIGHT_PATTERNS)}.")
    settings = [] if place.is_file() else sorted(place.glob("*.json"))
    total = hashlib.sha256()
    for path in [*files, *settings]:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def choose_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is the GPU where there is one.

    Raises:
        ConfigError: There is no such device.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"There is no device {device!r} here: {' '.join(str(error).split())[:120]}.") from error


@functools.lru_cache(maxsize=4)
def load_model(folder: Path, model_class: str, processor_class: str, device: str) -> LoadedModel:
    """Load a model of transformers and its processor; both are kept for the next call.

    Args:
        model_class: Name of a class of transformers with `from_pretrained`.
        processor_class: The same of its processor or tokenizer; empty for none.

    Raises:
        ConfigError: transformers is missing, or lacks the class.
        DataError: The folder lacks weights of the model, or is damaged.
    """
    transformers = import_extra("transformers", f"The model {folder}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, info = _read(
        folder, lambda: _class(transformers, model_class).from_pretrained(folder, output_loading_info=True)
    )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise DataError(
            f"{folder} lacks {len(missing)} weights of {type(model).__name__}, such as {missing[0]}: "
            "it was saved from another kind of model."
        )
    options = {"backend": "pil"} if processor_class == "AutoImageProcessor" else {}
    processor = (
        _read(folder, lambda: _class(transformers, processor_class).from_pretrained(folder, **options))
        if processor_class
        else None
    )
    chosen = choose_device(device)
    return LoadedModel(model=model.eval().to(chosen), processor=processor, device=chosen)


def _class(transformers: Any, name: str) -> Any:
    try:
        return getattr(transformers, name)
    except AttributeError as error:
        raise ConfigError(
            f"transformers {transformers.__version__} has no {name}: pip install --upgrade transformers."
        ) from error


def _read(folder: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, json.JSONDecodeError) as error:
        raise DataError(f"{folder} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
