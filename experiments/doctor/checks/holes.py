"""Pixels without a measurement in maps that allow them, such as depth where a sensor saw nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from experiments.doctor.findings import Finding, FindingLog, Severity, sample_finding
from experiments.doctor.samples import Sample
from modalities.layouts import Dense
from modalities.rendering.colors import MISSING_COLOR
from modalities.spec import Modality, Value

RARE = 0.2
"""Share of a modality's samples with holes below which holes count as an accident."""
MOST = 0.5
"""Share of a map's pixels without a measurement above which it is worth a warning in any case."""


@dataclass(kw_only=True)
class _Holes:
    """The holes of all maps of one modality."""

    num_maps: int = 0
    num_with_holes: int = 0
    share: float = 0.0
    """Sum of the shares of the maps' pixels."""
    large: FindingLog = field(default_factory=FindingLog)
    small: FindingLog = field(default_factory=FindingLog)


class HoleCheck:
    """Maps with pixels that hold no measurement: a warning where few have any, a note where it is the rule."""

    name = "holes"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.modalities = {name: item for name, item in modalities.items() if _may_have_holes(item)}
        self._holes = {name: _Holes() for name in self.modalities}

    def observe(self, sample: Sample) -> None:
        """Count the holes of one sample's maps, before cropping."""
        for name, modality in self.modalities.items():
            reading = sample.readings[name]
            if reading.value is None:
                continue
            holes = self._holes[name]
            holes.num_maps += 1
            share = hole_share(modality, reading.stored[0])
            if share:
                message = (
                    f"{reading.origin}: {100 * share:.3g} % of the pixels of {name} have no measurement "
                    f"({modality.value_spec.missing}): they are left out of training."
                )
                holes.num_with_holes += 1
                holes.share += share
                log = holes.large if share > MOST else holes.small
                log.add(sample_finding(Severity.warning, "holes", message, sample, name))

    def findings(self) -> Iterator[Finding]:
        """Maps with holes, one by one where they are rare or large, and otherwise their number."""
        for name, holes in self._holes.items():
            is_rare = holes.num_with_holes < RARE * holes.num_maps
            yield from holes.large
            yield from holes.small if is_rare else ()
            if holes.num_with_holes and not is_rare:
                message = (
                    f"{name}: {holes.num_with_holes:,} of {holes.num_maps:,} maps have pixels without a measurement, "
                    f"{100 * holes.share / holes.num_maps:.3g} % of all pixels; they are left out of training."
                )
                yield Finding(severity=Severity.note, check="holes", message=message, modality=name)


def hole_share(modality: Modality, value: Value) -> float:
    """The share of a map's pixels that its modality draws as missing."""
    rendering = modality.render(value)
    return float((np.asarray(rendering) == MISSING_COLOR).all(-1).mean())


def _may_have_holes(modality: Modality) -> bool:
    return isinstance(modality.layout, Dense) and not modality.is_discrete and bool(modality.value_spec.missing)
