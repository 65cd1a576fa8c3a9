"""Memory of the checks, which does not grow with the number of samples."""

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest

from experiments.doctor import findings
from experiments.doctor.checks.alignment import AlignmentCheck
from experiments.doctor.checks.classes import ClassCheck
from experiments.doctor.checks.columns import ColumnCheck
from experiments.doctor.checks.duplicates import DuplicateCheck, PartnerCheck
from experiments.doctor.checks.every import Check
from experiments.doctor.checks.holes import HoleCheck
from experiments.doctor.checks.texts import TextCheck
from experiments.doctor.samples import Reading, Sample
from tests.experiments.doctor.table import modalities_at_scale

SIDE = 32


def sample(number: int, **values: Any) -> Sample:
    """A sample of one image of boxes, whose class map is 4 pixels off in every third sample."""
    classes = np.zeros((SIDE, SIDE), np.uint8)
    classes[8:20, 8:18], classes[12:16, 20:26] = 1, 2
    colors = np.array([[30, 30, 40], [200, 80, 60], [90, 210, 80]], np.uint8)
    shown = {
        "rgb": colors[classes],
        "semseg": np.roll(classes, 0 if number % 3 else 4, 1),
        "depth": np.where(classes == 1, np.nan, 2).astype(np.float32),
        **values,
    }
    readings = {
        name: Reading(
            origin=f"{number:06d}.{name}",
            is_stored=value is not None,
            stored=() if value is None else (value,),
            value=value,
        )
        for name, value in shown.items()
    }
    return Sample(split="train", key=f"{number:06d}", readings=readings)


def state_after(kind: Any, count: int, **values: Any) -> int:
    """Bytes of a check's whole state after so many samples."""
    check = kind(modalities_at_scale("rgb", "semseg", "depth"))
    for number in range(count):
        check.observe(sample(number, **values))
    return len(pickle.dumps(check))


UNKNOWN_CLASSES = np.full((SIDE, SIDE), 200, np.uint8)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (AlignmentCheck, {}),
        (HoleCheck, {}),
        (ClassCheck, {"semseg": UNKNOWN_CLASSES}),
        (PartnerCheck, {"rgb": None, "semseg": None}),
        (ColumnCheck, {"rgb": None}),
    ],
)
def test_what_is_kept_does_not_grow(kind: Any, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (findings, __import__(ColumnCheck.__module__, fromlist=[""])):
        monkeypatch.setattr(module, "MAX_KEPT", 3)
    # Counters of more digits take a few bytes more; one finding takes some hundred.
    assert state_after(kind, 120, **values) - state_after(kind, 12, **values) < 40


def peak_of(check: Check, samples: Any) -> int:
    tracemalloc.start()
    try:
        for item in samples:
            check.observe(item)
        assert list(check.findings()) == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_texts_are_kept_on_disk() -> None:
    text = "a ball and a dog " * 600
    names = modalities_at_scale("caption")
    many = [Sample(split="validation", key=str(i), readings={"caption": caption(f"{text}{i}")}) for i in range(10)]
    check = TextCheck(names, ())
    tracemalloc.start()
    for _ in range(200):
        for item in many:
            check.observe(item)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 0.05 * 2000 * len(text)
    list(check.findings())
    assert check.summaries["caption", "validation"].count == 2000


def caption(text: str) -> Reading:
    return Reading(origin="caption.txt", is_stored=True, stored=(text,), value=text)


def test_hashes_of_images_are_kept_on_disk() -> None:
    origin = "x" * 20_000

    def read(number: int) -> Sample:
        image = np.full((4, 4, 3), [number // 256, number % 256, 0], np.uint8)
        return Sample(
            split="train",
            key=str(number),
            readings={"rgb": Reading(origin=f"{origin}{number}", is_stored=True, stored=(image,), value=image)},
        )

    check = DuplicateCheck(modalities_at_scale("rgb"))
    assert peak_of(check, map(read, range(1000))) < 0.1 * 1000 * len(origin)


def test_names_of_files_that_are_no_text_are_told() -> None:
    check = DuplicateCheck(modalities_at_scale("rgb"))
    image = np.zeros((4, 4, 3), np.uint8)
    for name in ("first\udcff.png", "second.png"):
        check.observe(
            Sample(
                split="train",
                key=name,
                readings={"rgb": Reading(origin=name, is_stored=True, stored=(image,), value=image)},
            )
        )
    (found,) = check.findings()
    assert found.message.startswith("second.png: the same image as first\udcff.png, in train twice")
