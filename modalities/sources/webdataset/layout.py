"""Which archives a set of tars has: its splits, its shards, and the folders that hold modalities."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modalities.errors import ConfigError, DataError
from modalities.sources.remote import FileEntry, Storage, split_place
from modalities.sources.splits import SPLIT_ALIASES

_TAR = ".tar"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_MODALITY = "{modality}"
_PATTERN_PARTS = re.compile(r"\{modality\}|\{(\d+)\.\.(\d*)\}|[\[{]([^\]}]*)[\]}]")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The archives that hold the same samples."""

    name: str
    """Path of the archives without the modality's folder and the suffix: ``train/shard-00000``."""
    split: str
    """Split that its folder stands for; empty where no folder does."""
    tars: Mapping[str, FileEntry]
    """Archive of each modality's folder; under the empty name the one archive that holds all of them."""


def split_pattern(place: str) -> tuple[str, str]:
    """The folder before the first part of a path or URL with a pattern in it, and the pattern, which may be empty.

    A pattern has ranges ``{00000..00010}``, alternatives ``[rgb,depth]`` or ``{modality}``. An archive's own path is
    a pattern too.
    """
    special = re.search(r"[\[{]", place)
    if special is None:
        return split_place(place) if place.lower().endswith(_TAR) else (place, "")
    cut = place.rfind("/", 0, special.start())
    return (place[:cut] or "/", place[cut + 1 :]) if cut >= 0 else (".", place)


def find_shards(storage: Storage, pattern: str = "") -> tuple[Shard, ...]:
    """Every shard of a folder whose archives fit a pattern, in the order of the names.

    Raises:
        DataError: There are no archives, they lie too deep, or some lie in folders of modalities and others do not.
        ConfigError: The pattern has another form.
    """
    entries = [entry for entry in storage.walk() if not _is_hidden(entry.name)]
    compressed = next((entry.name for entry in entries if entry.name.lower().endswith(_COMPRESSED)), None)
    if compressed is not None:
        raise DataError(f"{storage.origin(compressed)} is compressed, so that its members cannot be read one by one.")
    tars = [entry for entry in entries if entry.name.lower().endswith(_TAR)]
    if pattern:
        tars = _matching(tars, pattern, storage.root)
    if not tars:
        raise DataError(f"There are no tars {f'like {pattern} ' if pattern else ''}in {storage.root}.")
    return _group_by_shard(tars, storage.root)


def _group_by_shard(tars: Sequence[FileEntry], root: str) -> tuple[Shard, ...]:
    groups: dict[tuple[str, str], dict[str, FileEntry]] = {}
    for entry in tars:
        *folders, file = entry.name.split("/")
        split = SPLIT_ALIASES.get(folders[0].lower(), "") if folders else ""
        shown, modality = (folders[:1], folders[1:]) if split else ([], folders)
        if len(modality) > 1:
            raise DataError(
                f"{root} has the tar {entry.name}, expected [SPLIT/][MODALITY/]NAME.tar with SPLIT one of "
                f"{', '.join(SPLIT_ALIASES)}."
            )
        name = "/".join([*shown, file[: -len(_TAR)]])
        groups.setdefault((split, name), {})[modality[0] if modality else ""] = entry
    mixed = {bool(folder) for group in groups.values() for folder in group}
    if len(mixed) > 1:
        raise DataError(
            f"{root} has tars beside folders of tars: expected one tar a shard, or one a modality and shard."
        )
    unsplit = sorted({split for split, _ in groups})
    if "" in unsplit and len(unsplit) > 1:
        raise DataError(f"{root} has tars beside the folder of a split: move them into a folder, such as train.")
    return tuple(Shard(name=name, split=split, tars=groups[split, name]) for split, name in sorted(groups))


def _matching(tars: Sequence[FileEntry], pattern: str, root: str) -> list[FileEntry]:
    """The archives that fit a pattern.

    Raises:
        DataError: A number of a range has no archive.
    """
    expression, ranges = _compile(pattern)
    found: list[FileEntry] = []
    missing = [set(range(low, high + 1)) if high is not None else set[int]() for low, high in ranges]
    for entry in tars:
        match = expression.fullmatch(entry.name)
        numbers = [int(text) for text in match.groups()] if match else []
        if match is None or any(
            number < low or (high is not None and number > high)
            for number, (low, high) in zip(numbers, ranges, strict=True)
        ):
            continue
        found.append(entry)
        for number, left in zip(numbers, missing, strict=True):
            left.discard(number)
    for left, (low, high) in zip(missing, ranges, strict=True):
        if found and left:
            raise DataError(
                f"{root} has no tar {min(left)} of {low} to {high} in {pattern} ({len(left)} are missing): "
                "shorten the range, or bring them."
            )
    return found


def _compile(pattern: str) -> tuple[re.Pattern[str], list[tuple[int, int | None]]]:
    """A pattern as a regular expression with a group for each range, and the ranges' ends."""
    ranges: list[tuple[int, int | None]] = []
    text, position = "", 0
    for match in _PATTERN_PARTS.finditer(pattern):
        text += re.escape(pattern[position : match.start()])
        position = match.end()
        low, high, names = match.groups()
        if match[0] == _MODALITY:
            text += "[^/]+"
        elif low is not None:
            ranges.append((int(low), int(high) if high else None))
            text += rf"(\d{{{len(low)}}})" if len(low) > 1 else r"(\d+)"
        else:
            text += "(?:" + "|".join(re.escape(name.strip()) for name in names.split(",")) + ")"
    rest = pattern[position:]
    if re.search(r"[\[\]{}]", rest):
        raise ConfigError(
            f"The pattern {pattern!r} cannot be read: expected ranges such as {{00000..00010}}, alternatives such as "
            "[rgb,depth], or {modality}."
        )
    return re.compile(text + re.escape(rest)), ranges


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
