"""Checks of what a modality does with values: look, read, write, augment, draw, measure, guess."""

import copy
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torchmetrics import MetricCollection

from modalities.conformance.subject import (
    TOLERANCE,
    ContractError,
    ModalityUnderTest,
    require,
    shape_problem,
    values_equal,
)
from modalities.errors import DataError
from modalities.metrics.base import FRACTION
from modalities.scenes.scene import make_scene
from modalities.spec import Crop, Modality

FULL_CROP = Crop(left=0, top=0, width=1, height=1)
MIRRORED_CROP = Crop(left=0, top=0, width=1, height=1, flip=True)
CORNER_CROP = Crop(left=0.25, top=0.5, width=0.5, height=0.5)


def check_from_scene(subject: ModalityUnderTest) -> None:
    """A scene gives a value of the documented shape, and the same one each time."""
    for value, scene in zip(subject.values, subject.scenes, strict=True):
        problem = shape_problem(subject.modality, value)
        require(not problem, f"from_scene() gave {problem}")
        again = subject.modality.from_scene(make_scene(scene.seed, size=scene.size))
        require(values_equal(value, again, 0.0), f"from_scene() gave two values of scene {scene.seed}")


def check_files(subject: ModalityUnderTest) -> None:
    """What is written is read back, and nothing else is left in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"value{subject.modality.suffix}"
        for value in subject.values:
            subject.modality.write(path, value)
            require(
                values_equal(subject.modality.read(path), value), "read() does not give back what write() was given"
            )
            left = sorted(item.name for item in Path(folder).iterdir())
            require(left == [path.name], f"write() left {left}, expected {[path.name]}")
        _check_bad_files(subject.modality, path)


def _check_bad_files(modality: Modality, path: Path) -> None:
    size = path.stat().st_size
    for what, content in (("a damaged", b"\xff\xfe\x00garbage"), ("a truncated", path.read_bytes()[: size // 2])):
        if what == "a truncated" and modality.suffix == ".txt":
            # Half a text is a text.
            continue
        path.write_bytes(content)
        _require_data_error(modality, path, what)
    path.unlink()
    _require_data_error(modality, path, "a missing")


def _require_data_error(modality: Modality, path: Path, what: str) -> None:
    try:
        modality.read(path)
    except DataError as error:
        require(path.name in str(error), f"the message on {what} file does not name it: {error}")
        require("\n" not in str(error), f"the message on {what} file has several lines")
        return
    raise ContractError(f"read() of {what} file raised no DataError")


def check_transform(subject: ModalityUnderTest) -> None:
    """A view gives a legal value; the whole changes nothing, and a mirror twice changes nothing."""
    modality = subject.modality
    for value in subject.values:
        before = copy.deepcopy(value)
        cropped = modality.transform(value, CORNER_CROP)
        require(not shape_problem(modality, cropped), f"transform() gave {shape_problem(modality, cropped)}")
        whole = modality.transform(value, FULL_CROP)
        require(values_equal(whole, value), "transform() changed a value that it was to show whole")
        twice = modality.transform(modality.transform(value, MIRRORED_CROP), MIRRORED_CROP)
        require(values_equal(twice, whole), "mirroring twice is not what there was before")
        require(values_equal(value, before, 0.0), "transform() changed the value that it was given")


def check_metrics(subject: ModalityUnderTest) -> None:
    """Metrics are fresh each time, can be copied, and are best for what is right."""
    modality, values = subject.modality, subject.values
    metrics, fresh = modality.metrics(), modality.metrics()
    require(isinstance(metrics, MetricCollection), f"metrics() gave {type(metrics).__name__}, not a MetricCollection")
    require(metrics, "it has no metric")
    right = modality.collate(values)
    wrong = modality.collate([*values[1:], values[0]])
    for name, metric in metrics.items():
        require(name.isidentifier(), f"metric {name!r} is not an identifier")
        require(metric is not fresh[name], f"metrics() gave the same {name} twice")
        for fact in ("title", "unit"):
            require(isinstance(getattr(metric, fact, None), str), f"the class of metric {name} has no {fact}")
        is_higher_better = metric.higher_is_better
        require(isinstance(is_higher_better, bool), f"the class of metric {name} has no higher_is_better")
        best = _metric_value(copy.deepcopy(metric), right, right)
        worse = _metric_value(pickle.loads(pickle.dumps(metric)), wrong, right)
        require(math.isfinite(best), f"{name} of what is right is {best}")
        require(not worse > best if is_higher_better else not worse < best, f"{name}: {worse} beats {best}")
        if metric.unit == FRACTION:
            ideal = 1.0 if is_higher_better else 0.0
            require(abs(best - ideal) < TOLERANCE, f"{name} of what is right is {best}, expected {ideal}")


def _metric_value(metric: Any, predictions: Any, targets: Any) -> float:
    metric.update(predictions, targets)
    return float(metric.compute())


def check_constant_baseline(subject: ModalityUnderTest) -> None:
    """The constant guess is a legal value that the metrics take."""
    modality, values = subject.modality, subject.values
    guess = modality.constant_baseline(values)
    require(not shape_problem(modality, guess), f"constant_baseline() gave {shape_problem(modality, guess)}")
    kinds = [getattr(value, "dtype", type(value)) for value in (guess, values[0])]
    require(kinds[0] == kinds[1], f"constant_baseline() gave {kinds[0]}, expected {kinds[1]}")
    for metric in modality.metrics().values():
        _metric_value(metric, modality.collate([guess] * len(values)), modality.collate(values))


def check_render(subject: ModalityUnderTest) -> None:
    """A person gets a picture or a text."""
    for value in [*subject.values, subject.modality.constant_baseline(subject.values)]:
        rendered = subject.modality.render(value)
        if isinstance(rendered, str):
            continue
        is_picture = rendered.dtype == np.uint8 and rendered.ndim == 3 and rendered.shape[2] == 3 and rendered.size > 0
        require(is_picture, f"render() gave {rendered.dtype} {rendered.shape}, expected uint8 (h, w, 3)")
