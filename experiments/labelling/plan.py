"""The work of one call of `fourm label`: which labellers run, in which order, over which shards."""

import graphlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from modalities.errors import ConfigError, DataError
from modalities.labellers.base import Labeller
from modalities.sources.base import ENDLESS, Source
from modalities.sources.config import SourceConfig
from modalities.sources.registry import SourceRegistry
from modalities.spec import Modality


class LabelFormat(Enum):
    """Form of the labels on disk."""

    folder = "folder"
    """One folder a modality, one file a sample."""
    webdataset = "webdataset"
    """One folder a modality, one tar a shard, as published for 4M."""


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """What a worker process needs to know; pickled."""

    source: SourceConfig
    modalities: Mapping[str, Modality]
    """Inputs and outputs by name, at the scale that the source is opened with."""
    labellers: tuple[Labeller, ...]
    """Each after those whose output it takes."""
    out: Path
    format: LabelFormat = LabelFormat.folder
    size: int = 0
    """Shorter side that larger pictures are reduced to before they are labelled, in pixels; 0 for their own."""
    has_split_folders: bool = False
    """True where files lie below a folder of their split."""
    skips_failures: bool = False
    """True where a sample that cannot be labelled is recorded and left out."""
    num_threads: int = 0
    """Threads of a worker process; 0 leaves the choice to the libraries."""
    sources: SourceRegistry | None = None
    """Kinds of sources; None stands for those that are built in or installed."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the modalities that are made."""
        return tuple(labeller.output for labeller in self.labellers)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Some samples of a split: the unit of work, and of what is done again after an interruption."""

    split: str
    index: int
    keys: tuple[str, ...]
    count: int
    """Shards of the split, those of other parts included."""

    @property
    def name(self) -> str:
        """The name in records and messages."""
        return f"{self.split}-{self.index:05d}"


def order_labellers(labellers: Sequence[Labeller]) -> tuple[Labeller, ...]:
    """The labellers, each after those whose output it takes.

    Raises:
        ConfigError: Two make the same modality, or they need each other's outputs in a circle.
    """
    by_output: dict[str, Labeller] = {}
    for labeller in labellers:
        if labeller.output in by_output:
            raise ConfigError(
                f"{labeller.output!r} would be made by {by_output[labeller.output].name} and by {labeller.name}: "
                "name it once."
            )
        by_output[labeller.output] = labeller
    graph = {
        output: {name for name in (*item.inputs, *item.optional_inputs) if name in by_output and name != output}
        for output, item in by_output.items()
    }
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        raise ConfigError(f"Labellers need each other's outputs in a circle: {', '.join(error.args[1])}.") from error
    return tuple(by_output[output] for output in order)


def check_inputs(labellers: Sequence[Labeller], source: Source, modalities: Mapping[str, Modality]) -> list[str]:
    """Check that the source, or another labeller, gives what each labeller needs.

    Returns:
        One line for each optional input that nothing gives.

    Raises:
        DataError: An input that is needed is missing; the message says what to do.
    """
    made = {labeller.output for labeller in labellers}
    notes: list[str] = []
    for labeller in labellers:
        own = {*made} - {labeller.output}
        lacking = {
            name: problem
            for name in (*labeller.inputs, *labeller.optional_inputs)
            if name not in own and (problem := source.explain_missing(modalities[name])) is not None
        }
        for name in labeller.inputs:
            if name in lacking:
                raise DataError(f"{labeller.name} makes {labeller.output} from {name}. {lacking[name]}")
        if lacking and not labeller.inputs and len(lacking) == len(labeller.optional_inputs):
            raise DataError(
                f"{labeller.name} makes {labeller.output} from {', '.join(lacking)}, and the source has none of them: "
                "label one of these first, or in the same call."
            )
        if lacking:
            notes.append(f"{labeller.output}: made without {', '.join(lacking)}, which the source does not have.")
    return notes


def plan_shards(
    source: Source, splits: Sequence[str], *, shard_size: int, limit: int | None, part: tuple[int, int]
) -> Iterator[Shard]:
    """The shards of some splits, as far as they belong to this part.

    Args:
        limit: Most samples of each split; None for all of them.
        part: Number from 1 on, and count of the parts that share the work; shards are dealt in turn.

    Raises:
        UnknownNameError: There is no such split.
        ConfigError: A split is endless, and there is no limit.
    """
    number, count = part
    for split in splits:
        keys = source.keys(split)
        if limit is None and len(keys) >= ENDLESS:
            raise ConfigError(f"{source.name} has samples without end: say how many of each split, as in --limit 64.")
        total = len(keys) if limit is None else min(limit, len(keys))
        starts = range(0, total, shard_size)
        for index, begin in enumerate(starts):
            if index % count == number - 1:
                own = tuple(keys[begin : min(begin + shard_size, total)])
                yield Shard(split=split, index=index, keys=own, count=len(starts))
