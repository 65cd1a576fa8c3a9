"""Which samples belong to which split: shares by a hash of the key, or lists of keys.

A share does not move when samples are added: a sample's place follows from its key, or from its group's name, alone.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modalities.errors import ConfigError, DataError
from modalities.kinds.sequences import read_text_file
from modalities.sources.captions import text_lines
from modalities.sources.crops import hashed_uniforms

SPLIT_OPTIONS = ("splits", "group")
"""Options of a source whose samples are split here."""

DEFAULT_SHARES: Mapping[str, float] = {"train": 0.9, "validation": 0.05, "test": 0.05}
"""Shares of the splits where nothing else is said."""

SPLIT_ALIASES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders that hold a split, and the split."""


def shuffle_keys(keys: Iterable[str]) -> list[str]:
    """Keys in an order that follows from a hash of each, so that the first n are a selection by chance."""
    return sorted(keys, key=lambda key: (hashlib.sha256(_encoded(f"order/{key}")).digest(), key))


def split_keys(keys: Iterable[str], options: Mapping[str, Any], origin: str, folder: Path) -> dict[str, list[str]]:
    """The keys of each split, in the order that samples are read in.

    Args:
        keys: All samples of the data.
        options: The source's: ``splits`` maps a split's name to its share, ``{train: 0.9, validation: 0.1}``, or to a
            text file with a key a line, ``{train: train.txt, test: test.txt}``; ``group`` is a regular expression
            whose one group is found in each key: samples of equal groups go to one split.
        origin: Names the data in messages.
        folder: The folder that lists are looked for in.

    Raises:
        ConfigError: The options are malformed, or a group and lists are both given.
        DataError: A list cannot be read, names a sample that is missing or in another list, or a key has no group.
    """
    wanted = options.get("splits", DEFAULT_SHARES)
    if not isinstance(wanted, Mapping) or not wanted:
        raise ConfigError(f"options.splits must map splits to shares or to files of keys, got {wanted!r}.")
    if all(isinstance(value, str) for value in wanted.values()):
        if "group" in options:
            raise ConfigError("options.group is for shares: the lists of options.splits decide already.")
        return _by_lists(set(keys), {str(name): str(file) for name, file in wanted.items()}, origin, folder)
    return _by_shares(keys, _check_shares(wanted), options.get("group"), origin)


def split_of(group: str, shares: Mapping[str, float]) -> str:
    """The split of a sample, or of all samples of a group, by its hash."""
    draw = hashed_uniforms(f"split/{group}")[0]
    for name, share in shares.items():
        draw -= share
        if draw < 0:
            return name
    # Shares are summed in floating point, which may leave a rest.
    return list(shares)[-1]


def _by_shares(keys: Iterable[str], shares: Mapping[str, float], group: Any, origin: str) -> dict[str, list[str]]:
    pattern = _compile_group(group) if group is not None else None
    found: dict[str, list[str]] = {name: [] for name in shares}
    for key in shuffle_keys(keys):
        found[split_of(_group_of(key, pattern, origin) if pattern else key, shares)].append(key)
    return found


def _by_lists(known: set[str], files: Mapping[str, str], origin: str, folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    for name, file in files.items():
        path = folder / file
        found[name] = [line.strip() for line in text_lines(read_text_file(path)) if line.strip()]
        for key in found[name]:
            if key in owners:
                where = "twice" if owners[key] == name else f"and so does that of split {owners[key]!r}"
                raise DataError(f"{path} names the sample {key!r} {where}: a sample belongs to one split, once.")
            owners[key] = name
        missing = [key for key in found[name] if key not in known]
        if missing:
            raise DataError(
                f"{path} names {len(missing)} samples that {origin} does not have, such as {missing[0]!r}: expected "
                "a key a line, which is the path of a sample's file without the modality's folder and the type."
            )
    return found


def _check_shares(shares: Mapping[str, Any]) -> dict[str, float]:
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(
                f"options.splits.{name} must be a share from 0 to 1, or all a file of keys, got {share!r}."
            )
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise ConfigError(f"The shares of options.splits must add up to 1, got {total:g}.")
    return {str(name): float(share) for name, share in shares.items()}


def _compile_group(text: Any) -> re.Pattern[str]:
    try:
        pattern = re.compile(str(text))
    except re.error as error:
        raise ConfigError(f"options.group is no regular expression: {error}, got {text!r}.") from error
    if pattern.groups != 1:
        raise ConfigError(f"options.group must have one group in brackets, such as '^([^/]+)/', got {text!r}.")
    return pattern


def _group_of(key: str, pattern: re.Pattern[str], origin: str) -> str:
    match = pattern.search(key)
    if match is None or match[1] is None:
        raise DataError(f"The sample {key!r} of {origin} has no group by options.group={pattern.pattern!r}.")
    return str(match[1])


def unlisted_keys(keys: Iterable[str], splits: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys that belong to no split: they are in none of the lists."""
    listed = {key for group in splits.values() for key in group}
    return [key for key in keys if key not in listed]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
