"""Lines over photographs lie where their labels say."""

import numpy as np

from experiments.doctor.overlays import LINE_COLOR, MIN_SIDE, borders, is_in_frame, overlay
from modalities.geometry.boxes import Box
from modalities.rendering.sheet import render_value
from modalities.spec import Modality, Value
from tests.experiments.doctor.table import modalities_at_scale

GRAY = np.full((32, 32, 3), 120, np.uint8)


def lines_of(modality: Modality, value: Value) -> np.ndarray:
    picture = overlay(modality, value, render_value(modality, value), GRAY)
    assert picture is not None
    lines: np.ndarray = (picture != 120).any(-1)
    return lines


def test_borders_are_where_neighbours_differ() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (9, 7)).astype(np.uint8)
    expected = np.zeros((9, 7), bool)
    for row in range(9):
        for column in range(7):
            right = column + 1 < 7 and labels[row, column] != labels[row, column + 1]
            below = row + 1 < 9 and labels[row, column] != labels[row + 1, column]
            expected[row, column] = right or below
    np.testing.assert_array_equal(borders(labels), expected)


def test_a_class_map_is_outlined() -> None:
    modality = modalities_at_scale("semseg")["semseg"]
    value = np.zeros((32, 32), np.uint8)
    value[:, 16:] = 3
    found = lines_of(modality, value)
    assert np.flatnonzero(found.any(0)).tolist() == [MIN_SIDE // 2 - 1]
    assert found.any(1).all()


def test_edges_are_drawn_whole() -> None:
    modality = modalities_at_scale("canny_edges")["canny_edges"]
    value = np.zeros((32, 32), np.uint8)
    value[4, 5] = 1
    picture = overlay(modality, value, render_value(modality, value), GRAY)
    assert picture is not None
    cell = MIN_SIDE // 32
    assert (picture[4 * cell : 5 * cell, 5 * cell : 6 * cell] == LINE_COLOR).all()
    assert (picture != 120).any(-1).sum() == cell**2


def test_masks_are_outlined() -> None:
    modality = modalities_at_scale("sam_instances")["sam_instances"]
    value = np.zeros((2, 32, 32), bool)
    value[0, :, :8], value[1, 24:, :] = True, True
    found = lines_of(modality, value)
    assert np.flatnonzero(found.all(0)).tolist() == [MIN_SIDE // 4 - 1]
    assert np.flatnonzero(found.all(1)).tolist() == [MIN_SIDE * 3 // 4 - 1]
    assert overlay(modality, value[:0], render_value(modality, value[:0]), GRAY) is None


def test_boxes_are_drawn_where_they_are() -> None:
    modality = modalities_at_scale("bounding_boxes")["bounding_boxes"]
    value = (Box(box=(0.5, 0.5, 0.75, 1.0), class_name="dog"),)
    found = lines_of(modality, value)
    assert not found[:, : MIN_SIDE // 2 - 3].any()
    assert found[-3:, MIN_SIDE // 2 + 3 : MIN_SIDE * 3 // 4 - 3].any()


def test_what_has_no_place_in_the_image_is_not_drawn_on_it() -> None:
    modalities = modalities_at_scale("caption", "dinov2_global", "depth", "bounding_boxes")
    vector = np.arange(8, dtype=np.float32)
    depth = np.ones((32, 32), np.float32)
    for name, value in (("caption", "a dog"), ("dinov2_global", vector), ("depth", depth)):
        assert overlay(modalities[name], value, render_value(modalities[name], value), GRAY) is None
    assert not is_in_frame(modalities["dinov2_global"], vector, render_value(modalities["dinov2_global"], vector))
    assert is_in_frame(modalities["depth"], depth, render_value(modalities["depth"], depth))
    assert not is_in_frame(modalities["bounding_boxes"], (), render_value(modalities["bounding_boxes"], ()))
