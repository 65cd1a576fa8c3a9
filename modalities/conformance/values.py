"""Checks of what a modality does with values: read, write, transform, render, metrics, constant baseline."""

import copy
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torchmetrics import MetricCollection

from modalities.checks import check_value
from modalities.conformance.subject import (
    FULL_CROP,
    TOLERANCE,
    ContractError,
    ModalityUnderTest,
    require,
    shape_problem,
    values_equal,
)
from modalities.errors import DataError
from modalities.metrics.base import FRACTION
from modalities.spec import Crop, Modality

MIRRORED_CROP = Crop(left=0, top=0, width=1, height=1, flip=True)
CORNER_CROP = Crop(left=0.25, top=0.5, width=0.5, height=0.5)


def check_values(subject: ModalityUnderTest) -> None:
    """There are two or more values, and each has the documented shape."""
    require(len(subject.values) > 1, f"{len(subject.values)} sample values, expected two or more")
    for value in subject.values:
        problem = shape_problem(subject.modality, value)
        require(not problem, f"a sample value has {problem}")


def check_checks(subject: ModalityUnderTest) -> None:
    """A legal value passes `check_value` as it is, and the modality's specification names its type."""
    modality = subject.modality
    require(modality.value_spec.type.strip(), "value_spec names no type")
    for value in subject.values:
        try:
            checked = check_value(modality, value, "value")
        except DataError as error:
            raise ContractError(f"check() refuses a sample value: {error}") from error
        require(values_equal(checked, value), "check() changed a sample value")


def check_files(subject: ModalityUnderTest) -> None:
    """Files are read back as they were written, and nothing else is left in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"value{subject.modality.suffix}"
        for value in subject.values:
            subject.modality.write_file(path, value)
            require(
                values_equal(subject.modality.read_file(path), value),
                "read_file() does not give back what write_file() was given",
            )
            left = sorted(item.name for item in Path(folder).iterdir())
            require(left == [path.name], f"write_file() left {left}, expected {[path.name]}")
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
        modality.read_file(path)
    except DataError as error:
        require(path.name in str(error), f"the message on {what} file does not name it: {error}")
        require("\n" not in str(error), f"the message on {what} file has several lines")
        return
    raise ContractError(f"read_file() of {what} file raised no DataError")


def check_transform(subject: ModalityUnderTest) -> None:
    """A crop gives a legal value; the whole changes nothing, and a mirror twice changes nothing."""
    modality = subject.modality
    for value in subject.values:
        before = copy.deepcopy(value)
        cropped = modality.transform(value, CORNER_CROP)
        require(not shape_problem(modality, cropped), f"transform() gave {shape_problem(modality, cropped)}")
        whole = modality.transform(value, FULL_CROP)
        require(values_equal(whole, value), "transform() changed a value under the crop that shows it whole")
        twice = modality.transform(modality.transform(value, MIRRORED_CROP), MIRRORED_CROP)
        require(values_equal(twice, whole), "mirroring twice does not give the value back")
        is_same = not modality.is_flip_invariant or values_equal(modality.transform(value, MIRRORED_CROP), whole)
        require(is_same, "is_flip_invariant is true, but mirroring changes the value")
        require(values_equal(value, before, 0.0), "transform() changed the value that it was given")


def check_metrics(subject: ModalityUnderTest) -> None:
    """Metrics are fresh each time, can be copied, and are best for the truth."""
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
    """The constant baseline is a legal value that the metrics take."""
    modality, values = subject.modality, subject.values
    guess = modality.constant_baseline(values)
    require(not shape_problem(modality, guess), f"constant_baseline() gave {shape_problem(modality, guess)}")
    kinds = [getattr(value, "dtype", type(value)) for value in (guess, values[0])]
    require(kinds[0] == kinds[1], f"constant_baseline() gave {kinds[0]}, expected {kinds[1]}")
    for metric in modality.metrics().values():
        _metric_value(metric, modality.collate([guess] * len(values)), modality.collate(values))


def check_render(subject: ModalityUnderTest) -> None:
    """A value is rendered as a picture or a text."""
    for value in [*subject.values, subject.modality.constant_baseline(subject.values)]:
        rendered = subject.modality.render(value)
        if isinstance(rendered, str):
            continue
        is_picture = rendered.dtype == np.uint8 and rendered.ndim == 3 and rendered.shape[2] == 3 and rendered.size > 0
        require(is_picture, f"render() gave {rendered.dtype} {rendered.shape}, expected uint8 (h, w, 3)")
