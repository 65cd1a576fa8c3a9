"""Metrics of sets of things: average precision, F1, panoptic quality; for boxes with classes and masks without."""

import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_masks
from jaxtyping import Bool, Float64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

from modalities.geometry.boxes import Box, box_iou, boxes_to_array
from modalities.geometry.masks import Masks, mask_iou, resize_masks
from modalities.metrics.base import FRACTION, SampleRatioOfSums, collect

IOU_THRESHOLD = 0.5
"""Least intersection over union at which two boxes, or two masks, are the same thing."""


def match_by_iou(overlap: Float64[np.ndarray, "n m"]) -> tuple[list[int], list[int]]:
    """Rows and columns of the one-to-one match with the most pairs at `IOU_THRESHOLD` or above.

    Among matches with equally many pairs it has the greatest overlap.
    """
    enough = overlap >= IOU_THRESHOLD
    rows, columns = linear_sum_assignment(np.where(enough, 1 + overlap / (1 + overlap.size), 0), maximize=True)
    pairs = [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if enough[row, column]]
    return [row for row, _ in pairs], [column for _, column in pairs]


def same_class_box_iou(prediction: Sequence[Box], target: Sequence[Box]) -> Float64[np.ndarray, "n m"]:
    """The intersection over union of boxes of the same class, 0 for others."""
    overlap = box_iou(boxes_to_array([box.box for box in prediction]), boxes_to_array([box.box for box in target]))
    names = [np.array([box.class_name for box in boxes], dtype=object) for boxes in (prediction, target)]
    same: Bool[np.ndarray, "n m"] = names[0][:, None] == names[1][None, :]
    return np.where(same, overlap, 0.0)


def box_f1_terms(prediction: Sequence[Box], target: Sequence[Box]) -> tuple[float, float]:
    """Twice the count of boxes that agree in place and class, and the count of boxes on both sides."""
    rows, _ = match_by_iou(same_class_box_iou(prediction, target))
    return 2.0 * len(rows), float(len(prediction) + len(target))


def box_f1(prediction: Sequence[Box], target: Sequence[Box]) -> float:
    """The F1 of two sets of boxes at an overlap of .5; 1 where both are empty."""
    numerator, denominator = box_f1_terms(prediction, target)
    return numerator / denominator if denominator else 1.0


def panoptic_terms(prediction: Masks, target: Masks) -> tuple[float, float]:
    """The overlap of matched masks, and their count plus half of the unmatched (Kirillov et al. 2019, eq. 1)."""
    overlap = mask_iou(prediction, target)
    rows, columns = match_by_iou(overlap)
    unmatched = len(prediction) + len(target) - 2 * len(rows)
    return float(overlap[rows, columns].sum()), len(rows) + 0.5 * unmatched


def panoptic_quality(prediction: Masks, target: Masks) -> float:
    """The panoptic quality of one sample without classes; 1 where both sides are empty."""
    numerator, denominator = panoptic_terms(prediction, target)
    return numerator / denominator if denominator else 1.0


