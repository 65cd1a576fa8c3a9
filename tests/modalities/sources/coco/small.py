"""A COCO folder of a few images: boxes, polygons and run lengths, a crowd, panoptic maps, captions, keypoints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.modalities.sources.samples import png, words

HEIGHT, WIDTH = 24, 40
CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "green grass"}, {"id": 90, "name": "dog"}]


def write_coco(root: Path, set_name: str, numbers: Sequence[int]) -> None:
    """One set: image ``n`` is a plain colour with a cat at x = n % 8, a dog in run lengths, and a crowd of dogs."""
    things: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    maps: list[dict[str, Any]] = []
    images = []
    for number in numbers:
        name = f"{number:012d}"
        images.append({"id": number, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH})
        _write(root / set_name / f"{name}.png", png(np.full((HEIGHT, WIDTH, 3), number * 5 % 256, dtype=np.uint8)))
        _write(root / "annotations" / f"panoptic_{set_name}" / f"{name}.png", png(panoptic(number)))
        things += _things(number)
        captions += [
            {"id": number * 10 + copy, "image_id": number, "caption": f"{words(number)} Again {copy}."}
            for copy in range(5)
        ]
        segments = [{"id": 1, "category_id": 7}, {"id": 300, "category_id": 3}]
        maps.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
    licenses = [{"id": 1, "name": "CC-BY-4.0"}]
    files = {"instances": things, "captions": captions, "panoptic": maps, "person_keypoints": _people(numbers)}
    for kind, annotations in files.items():
        content: dict[str, Any] = {"images": images, "annotations": annotations, "licenses": licenses}
        if kind != "captions":
            content["categories"] = CATEGORIES
        _write(root / "annotations" / f"{kind}_{set_name}.json", json.dumps(content).encode())


def cat(number: int) -> tuple[int, int, int, int]:
    """The cat's box, as left, top, right, bottom in pixels."""
    left = number % 8
    return left, 4, left + 12, 16


def dog_mask() -> Any:
    """The dog: two columns at the right."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[2:20, 30:38] = True
    return mask


def panoptic(number: int) -> Any:
    """Segment 300 (the cat) on segment 1 (grass), the upper row without a segment."""
    left, top, right, bottom = cat(number)
    levels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    levels[1:, :, 0] = 1
    levels[top:bottom, left:right] = (300 - 256, 1, 0)
    return levels


def _things(number: int) -> list[dict[str, Any]]:
    left, top, right, bottom = cat(number)
    columns = dog_mask().T.ravel()
    changes = np.flatnonzero(np.diff(columns.astype(int))) + 1
    counts = np.diff([0, *changes.tolist(), columns.size]).tolist()
    base = {"image_id": number, "iscrowd": 0}
    polygon = [left, top, right, top, right, bottom, left, bottom]
    low = [20, 20, 40, 20, 40, 24, 20, 24]
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, 2, HEIGHT * WIDTH - 2]}
    return [
        {
            **base,
            "id": number * 10,
            "category_id": 3,
            "bbox": [left, top, right - left, bottom - top],
            "segmentation": [polygon],
        },
        {
            **base,
            "id": number * 10 + 1,
            "category_id": 90,
            "bbox": [30, 2, 8, 18],
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts},
        },
        {
            **base,
            "id": number * 10 + 2,
            "category_id": 90,
            "bbox": [0, 0, 1, 2],
            "iscrowd": 1,
            "segmentation": crowd,
        },
        # A box that reaches outside the image is cut, one without area is left out.
        {**base, "id": number * 10 + 3, "category_id": 90, "bbox": [20, 20, 30, 30], "segmentation": [low]},
        {**base, "id": number * 10 + 4, "category_id": 90, "bbox": [5, 5, 0, 4], "segmentation": [low]},
    ]


def _people(numbers: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "image_id": number,
            "category_id": 3,
            "bbox": [0, 0, 4, 4],
            "keypoints": [10, 6, 2, 0, 0, 0, 20, 12, 1],
        }
        for number in numbers
    ]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
