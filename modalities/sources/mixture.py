"""Several sources as one: by weights, or every sample of each once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from jaxtyping import Int64

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.sources.base import Source, source_notes
from modalities.sources.config import SourceConfig
from modalities.sources.crops import CropConfig, with_crops
from modalities.sources.open import open_source
from modalities.spec import Modality, Value

CYCLE = 1000
"""Samples after which the order of sources repeats; weights are kept to one in so many."""
MAX_ORDERED = 1 << 28
"""Most samples that are put in order without weights."""

_ENTRIES = ("kind", "path", "options", "weight", "name")


@dataclass(frozen=True, kw_only=True)
class MixtureMember:
    """One source of a mixture."""

    name: str
    """Beginning of its samples' keys."""
    source: Source
    weight: float | None
    """Share of the samples, relative to the other members'; None where every sample is taken."""


class MixtureKeys(Sequence[str]):
    """Keys of one split, ``MEMBER/KEY``, the members evenly spread; made when they are read."""

    def __init__(self, members: Sequence[tuple[MixtureMember, Sequence[str]]], *, repeat: bool) -> None:
        """Take members and their keys.

        Raises:
            DataError: There are too many samples to take all of them.
        ConfigError: A weight is too small.
        """
        self._members = [(item, keys) for item, keys in members if len(keys)]
        self._sizes = [len(keys) for _, keys in self._members]
        weights = [item.weight for item, _ in self._members]
        self._order: Int64[np.ndarray, " n"] | None = None
        if not self._members or None in weights:
            self._order = _even_order(self._sizes)
            self._length = len(self._order)
        else:
            self._cycle = _weighted_cycle([float(weight or 0) for weight in weights])
            self._ranks = _ranks_in_cycle(self._cycle)
            self._length = _weighted_length(self._sizes, self._cycle, repeat=repeat)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        member, number = self._place(range(self._length)[index])
        item, keys = self._members[member]
        return f"{item.name}/{keys[number % len(keys)]}"

    def _place(self, index: int) -> tuple[int, int]:
        """The member of a sample, and its number among the member's."""
        if self._order is not None:
            number, starts = int(self._order[index]), np.cumsum([0, *self._sizes])
            member = int(np.searchsorted(starts, number, side="right")) - 1
            return member, number - int(starts[member])
        cycle, offset = divmod(index, CYCLE)
        member = int(self._cycle[offset])
        return member, cycle * int((self._cycle == member).sum()) + int(self._ranks[offset])


def _even_order(sizes: Sequence[int]) -> Int64[np.ndarray, " n"]:
    """All samples, counted through the members, so that each member is spread evenly."""
    if sum(sizes) > MAX_ORDERED:
        raise DataError(
            f"A mixture without weights takes every sample of its sources once, which are {sum(sizes)}: give each a "
            "weight."
        )
    places = [(np.arange(size) + 0.5) / size for size in sizes]
    return np.argsort(np.concatenate([np.zeros(0), *places]), kind="stable")


def _weighted_cycle(weights: Sequence[float]) -> Int64[np.ndarray, " c"]:
    """The member of each sample of a cycle: the one that is furthest behind its weight, of equals the first.

    Raises:
        ConfigError: A weight is too small for any sample of a cycle.
    """
    shares = np.array(weights) / sum(weights)
    if shares.min() * CYCLE < 1:
        raise ConfigError(f"A weight of the mixture is {shares.min():g} of all, expected at least 1 in {CYCLE}.")
    counts, cycle = np.zeros(len(shares)), np.zeros(CYCLE, dtype=np.int64)
    for number in range(CYCLE):
        cycle[number] = int(np.argmax(shares * (number + 1) - counts))
        counts[cycle[number]] += 1
    return cycle


def _ranks_in_cycle(cycle: Int64[np.ndarray, " c"]) -> Int64[np.ndarray, " c"]:
    """How many samples of a cycle before each are of the same member."""
    ranks = np.zeros_like(cycle)
    for member in np.unique(cycle):
        places = np.flatnonzero(cycle == member)
        ranks[places] = np.arange(len(places))
    return ranks


