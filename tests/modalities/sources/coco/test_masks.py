"""Masks are decoded as an independent decoder, or a plain loop, has them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from modalities.errors import DataError
from modalities.geometry.masks import mask_to_rle
from modalities.sources.coco.masks import decode_segmentation, read_panoptic
from tests.modalities.sources.samples import png


def _runs(mask: Any) -> list[int]:
    """Lengths of the runs down the columns, by a plain loop; the first counts zeros."""
    counts, current = [0], False
    for value in mask.T.ravel().tolist():
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return counts


def _compressed(counts: list[int]) -> str:
    """Run lengths as COCO's text: differences to the run two before, 5 bits a letter, from '0' on."""
    text = ""
    for number, count in enumerate(counts):
        left, more = count - (counts[number - 2] if number > 2 else 0), True
        while more:
            bits = left & 31
            left >>= 5
            more = left != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
    return text


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1 << 30))
def test_run_lengths_round_trip_plain_and_compressed(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.4
    runs = _runs(mask)
    assert mask_to_rle(mask)["counts"] == runs
    for counts in (runs, _compressed(runs), _compressed(runs).encode()):
        found = decode_segmentation({"size": [height, width], "counts": counts}, height, width, "x")
        np.testing.assert_array_equal(found, mask)


def test_a_rectangle_is_filled_and_polygons_are_joined() -> None:
    left, right = [2, 3, 10, 3, 10, 9, 2, 9], [20.0, 0.0, 25.0, 0.0, 25.0, 4.0, 20.0, 4.0]
    expected = np.zeros((20, 30), dtype=bool)
    expected[3:9, 2:10] = expected[0:4, 20:25] = True
    np.testing.assert_array_equal(decode_segmentation([left, right], 20, 30, "x"), expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_polygon_agrees_with_scikit_image(seed: int) -> None:
    draw = np.random.default_rng(seed)
    angles = np.sort(draw.uniform(0, 2 * np.pi, 9))
    radii = draw.uniform(30, 60, 9)
    x, y = 80 + radii * np.cos(angles), 70 + radii * np.sin(angles)
    found = decode_segmentation([np.stack([x, y], 1).ravel().tolist()], 140, 160, "x")
    expected = polygon2mask((140, 160), np.stack([y, x], 1))  # type: ignore[no-untyped-call]
    assert (found & expected).sum() / (found | expected).sum() > 0.95


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3, 4]], "at least three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three points"),
        ([[float("nan")] * 6], "at least three points"),
        ([], "expected polygons"),
        (None, "expected polygons"),
        ({"size": [9, 9], "counts": [81]}, r"its size is \[9, 9\], the image's \[20, 30\]"),
        ({"size": [20, 30], "counts": [5]}, "5 pixels but expected 600"),
        ({"size": [20, 30], "counts": "PPPgarbage"}, "malformed"),
    ],
)
def test_what_is_no_mask_is_one_line(segmentation: Any, reason: str) -> None:
    with pytest.raises(DataError, match=f"annotation 7 has a segmentation that cannot be read: .*{reason}"):
        decode_segmentation(segmentation, 20, 30, "annotation 7")


def test_colours_of_panoptic_maps_are_numbers() -> None:
    levels = np.array([[[5, 0, 0], [0, 1, 0]], [[1, 2, 3], [255, 255, 255]]], dtype=np.uint8)
    assert read_panoptic(png(levels), "x").tolist() == [[5, 256], [1 + 512 + 3 * 65536, 256**3 - 1]]


def test_what_is_no_panoptic_map_is_one_line() -> None:
    with pytest.raises(DataError, match=r"x\.png is not a whole image"):
        read_panoptic(b"nothing", "x.png")
    with pytest.raises(DataError, match=r"x\.png has pixels of kind L, expected the colours"):
        read_panoptic(png(np.zeros((2, 2), dtype=np.uint8)), "x.png")
