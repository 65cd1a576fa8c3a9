"""Warm starts: weights, text tokenizer and fitting tokenizers that a run takes from a model's folder."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.checkpoints.model import (
    TEXT_TOKENIZER_FILE,
    TOKENIZERS_FOLDER,
    WEIGHTS_FILE,
    file_fingerprint,
    load_model,
)
from lightning_modules.checkpoints.tokenizer import load_tokenizer, tokenizer_fingerprint
from lightning_modules.fourm import FourMModule
from modalities.errors import CheckpointError, DataError
from modalities.storage.serialization import find_differences, to_plain
from modalities.tokenizer_specs import TokenizerTask
from networks.pretrained.warm_start import warm_start

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """A model's folder, and the hashes of its content for the signatures of stages."""

    folder: Path
    weights_hash: str
    """Hash of the weights."""
    text_hash: str | None
    """Hash of the text tokenizer; None where the folder has none."""
    tokenizer_fingerprints: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the learned tokenizers that are of the run's own tasks."""

    def tokenizer_folder(self, name: str) -> Path:
        """The folder of one of its learned tokenizers."""
        return self.folder / TOKENIZERS_FOLDER / name


def load_initial_weights(module: FourMModule, path: str) -> None:
    """Start a module from the weights of a model's folder; a line of the log says which do not fit.

    Raises:
        CheckpointError: None fits, or the folder is incomplete.
    """
    weights = warm_start(module.model, load_model(Path(path)).model)
    if not weights.taken:
        raise CheckpointError(f"No weight of training.start_from={path} fits this run's model: set model.size to its.")
    log.warning("Training starts from %s: %s.", path, weights)


def load_warm_start(path: str | None, tasks: dict[str, TokenizerTask]) -> WarmStart | None:
    """Read what a run with these tokenizer tasks takes from the model's folder ``path``; None without a path.

    Raises:
        CheckpointError: The folder is incomplete.
        DataError: The path is not a model's folder.
    """
    if path is None:
        return None
    folder = Path(path)
    if not (folder / WEIGHTS_FILE).is_file():
        raise DataError(f"training.start_from is {path}, which is no model's folder: it has no {WEIGHTS_FILE}.")
    text = folder / TEXT_TOKENIZER_FILE
    return WarmStart(
        folder=folder,
        weights_hash=file_fingerprint(folder / WEIGHTS_FILE),
        text_hash=file_fingerprint(text) if text.exists() else None,
        tokenizer_fingerprints={
            name: tokenizer_fingerprint(folder / TOKENIZERS_FOLDER / name)
            for name, task in tasks.items()
            if (folder / TOKENIZERS_FOLDER / name).is_dir() and _is_same_task(folder / TOKENIZERS_FOLDER / name, task)
        },
    )


def _is_same_task(folder: Path, task: TokenizerTask) -> bool:
    """True if the tokenizer has the same layout, codebook and loss."""
    return not find_differences(to_plain(task), to_plain(load_tokenizer(folder).task), ignored=("members",))
