"""Checks of what a modality does with values: look, read, write, augment, draw, measure, guess."""

import copy
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from modalities.conformance.subject import TOLERANCE, ContractError, Subject, expect, same, shape_problem
from modalities.errors import DataError
from modalities.scene import make_scene
from modalities.spec import Modality, View

WHOLE = View(left=0, top=0, width=1, height=1)
MIRRORED = View(left=0, top=0, width=1, height=1, flip=True)
CORNER = View(left=0.25, top=0.5, width=0.5, height=0.5)


def looks(subject: Subject) -> None:
    """A scene gives a value of the documented shape, and the same one each time."""
    for value, scene in zip(subject.values, subject.scenes, strict=True):
        problem = shape_problem(subject.modality, value)
        expect(not problem, f"look() gave {problem}")
        again = subject.modality.look(make_scene(scene.seed, size=scene.size))
        expect(same(value, again, 0.0), f"look() gave two values of scene {scene.seed}")


def keeps_files(subject: Subject) -> None:
    """What is written is read back, and nothing else is left in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"value{subject.modality.suffix}"
        for value in subject.values:
            subject.modality.write(path, value)
            expect(same(subject.modality.read(path), value), "read() does not give back what write() was given")
            left = sorted(item.name for item in Path(folder).iterdir())
            expect(left == [path.name], f"write() left {left}, expected {[path.name]}")
        _survives_bad_files(subject.modality, path)


def _survives_bad_files(modality: Modality, path: Path) -> None:
    size = path.stat().st_size
    for what, content in (("a damaged", b"\xff\xfe\x00garbage"), ("a truncated", path.read_bytes()[: size // 2])):
        if what == "a truncated" and modality.suffix == ".txt":
            # Half a text is a text.
            continue
        path.write_bytes(content)
        _expect_data_error(modality, path, what)
    path.unlink()
    _expect_data_error(modality, path, "a missing")


def _expect_data_error(modality: Modality, path: Path, what: str) -> None:
    try:
        modality.read(path)
    except DataError as error:
        expect(path.name in str(error), f"the message on {what} file does not name it: {error}")
        expect("\n" not in str(error), f"the message on {what} file has several lines")
        return
    raise ContractError(f"read() of {what} file raised no DataError")


def is_seen(subject: Subject) -> None:
    """A view gives a legal value; the whole changes nothing, and a mirror twice changes nothing."""
    modality = subject.modality
    for value in subject.values:
        before = copy.deepcopy(value)
        seen = modality.augment(value, CORNER)
        expect(not shape_problem(modality, seen), f"augment() gave {shape_problem(modality, seen)}")
        whole = modality.augment(value, WHOLE)
        expect(same(whole, value), "augment() changed a value that it was to show whole")
        twice = modality.augment(modality.augment(value, MIRRORED), MIRRORED)
        expect(same(twice, whole), "mirroring twice is not what there was before")
        expect(same(value, before, 0.0), "augment() changed the value that it was given")


def is_measured(subject: Subject) -> None:
    """Metrics are fresh each time, can be copied, and are best for what is right."""
    modality, values = subject.modality, subject.values
    measures, others = modality.metrics(), modality.metrics()
    expect(measures, "it has no metric")
    right = modality.batch(values)
    wrong = modality.batch([*values[1:], values[0]])
    for name, measure in measures.items():
        expect(name.isidentifier(), f"metric {name!r} is not an identifier")
        expect(measure.metric is not others[name].metric, f"metrics() gave the same {name} twice")
        expect(measure.unit, f"metric {name} has no unit")
        best = _score(copy.deepcopy(measure.metric), right, right)
        worse = _score(pickle.loads(pickle.dumps(measure.metric)), wrong, right)
        expect(math.isfinite(best), f"{name} of what is right is {best}")
        expect(not worse > best if measure.higher_is_better else not worse < best, f"{name}: {worse} beats {best}")
        if measure.unit == "share":
            ideal = 1.0 if measure.higher_is_better else 0.0
            expect(abs(best - ideal) < TOLERANCE, f"{name} of what is right is {best}, expected {ideal}")


def _score(metric: Any, predictions: Any, targets: Any) -> float:
    metric.update(predictions, targets)
    return float(metric.compute())


def is_typical(subject: Subject) -> None:
    """The constant guess is a legal value that the metrics take."""
    modality, values = subject.modality, subject.values
    guess = modality.typical(values)
    expect(not shape_problem(modality, guess), f"typical() gave {shape_problem(modality, guess)}")
    kinds = [getattr(value, "dtype", type(value)) for value in (guess, values[0])]
    expect(kinds[0] == kinds[1], f"typical() gave {kinds[0]}, expected {kinds[1]}")
    for measure in modality.metrics().values():
        _score(measure.metric, modality.batch([guess] * len(values)), modality.batch(values))


def is_drawn(subject: Subject) -> None:
    """A person gets a picture or a text."""
    for value in [*subject.values, subject.modality.typical(subject.values)]:
        drawn = subject.modality.draw(value)
        if isinstance(drawn, str):
            continue
        is_picture = drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.size > 0
        expect(is_picture, f"draw() gave {drawn.dtype} {drawn.shape}, expected uint8 (h, w, 3)")