class AveragePrecision(Metric):
    """COCO's mean average precision, over overlaps .5 to .95 or at .5 alone, of boxes by class or masks without class.

    Generated texts carry no score: things of equal score are taken in the order of the sequence. NaN without targets.
    """

    full_state_update = False
    higher_is_better = True
    title, unit = "AP", FRACTION
    only_ap50 = False

    def __init__(self, iou_type: Literal["bbox", "segm"], **kwargs: Any) -> None:
        """Choose boxes or masks."""
        super().__init__(**kwargs)
        self.iou_type = iou_type
        for name in ("counts", "predicted", "target", "predicted_bits", "target_bits"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add pairs of values: sequences of `Box`, or masks (k, h, w)."""
        for prediction, truth in zip(predictions, targets, strict=True):
            self._append("counts", torch.tensor([[len(prediction), len(truth)]]))
            if self.iou_type == "bbox":
                self._append("predicted", _boxes_to_tensor(prediction))
                self._append("target", _boxes_to_tensor(truth))
                continue
            size = truth.shape[1:] if len(truth) else prediction.shape[1:]
            for side, masks in (("predicted", resize_masks(prediction, *size)), ("target", truth)):
                self._append(side, torch.tensor([size] * len(masks), dtype=torch.float64).reshape(-1, 2))
                self._append(f"{side}_bits", torch.from_numpy(masks.astype(np.uint8).ravel()))

    def compute(self) -> Tensor:
        """The average precision, 0..1."""
        counts = self._state("counts").reshape(-1, 2).long().cpu().numpy()
        sides = [self._annotations(side, counts[:, column]) for column, side in enumerate(("predicted", "target"))]
        images = [{"id": index + 1, "width": 1, "height": 1} for index in range(len(counts))]
        return torch.tensor(
            _coco_average_precision(images, sides[0], sides[1], self.iou_type, only_ap50=self.only_ap50),
            device=self.device,
        )

    def _append(self, name: str, rows: Tensor) -> None:
        states: list[Tensor] = getattr(self, name)
        states.append(rows.to(self.device))

    def _state(self, name: str) -> Tensor:
        state = getattr(self, name)
        return dim_zero_cat(state) if len(state) else torch.zeros(0)

    def _annotations(self, side: str, counts: Any) -> list[dict[str, Any]]:
        """One side's things as COCO's records, image by image."""
        rows = self._state(side).cpu().numpy()
        images = np.repeat(np.arange(len(counts)) + 1, counts)
        if self.iou_type == "bbox":
            return [
                {
                    "image_id": int(image),
                    "category_id": int(category),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "score": score,
                }
                for image, (left, top, right, bottom, category, score) in zip(images, rows.tolist(), strict=True)
            ]
        bits = self._state(f"{side}_bits").cpu().numpy().astype(np.uint8)
        records, begin = [], 0
        for image, (height, width) in zip(images, rows.astype(int).tolist(), strict=True):
            mask = np.asfortranarray(bits[begin : begin + height * width].reshape(height, width))
            begin += height * width
            runs = coco_masks.encode(mask)
            area = float(mask.sum())
            records.append({"image_id": int(image), "category_id": 1, "segmentation": runs, "area": area, "score": 1.0})
        return records


class AveragePrecision50(AveragePrecision):
    """COCO's average precision at an overlap of .5."""

    title = "AP50"
    only_ap50 = True


def _boxes_to_tensor(boxes: Sequence[Box]) -> Tensor:
    """Boxes as rows of corners, class and score. A class is its name's checksum: the same number on every rank."""
    rows = [(*box.box, zlib.crc32(box.class_name.encode()), box.score) for box in boxes]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)


def _coco_average_precision(
    images: list[Any], predicted: list[Any], target: list[Any], iou_type: Any, *, only_ap50: bool
) -> float:
    """COCO's average precision over all classes that occur among the targets."""
    if not target:
        return float("nan")
    if not predicted:
        return 0.0
    categories = [{"id": index} for index in sorted({item["category_id"] for item in [*target, *predicted]})]
    truth = [item | {"id": index + 1, "iscrowd": 0} for index, item in enumerate(target)]
    data = COCO({"images": images, "annotations": truth, "categories": categories})
    evaluation = COCOeval_faster(data, data.loadRes(predicted), iouType=iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[1 if only_ap50 else 0])


class BoxF1(SampleRatioOfSums):
    """F1 of boxes at an overlap of .5; 1 where there are none on both sides."""

    higher_is_better = True
    title, unit = "F1", FRACTION
    value_if_empty = 1.0

    def terms(self, prediction: Sequence[Box], target: Sequence[Box]) -> tuple[float, float]:
        """One sample's terms."""
        return box_f1_terms(prediction, target)


class PanopticQuality(SampleRatioOfSums):
    """Panoptic quality of masks without classes; 1 where there are none on both sides."""

    higher_is_better = True
    title, unit = "PQ", FRACTION
    value_if_empty = 1.0

    def terms(self, prediction: Masks, target: Masks) -> tuple[float, float]:
        """One sample's terms."""
        return panoptic_terms(prediction, target)


def bounding_box_metrics() -> MetricCollection:
    """Fresh metrics of boxes with classes: AP over .5 to .95, AP at .5, and F1 at .5."""
    return collect(ap=AveragePrecision("bbox"), ap50=AveragePrecision50("bbox"), f1=BoxF1())


def instance_mask_metrics() -> MetricCollection:
    """Fresh metrics of masks without classes: AP over .5 to .95, AP at .5, and panoptic quality."""
    return collect(ap=AveragePrecision("segm"), ap50=AveragePrecision50("segm"), pq=PanopticQuality())
