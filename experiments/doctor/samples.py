"""Reading a source sample by sample without stopping at a fault: values, where they lie, and what went wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modalities.corrections import collect_corrections, report_correction
from modalities.errors import UserError
from modalities.sources.base import ENDLESS, Source
from modalities.sources.mixture import MixtureSource
from modalities.sources.stored import StoredSource
from modalities.spec import Modality, Value


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One modality of one sample."""

    origin: str
    """The file or the member of an archive where the source knows it, else the sample."""
    is_stored: bool
    """False where the sample lacks the modality."""
    stored: tuple[Value, ...] = ()
    """The value before cropping, of texts all alternatives; the cropped one where the source shows no other."""
    value: Value | None = None
    """The value that a run takes, at its scale; None where it is missing or cannot be read."""
    problem: str = ""
    """The reason why there is no `value`, one sentence that names the origin."""
    corrections: tuple[str, ...] = ()
    """What was cut, converted or left out when it was read, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All modalities of one sample."""

    split: str
    key: str
    readings: Mapping[str, Reading]

    @property
    def present(self) -> tuple[str, ...]:
        """The modalities that the sample has, readable or not."""
        return tuple(name for name, reading in self.readings.items() if reading.is_stored)


def select_evenly(keys: Sequence[str], limit: int | None) -> Sequence[str]:
    """At most ``limit`` of ``keys`` at even steps; of an endless split the first ones."""
    if limit is None or limit >= len(keys):
        return keys
    if len(keys) >= ENDLESS:
        return keys[:limit]
    return [keys[number * len(keys) // limit] for number in range(limit)]


def read_samples(
    source: Source, modalities: Mapping[str, Modality], split: str, keys: Sequence[str]
) -> Iterator[Sample]:
    """Read every modality of each of ``keys``; a fault becomes the `Reading.problem` of its modality."""
    for number in range(len(keys)):
        key = keys[number]
        readings = {name: _read(source, key, modality) for name, modality in modalities.items()}
        yield Sample(split=split, key=key, readings=_assign_problems(readings))


def _read(source: Source, key: str, modality: Modality) -> Reading:
    with collect_corrections() as corrections:
        reading = _try_to_read(source, key, modality)
    # The value is decoded twice, before and for its crop.
    lines = (line if reading.origin in line else f"{reading.origin}: {line}" for line in dict.fromkeys(corrections))
    return replace(reading, corrections=tuple(lines))


def _try_to_read(source: Source, key: str, modality: Modality) -> Reading:
    origin = f"sample {key} of {source.name}"
    stored: tuple[Value, ...] = ()
    try:
        if isinstance(source, MixtureSource):
            return _read_member(source, key, modality)
        if isinstance(source, StoredSource):
            place = source.stored(key, modality)
            if place is None:
                return Reading(origin=origin, is_stored=False)
            origin = place.origin
            stored = tuple(source.decode(place, modality))
            if not stored:
                report_correction(f"{origin} is empty: it counts as missing.")
        value = source.read(key, modality)
    except Exception as error:  # A modality of another package may raise anything; the rest is still examined.
        return Reading(origin=origin, is_stored=True, stored=stored, problem=_reason(error))
    if not stored and value is not None:
        stored = (value,)
    return Reading(origin=origin, is_stored=value is not None, stored=stored, value=value)


def _read_member(mixture: MixtureSource, key: str, modality: Modality) -> Reading:
    """The reading of the source that a mixture took a sample from, with that source's own origins."""
    name, _, own_key = key.partition("/")
    source = next(member.source for member in mixture.members if member.name == name)
    if source.explain_missing(modality) is not None:
        return Reading(origin=f"sample {own_key} of {source.name}", is_stored=False)
    return _try_to_read(source, own_key, modality)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text or 'no message'}."


def _assign_problems(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """Leave each problem to the modality whose file it names, and name the file where none is named.

    One damaged image is a problem of every modality of its sample, as it decides the crop of all.
    """
    assigned: dict[str, Reading] = {}
    for name, reading in readings.items():
        others = {item.origin for item in readings.values()} - {reading.origin}
        problem = reading.problem
        if problem and reading.origin not in problem:
            is_of_another = any(origin in problem for origin in others)
            problem = "" if is_of_another else f"{reading.origin}: {problem}"
        assigned[name] = replace(reading, problem=problem)
    return assigned
