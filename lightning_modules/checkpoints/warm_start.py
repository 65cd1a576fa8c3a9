"""What a run that starts from a model's folder takes from it: weights, the text tokenizer, fitting tokenizers."""

from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.checkpoints.model import TEXT_TOKENIZER_FILE, TOKENIZERS_FOLDER, WEIGHTS_FILE, file_fingerprint
from lightning_modules.checkpoints.tokenizer import load_tokenizer, tokenizer_fingerprint
from modalities.errors import DataError
from modalities.storage.serialization import find_differences, to_plain
from modalities.tokenizer_specs import TokenizerTask


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """A model's folder, and what makes a result another one when it changes."""

    folder: Path
    weights_hash: str
    """Hash of the weights."""
    text_hash: str | None
    """Hash of the text tokenizer; None where the folder has none."""
    tokenizer_fingerprints: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the learnt tokenizers that are of the run's own tasks."""


def load_warm_start(path: str | None, tasks: dict[str, TokenizerTask]) -> WarmStart | None:
    """What a run of these tokenizer tasks takes from the folder ``place``; None where it starts afresh.

    Raises:
        CheckpointError: The folder is incomplete.
        DataError: It is no model's folder.
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
    """True where the tokenizer is of the same values, codes and loss."""
    return not find_differences(to_plain(task), to_plain(load_tokenizer(folder).task), ignored=("members",))
