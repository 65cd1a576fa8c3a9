"""Samples that lack partners, and images that occur twice."""

import hashlib
import sqlite3
import weakref
from collections.abc import Iterator, Mapping

import numpy as np

from experiments.doctor.findings import Finding, FindingLog, Severity, sample_finding
from experiments.doctor.samples import Sample
from modalities.layouts import Dense
from modalities.spec import Modality

_ERRORS = "surrogateescape"


class PartnerCheck:
    """Samples with one modality alone: nothing can be learnt from them about how modalities go together."""

    name = "partners"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.modalities = modalities
        self._alone = FindingLog()

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
        self._alone.add(sample_finding(Severity.warning, "no_partner", message, sample, name))

    def findings(self) -> Iterator[Finding]:
        """Samples with one modality alone."""
        yield from self._alone


class DuplicateCheck:
    """Images that occur in two samples: between splits what is measured was trained on.

    The hashes of all images are in a temporary database, which goes to disk as it grows.
    """

    name = "duplicates"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.image = image_modality(modalities)
        # An empty name makes SQLite keep the database in a file of its own that is deleted when it is closed.
        self._seen = sqlite3.connect("")
        weakref.finalize(self, self._seen.close)
        self._seen.execute("create table seen (image blob, split blob, origin blob, primary key (image, split))")
        self._found = FindingLog()

    def observe(self, sample: Sample) -> None:
        """Compare a sample's image, at the run's scale, with those of all samples before."""
        if self.image is None or sample.readings[self.image].value is None:
            return
        reading = sample.readings[self.image]
        array = np.ascontiguousarray(reading.value)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16, person=str(array.shape).encode()[:16]).digest()
        # A mixture that repeats a source has one file in several samples.
        earlier = "select split, origin from seen where image = ? and origin != ? order by rowid"
        for row in self._seen.execute(earlier, (digest, _encode(reading.origin))).fetchall():
            split, origin = (item.decode(errors=_ERRORS) for item in row)
            is_leak = split != sample.split
            places = f"{split} and {sample.split}" if is_leak else f"{sample.split} twice"
            self._found.add(
                sample_finding(
                    Severity.error if is_leak else Severity.warning,
                    "duplicate_between_splits" if is_leak else "duplicate",
                    f"{reading.origin}: the same image as {origin}, in {places}: remove one"
                    + (", or keep both in one split." if is_leak else "."),
                    sample,
                    self.image,
                )
            )
        self._seen.execute(
            "insert or ignore into seen values (?, ?, ?)", (digest, _encode(sample.split), _encode(reading.origin))
        )

    def findings(self) -> Iterator[Finding]:
        """Images that occur twice."""
        yield from self._found


def _encode(text: str) -> bytes:
    """A text for the database, with the bytes of file names that are no UTF-8."""
    return text.encode(errors=_ERRORS)


def image_modality(modalities: Mapping[str, Modality]) -> str | None:
    """The modality by which samples are distinguished: photographs, or else the first map of measured numbers."""
    photographs = [name for name, item in modalities.items() if item.has_pixel_stream]
    maps = [
        name
        for name, item in modalities.items()
        if isinstance(item.layout, Dense) and item.layout.pixels_per_value == 1 and not item.is_discrete
    ]
    return next(iter([*photographs, *maps]), None)
