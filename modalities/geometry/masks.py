"""Binary masks of single things: run lengths for files, crops for the tokenizer, and back."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64
from PIL import Image

from modalities.geometry.boxes import Corners

Masks = Bool[np.ndarray, "_ _ _"]
"""One sample's masks, (things, height, width)."""
MIN_BOX_AREA = 0.0005
"""Instances whose box covers less of the image than this are left out."""


def mask_boxes(masks: Bool[np.ndarray, "k h w"]) -> Float64[np.ndarray, "k 4"]:
    """Each mask's xmin, ymin, xmax, ymax as shares of the image, far edges exclusive; zeros for an empty one."""
    boxes = np.zeros((len(masks), 4))
    height, width = masks.shape[1:]
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            box[:] = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    return boxes


def box_slices(box: Corners, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns that a box covers, at least one of each, inside the image."""
    left = min(max(round(box[0] * width), 0), width - 1)
    top = min(max(round(box[1] * height), 0), height - 1)
    right = min(max(round(box[2] * width), left + 1), width)
    bottom = min(max(round(box[3] * height), top + 1), height)
    return slice(top, bottom), slice(left, right)


def filled_box_mask(box: Corners, size: int) -> Bool[np.ndarray, "h w"]:
    """A square mask that is true inside the box."""
    mask = np.zeros((size, size), dtype=bool)
    mask[box_slices(box, size, size)] = True
    return mask


def crop_mask(mask: Bool[np.ndarray, "h w"], box: Corners, side: int) -> Float32[np.ndarray, "side side"]:
    """The part of ``mask`` inside ``box`` as side x side values 0..1, shares of area where it shrinks."""
    rows, columns = box_slices(box, *mask.shape)
    return _resize_array(mask[rows, columns].astype(np.float32), side, side)


def paste_mask(part: Float32[np.ndarray, "a b"], box: Corners, size: int) -> Bool[np.ndarray, "h w"]:
    """A square mask that holds ``part`` (shares 0..1) resized into ``box``, true from a half on."""
    mask = np.zeros((size, size), dtype=bool)
    rows, columns = box_slices(box, size, size)
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    mask[rows, columns] = _resize_array(part.astype(np.float32), *shape) >= 0.5
    return mask


def _resize_array(values: Float32[np.ndarray, "a b"], height: int, width: int) -> Float32[np.ndarray, "h w"]:
    """An array resampled by areas where it shrinks and linearly where it grows."""
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def mask_iou(one: Bool[np.ndarray, "n a b"], other: Bool[np.ndarray, "m h w"]) -> Float64[np.ndarray, "n m"]:
    """The intersection over union of each mask with each other; 0 where both are empty.

    Masks of another size than the second's are resampled to it.
    """
    if len(one) == 0 or len(other) == 0:
        return np.zeros((len(one), len(other)))
    first = resize_masks(one, *other.shape[1:]).reshape(len(one), -1).astype(np.float64)
    second = other.reshape(len(other), -1).astype(np.float64)
    common = first @ second.T
    union = first.sum(1)[:, None] + second.sum(1)[None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def resize_masks(masks: Bool[np.ndarray, "k a b"], height: int, width: int) -> Bool[np.ndarray, "k h w"]:
    """Masks at another size, by the nearest value."""
    if masks.shape[1:] == (height, width):
        return masks
    rows = (np.arange(height) + 0.5) * masks.shape[1] / height
    columns = (np.arange(width) + 0.5) * masks.shape[2] / width
    return masks[:, rows.astype(int)[:, None], columns.astype(int)[None, :]]


def mask_to_rle(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """A mask as COCO's uncompressed run lengths: column by column, the count of zeros first."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def rle_to_mask(data: Any) -> Bool[np.ndarray, "h w"]:
    """The mask that COCO's uncompressed run lengths describe.

    Raises:
        ValueError: The runs do not add up to the size.
    """
    height, width = (int(side) for side in data["size"])
    counts = np.array(data["counts"], dtype=np.int64)
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(f"runs of {counts.sum()} pixels, expected {height} x {width} = {height * width}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def largest_masks_first(masks: Bool[np.ndarray, "_ h w"]) -> Bool[np.ndarray, "_ h w"]:
    """Masks by their count of pixels, without those whose box covers less of the image than `MIN_BOX_AREA`."""
    boxes = mask_boxes(masks)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    kept = masks[areas >= MIN_BOX_AREA]
    return np.asarray(kept[np.argsort(-kept.sum((1, 2)), kind="stable")])
