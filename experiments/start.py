"""What a run that starts from a model's folder takes from it: weights, the text tokenizer, fitting tokenizers."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.checkpoint import TEXT, TOKENIZERS, WEIGHTS
from lightning_modules.records import to_plain
from lightning_modules.tokenizer_folder import differences, fingerprint_of, load_tokenizer
from modalities.errors import CheckpointError, DataError
from modalities.spec import TokenizerTask


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model's folder, and what makes a result another one when it changes."""

    folder: Path
    weights: str
    """Hash of the weights."""
    text: str | None
    """Hash of the text tokenizer; None where the folder has none."""
    tokenizers: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the learnt tokenizers that are of the run's own tasks."""


def start_of(place: str | None, tasks: dict[str, TokenizerTask]) -> Start | None:
    """What a run of these tokenizer tasks takes from the folder ``place``; None where it starts afresh.

    Raises:
        CheckpointError: The folder is incomplete.
        DataError: It is no model's folder.
    """
    if place is None:
        return None
    folder = Path(place)
    if not (folder / WEIGHTS).is_file():
        raise DataError(f"training.start_from is {place}, which is no model's folder: it has no {WEIGHTS}.")
    text = folder / TEXT
    return Start(
        folder=folder,
        weights=_hash(folder / WEIGHTS),
        text=_hash(text) if text.exists() else None,
        tokenizers={
            name: fingerprint_of(folder / TOKENIZERS / name)
            for name, task in tasks.items()
            if (folder / TOKENIZERS / name).is_dir() and _fits(folder / TOKENIZERS / name, task)
        },
    )


def _fits(folder: Path, task: TokenizerTask) -> bool:
    """True where the tokenizer is of the same values, codes and loss."""
    return not differences(to_plain(task), to_plain(load_tokenizer(folder).task))


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 24):
                digest.update(part)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    return digest.hexdigest()[:16]
