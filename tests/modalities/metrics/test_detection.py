"""Metrics of boxes and masks, against plain computations and other libraries."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality

from modalities.geometry.boxes import Box
from modalities.metrics.detection import (
    AveragePrecision,
    bounding_box_metrics,
    box_f1,
    instance_mask_metrics,
    panoptic_quality,
)

Boxes = tuple[Box, ...]


def draw(rng: np.random.Generator, count: int) -> list[Boxes]:
    samples = []
    for _ in range(count):
        low = rng.random((rng.integers(0, 6), 2)) * 0.6
        high = low + 0.05 + rng.random(low.shape) * 0.35
        samples.append(
            tuple(
                Box(box=(*a, *b), class_name=str(rng.choice(["car", "dog", "ball"])), score=float(rng.random()))
                for a, b in zip(low.tolist(), high.tolist(), strict=True)
            )
        )
    return samples


def jittered(rng: np.random.Generator, samples: list[Boxes]) -> list[Boxes]:
    moved = []
    for boxes in samples:
        kept = [box for box in boxes if rng.random() < 0.8]
        moved.append(
            tuple(
                Box(
                    box=tuple(np.array(box.box) + rng.normal(0, 0.02, 4)),
                    class_name=box.class_name,
                    score=float(rng.random()),
                )
                for box in kept
            )
        )
    return [boxes + extra[:1] for boxes, extra in zip(moved, draw(rng, len(samples)), strict=True)]


def plain_iou(one: Box, other: Box) -> float:
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    common = max(right - left, 0) * max(bottom - top, 0)
    areas = [(box.box[2] - box.box[0]) * (box.box[3] - box.box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


def plain_average_precision(predictions: list[Boxes], targets: list[Boxes], overlap: float) -> float:
    """COCO's AP at one overlap: greedy by score, precision made monotone, read at 101 recalls, mean over classes."""
    names = sorted({box.class_name for boxes in targets for box in boxes})
    values = []
    for name in names:
        hits = []
        total = sum(box.class_name == name for boxes in targets for box in boxes)
        for prediction, target in zip(predictions, targets, strict=True):
            free = [box for box in target if box.class_name == name]
            for box in sorted((box for box in prediction if box.class_name == name), key=lambda box: -box.score):
                best = max(free, key=lambda item: plain_iou(box, item), default=None)
                is_hit = best is not None and plain_iou(box, best) >= overlap
                if best is not None and is_hit:
                    free.remove(best)
                hits.append((box.score, is_hit))
        right = np.cumsum([hit for _, hit in sorted(hits, key=lambda item: -item[0])])
        precision = right / np.arange(1, len(right) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(right / total, np.linspace(0, 1, 101), side="left")
        values.append(np.mean([precision[index] if index < len(precision) else 0 for index in at]))
    return float(np.mean(values))


def test_average_precision_agrees_with_a_plain_computation() -> None:
    rng = np.random.default_rng(1)
    targets = draw(rng, 30)
    predictions = jittered(rng, targets)
    metrics = bounding_box_metrics()
    for metric in metrics.values():
        metric.update(predictions, targets)
    half = plain_average_precision(predictions, targets, 0.5)
    mean = np.mean([plain_average_precision(predictions, targets, at) for at in np.arange(0.5, 1, 0.05)])
    assert 0.2 < half < 0.95
    assert metrics["ap50"].compute() == pytest.approx(half, abs=1e-4)
    assert metrics["ap"].compute() == pytest.approx(mean, abs=1e-4)


def test_average_precision_of_two_ranks_is_that_of_all_samples() -> None:
    rng = np.random.default_rng(2)
    targets = draw(rng, 20)
    predictions = jittered(rng, targets)
    whole, one, other = (AveragePrecision("bbox") for _ in range(3))
    whole.update(predictions, targets)
    one.update(predictions[:7], targets[:7])
    other.update(predictions[7:], targets[7:])
    one.merge_state(other)
    assert one.compute() == pytest.approx(float(whole.compute()))


def test_average_precision_knows_nothing_to_find_from_nothing_found() -> None:
    box = Box(box=(0, 0, 0.5, 0.5), class_name="car")
    for metric in (bounding_box_metrics()["ap"], bounding_box_metrics()["ap50"]):
        metric.update([()], [(box,)])
        assert metric.compute() == 0
        metric.reset()
        metric.update([(box,)], [()])
        assert torch.isnan(metric.compute())
        metric.reset()


def test_metrics_can_be_copied_and_sent_to_other_processes() -> None:
    for metric in [*bounding_box_metrics().values(), *instance_mask_metrics().values()]:
        copy.deepcopy(metric)
        pickle.loads(pickle.dumps(metric))


def test_boxes_agree_in_place_and_class() -> None:
    car = Box(box=(0, 0, 0.5, 0.5), class_name="car")
    dog = Box(box=(0, 0, 0.5, 0.5), class_name="dog")
    far = Box(box=(0.5, 0.5, 1, 1), class_name="car")
    assert box_f1([car, far], [car]) == pytest.approx(2 / 3)
    assert box_f1([dog], [car]) == 0
    assert box_f1([], []) == 1
    assert box_f1([car, car], [car]) == pytest.approx(2 / 3)


def test_one_box_is_not_matched_twice_even_where_greed_would() -> None:
    # The first prediction overlaps both targets, the second only the first: both can be matched.
    targets = [Box(box=(0, 0, 0.4, 1), class_name="car"), Box(box=(0.1, 0, 0.5, 1), class_name="car")]
    predictions = [Box(box=(0.04, 0, 0.44, 1), class_name="car"), Box(box=(0, 0, 0.3, 1), class_name="car")]
    assert box_f1(predictions, targets) == 1


def labels_to_masks(labels: np.ndarray) -> np.ndarray:
    return np.array([labels == index for index in range(1, labels.max() + 1)]).reshape(-1, *labels.shape)


def test_panoptic_quality_agrees_with_torchmetrics() -> None:
    rng = np.random.default_rng(3)
    ours = instance_mask_metrics()["pq"]
    theirs = PanopticQuality(things={1}, stuffs={0}, return_per_class=True, allow_unknown_preds_category=True)
    for _ in range(10):
        target = np.zeros((32, 32), dtype=np.int64)
        for index in range(1, 5):
            y, x = rng.integers(0, 24, 2)
            target[y : y + 8, x : x + 8] = index
        prediction = np.roll(target, rng.integers(0, 3, 2), (0, 1))
        ours.update([labels_to_masks(prediction)], [labels_to_masks(target)])
        pair = [
            torch.from_numpy(np.stack([side > 0, side], -1).astype(np.int64))[None] for side in (prediction, target)
        ]
        theirs.update(*pair)
    per_class = theirs.compute().ravel()
    assert ours.compute() == pytest.approx(float(per_class[0]), abs=1e-5)


def test_masks_of_another_size_are_compared_at_the_targets_size() -> None:
    target = np.zeros((1, 8, 8), dtype=bool)
    target[0, :4] = True
    small = target[:, ::2, ::2]
    assert panoptic_quality(small, target) == 1
    for metric in instance_mask_metrics().values():
        metric.update([small], [target])
        assert metric.compute() == pytest.approx(1)


def test_masks_of_different_sizes_share_one_metric() -> None:
    metric = instance_mask_metrics()["ap50"]
    for side in (8, 16):
        target = np.zeros((2, side, side), dtype=bool)
        target[0, : side // 2] = True
        target[1, side // 2 :] = True
        metric.update([target[:1]], [target])
    assert metric.compute() == pytest.approx(51 / 101, abs=1e-3)
