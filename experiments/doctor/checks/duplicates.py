"""Samples that lack partners, and images that occur twice."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from experiments.doctor.findings import Finding, Severity, sample_finding
from experiments.doctor.samples import Sample
from modalities.layouts import Dense
from modalities.spec import Modality


class PartnerCheck:
    """Samples with one modality alone: nothing can be learnt from them about how modalities go together."""

    name = "partners"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.modalities = modalities
        self._alone: list[Finding] = []

    def observe(self, sample: Sample) -> None:
        """Note a sample that has one of several modalities, or none."""
        present = sample.present
        if len(self.modalities) < 2 or len(present) > 1:
            return
        if not present:
            message = f"Sample {sample.key} has none of {', '.join(self.modalities)}."
        else:
            name = present[0]
            others = [item for item in self.modalities if item != name]
            message = (
                f"{sample.readings[name].origin}: {name} alone; there is no {' and no '.join(others)} of sample "
                f"{sample.key}: names of files that belong together must be equal up to the suffix."
            )
        name = present[0] if present else ""
        self._alone.append(sample_finding(Severity.warning, "no_partner", message, sample, name))

    def findings(self) -> Iterator[Finding]:
        """Samples with one modality alone."""
        yield from self._alone


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The first sample in which an image occurred."""

    split: str
    origin: str


class DuplicateCheck:
    """Images that occur in two samples: between splits what is measured was trained on."""

    name = "duplicates"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.image = image_modality(modalities)
        self._seen: dict[bytes, dict[str, _Seen]] = {}
        self._found: list[Finding] = []

    def observe(self, sample: Sample) -> None:
        """Compare a sample's image, at the run's scale, with those of all samples before."""
        if self.image is None or sample.readings[self.image].value is None:
            return
        reading = sample.readings[self.image]
        array = np.ascontiguousarray(reading.value)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16, person=str(array.shape).encode()[:16]).digest()
        seen = self._seen.setdefault(digest, {})
        # A mixture that repeats a source has one file in several samples.
        for first in [item for item in seen.values() if item.origin != reading.origin]:
            is_leak = first.split != sample.split
            places = f"{first.split} and {sample.split}" if is_leak else f"{sample.split} twice"
            self._found.append(
                sample_finding(
                    Severity.error if is_leak else Severity.warning,
                    "duplicate_between_splits" if is_leak else "duplicate",
                    f"{reading.origin}: the same image as {first.origin}, in {places}: remove one"
                    + (", or keep both in one split." if is_leak else "."),
                    sample,
                    self.image,
                )
            )
        seen.setdefault(sample.split, _Seen(split=sample.split, origin=reading.origin))

    def findings(self) -> Iterator[Finding]:
        """Images that occur twice."""
        yield from self._found


def image_modality(modalities: Mapping[str, Modality]) -> str | None:
    """The modality by which samples are told apart: photographs, or else the first map of measured numbers."""
    photographs = [name for name, item in modalities.items() if item.has_pixel_stream]
    maps = [
        name
        for name, item in modalities.items()
        if isinstance(item.layout, Dense) and item.layout.pixels_per_value == 1 and not item.is_discrete
    ]
    return next(iter([*photographs, *maps]), None)