def _weighted_length(sizes: Sequence[int], cycle: Int64[np.ndarray, " c"], *, repeat: bool) -> int:
    """Samples until a member has no more, or where they repeat until each member was taken in full."""
    ends = []
    for member, size in enumerate(sizes):
        places = np.flatnonzero(cycle == member)
        if len(places):
            full, rest = divmod(size, len(places))
            # Place of the first sample that the member does not have.
            ends.append(full * CYCLE + int(places[rest]))
    return max(ends) if repeat else min(ends)


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureSource:
    """Several sources as one. A modality that a source lacks is missing in its samples.

    Options:
        sources: A list of records with ``kind``, ``path``, ``options``, and optionally ``weight`` and ``name`` (the
            beginning of the samples' keys, its kind if not given). Weights are relative to each other; a split ends
            where a source has no more samples. Without weights every sample is taken once.
        repeat: True to take samples of a source again until all of each have been taken, where there are weights.
    """

    members: tuple[MixtureMember, ...]
    repeat: bool = False
    name: str = "mixture"

    @cached_property
    def description(self) -> str:
        """The descriptions of all, joined."""
        return " and ".join(dict.fromkeys(item.source.description for item in self.members))

    @cached_property
    def license(self) -> str:
        """The licences of all, joined."""
        return ", ".join(dict.fromkeys(item.source.license for item in self.members))

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Splits that any has."""
        return tuple(dict.fromkeys(split for item in self.members for split in item.source.splits))

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Classes of all."""
        return tuple(sorted({name for item in self.members for name in item.source.class_names}))

    @property
    def notes(self) -> list[str]:
        """What the sources do not read, each line once."""
        return list(dict.fromkeys(line for item in self.members for line in source_notes(item.source)))

    def keys(self, split: str) -> MixtureKeys:
        """The keys of a split; sources without it have no part in it.

        Raises:
            UnknownNameError: No source has such a split.
        """
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        members = [(item, item.source.keys(split)) for item in self.members if split in item.source.splits]
        return MixtureKeys(members, repeat=self.repeat)

    def read(self, key: str, modality: Modality) -> Value | None:
        """The value in the source that the key names, or None where that lacks the modality."""
        name, _, own_key = key.partition("/")
        if (name, modality.name) not in self._lacks:
            self._lacks[name, modality.name] = self._by_name[name].source.explain_missing(modality) is not None
        return None if self._lacks[name, modality.name] else self._by_name[name].source.read(own_key, modality)

    def explain_missing(self, modality: Modality) -> str | None:
        """The reasons of all sources, where none has the modality."""
        reasons = [item.source.explain_missing(modality) for item in self.members]
        return None if None in reasons else " ".join(reason for reason in reasons if reason is not None)

    def fingerprint(self, modality: Modality) -> str:
        """Fingerprints of the sources that have the modality, and what decides the order of samples."""
        prints = [
            (item.name, item.weight, [len(item.source.keys(split)) for split in item.source.splits])
            + ((item.source.fingerprint(modality),) if item.source.explain_missing(modality) is None else ())
            for item in self.members
        ]
        return f"{self.name} {prints!r} {self.repeat}"

    def with_crops(self, crops: CropConfig) -> "MixtureSource":
        """The same mixture of other crops.

        Raises:
            ConfigError: A source has no crops but the centred one.
        """
        members = []
        for item in self.members:
            source = with_crops(item.source, crops)
            if source is None:
                raise ConfigError(
                    f"data.crops.count is {crops.count}, but samples of {item.source.name} have one crop: set 1."
                )
            members.append(MixtureMember(name=item.name, source=source, weight=item.weight))
        return MixtureSource(members=tuple(members), repeat=self.repeat)

    @cached_property
    def _lacks(self) -> dict[tuple[str, str], bool]:
        """Members and modalities that they lack, as far as they were asked for."""
        return {}

    @cached_property
    def _by_name(self) -> dict[str, MixtureMember]:
        return {item.name: item for item in self.members}


def open_mixture(config: SourceConfig, modalities: Mapping[str, Modality]) -> MixtureSource:
    """Open every source of a mixture.

    Raises:
        ConfigError: The options have another form, or some sources have weights and others do not.
        UserError: A source cannot be opened.
    """
    if config.path:
        raise ConfigError(
            f"A mixture has no path of its own, got {config.path!r}: list its sources in options.sources."
        )
    for option in config.options:
        if option not in ("sources", "repeat"):
            raise UnknownNameError("option of the source mixture", str(option), ("sources", "repeat"))
    entries = config.options.get("sources")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise ConfigError(f"options.sources must be a list of sources with kind and path, got {entries!r}.")
    members: list[MixtureMember] = []
    for entry in entries:
        members.append(_open_member(entry, {item.name for item in members}, modalities))
    if len({item.weight is None for item in members}) > 1:
        raise ConfigError("Some sources of the mixture have a weight and others do not: give all of them one, or none.")
    repeat = config.options.get("repeat", False)
    if not isinstance(repeat, bool) or (repeat and members[0].weight is None):
        raise ConfigError(f"options.repeat must be true or false, and true with weights alone, got {repeat!r}.")
    return MixtureSource(members=tuple(members), repeat=repeat)


def _open_member(entry: Any, taken: set[str], modalities: Mapping[str, Modality]) -> MixtureMember:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("kind"), str):
        raise ConfigError(f"A source of a mixture is a record with kind and path, got {entry!r}.")
    for option in entry:
        if option not in _ENTRIES:
            raise UnknownNameError("entry of a mixture's source", str(option), _ENTRIES)
    weight = entry.get("weight")
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0):
        raise ConfigError(f"The weight of a mixture's source must be above 0, got {weight!r}.")
    kind = entry["kind"]
    name = str(entry.get("name") or next(_free_names(kind, taken)))
    if name in taken or "/" in name:
        raise ConfigError(f"The name {name!r} of a mixture's source is taken or has a slash: give another.")
    own = SourceConfig(kind=kind, path=str(entry.get("path") or ""), options=dict(entry.get("options") or {}))
    return MixtureMember(
        name=name, source=open_source(own, modalities), weight=None if weight is None else float(weight)
    )


def _free_names(kind: str, taken: set[str]) -> Any:
    """The kind, or with a number where that is taken."""
    names = [kind, *(f"{kind}_{number}" for number in range(2, len(taken) + 3))]
    return (name for name in names if name not in taken)
