"""The files of a folder by modality and sample: aligned by their path below the modality's folder, without the type."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from modalities.errors import DataError
from modalities.sources.remote import FileEntry
from modalities.sources.splits import SPLIT_ALIASES
from modalities.storage.files import IMAGE_SUFFIXES

KNOWN_SUFFIXES = frozenset(
    (*IMAGE_SUFFIXES, ".npy", ".npz", ".json", ".jsonl", ".txt", ".wav", ".flac", ".ogg", ".mp3", ".avif")
)
"""Types of files that may hold a value. A file of another type is not a sample's, but is counted."""

TABLE_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of tables, as Hugging Face's ImageFolder has them."""

LINES_SUFFIX = ".jsonl"
"""Type of a file with a sample a line, beside the folders of other modalities."""

_IGNORED = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"))
"""Files and folders that systems leave behind, in lower case. Names that begin with a dot are ignored too."""


@dataclass(frozen=True, kw_only=True)
class FolderPart:
    """The files of one split's folder, or of the whole folder: names below it, and where they lie."""

    prefix: str
    """The split's folder with a slash, or empty."""
    entries: Mapping[str, FileEntry]
    """Files by their name below the prefix."""

    @property
    def tables(self) -> list[str]:
        """Names of metadata tables."""
        return [name for name in TABLE_NAMES if name in self.entries]


def visible_entries(entries: Iterable[FileEntry]) -> list[FileEntry]:
    """The files that a person put there: none that is hidden or that a system leaves behind."""
    return [
        entry
        for entry in entries
        if not any(part.startswith(".") or part.lower() in _IGNORED for part in entry.name.split("/"))
    ]


def split_folders(
    entries: Iterable[FileEntry], modality_folders: Iterable[str], origin: str
) -> tuple[dict[str, FolderPart], list[str]]:
    """The parts of a folder by split, where it has folders train/, validation/ (val/) or test/; else one named "".

    Besides, the names of the files that are in no part.

    Raises:
        DataError: Two folders are of one split, or a modality's folder lies beside them.
    """
    taken = set(modality_folders)
    parts: dict[str, dict[str, FileEntry]] = {}
    rest: dict[str, FileEntry] = {}
    for entry in entries:
        top, _, name = entry.name.partition("/")
        if name and top.lower() in SPLIT_ALIASES and top not in taken:
            parts.setdefault(top, {})[name] = entry
        else:
            rest[entry.name] = entry
    if not parts:
        return {"": FolderPart(prefix="", entries=rest)}, []
    beside = sorted({name.partition("/")[0] for name in rest if "/" in name} & taken)
    if beside:
        raise DataError(
            f"{origin} has folders of splits ({', '.join(sorted(parts))}) and {beside[0]!r} beside them: expected the "
            "modalities' folders in each split's."
        )
    found: dict[str, FolderPart] = {}
    for top in sorted(parts):
        split = SPLIT_ALIASES[top.lower()]
        if split in found:
            raise DataError(f"{origin} has two folders of the split {split}: {found[split].prefix} and {top}/.")
        found[split] = FolderPart(prefix=f"{top}/", entries=parts[top])
    return found, list(rest)


def modality_files(
    part: FolderPart, folder: str, origin: str, suffix: str
) -> tuple[dict[str, FileEntry], Counter[str]]:
    """The files of a modality's folder by sample, and how many there are of types that hold no values.

    Args:
        folder: Name of the folder below the part.
        origin: Names the data in messages.
        suffix: Type of the modality's own files, which is known in any case.

    Raises:
        DataError: Two files are of one sample.
    """
    found: dict[str, FileEntry] = {}
    unknown: Counter[str] = Counter()
    start = f"{folder.strip('/')}/"
    for name, entry in part.entries.items():
        if not name.startswith(start):
            continue
        path = PurePosixPath(name.removeprefix(start))
        if path.suffix.lower() not in KNOWN_SUFFIXES and path.suffix.lower() != suffix:
            unknown[path.suffix.lower() or "no type"] += 1
            continue
        key = sample_key(str(path.with_suffix("")))
        if key in found:
            raise DataError(
                f"{origin} has two files of the sample {key!r} in {part.prefix}{folder}: "
                f"{PurePosixPath(found[key].name).name} and {path.name}. Keep one, or move the other to a folder of "
                "its own modality."
            )
        found[key] = entry
    return found, unknown


def sample_key(stem: str) -> str:
    """A sample's key: accents are composed, as file systems differ in how they store them."""
    return unicodedata.normalize("NFC", stem)
