"""Crops and mirror images show the same part of every modality of a sample: properties over random crops and values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modalities.conformance.subject import values_equal
from modalities.geometry.body import JOINT_NAMES, euler_matrices
from modalities.geometry.boxes import Box
from modalities.geometry.masks import mask_boxes
from modalities.geometry.poses import Pose, rest_pose
from modalities.kinds.sequences import swap_left_right
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.scenes import scene_values
from modalities.spec import Crop

SIDE = 64
SCALE = ScaleConfig(size=SIDE, patch=8, max_channels=8)
MODALITIES = {name: modality.scaled(SCALE) for name, modality in default_registry().items()}
WHOLE = Crop(left=0, top=0, width=1, height=1)
MIRROR = replace(WHOLE, flip=True)
INVARIANT = {
    "color_palette",
    "dinov2_global",
    "imagebind_global",
    "metadata",
    "metadata_geometric",
    "metadata_image",
    "metadata_semantic",
    "t5_caption",
}


@st.composite
def crops(draw: st.DrawFn, *, flips: bool = True) -> Crop:
    """A part of a quarter of each side at least."""
    width, height = draw(st.integers(16, SIDE)), draw(st.integers(16, SIDE))
    left, top = draw(st.integers(0, SIDE - width)), draw(st.integers(0, SIDE - height))
    return Crop(
        left=left / SIDE,
        top=top / SIDE,
        width=width / SIDE,
        height=height / SIDE,
        flip=draw(st.booleans()) if flips else False,
    )


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """A box whose edges lie between pixels."""
    left, right = sorted(draw(st.sets(st.integers(0, SIDE), min_size=2, max_size=2)))
    top, bottom = sorted(draw(st.sets(st.integers(0, SIDE), min_size=2, max_size=2)))
    return left / SIDE, top / SIDE, right / SIDE, bottom / SIDE


def composed(outer: Crop, inner: Crop) -> Crop:
    """The crop that shows what ``inner`` shows of what ``outer`` shows."""
    left = 1 - inner.left - inner.width if outer.flip else inner.left
    return Crop(
        left=outer.left + left * outer.width,
        top=outer.top + inner.top * outer.height,
        width=outer.width * inner.width,
        height=outer.height * inner.height,
        flip=outer.flip != inner.flip,
    )


def filled(box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """A map that is 1 inside a box."""
    left, top, right, bottom = (round(edge * SIDE) for edge in box)
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[top:bottom, left:right] = 1
    return values


def plane(slope_x: float, slope_y: float, offset: float) -> NDArray[np.float32]:
    """A linear function at the pixels' centres, which bilinear resampling keeps."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    values: NDArray[np.float32] = (offset + slope_x * x + slope_y * y).astype(np.float32)
    return values


@pytest.mark.parametrize("name", sorted(MODALITIES))
def test_invariance_under_a_flip_is_what_the_modality_says(name: str) -> None:
    modality = MODALITIES[name]
    values = scene_values(modality, seeds=range(8))
    same = [values_equal(modality.transform(v, MIRROR), modality.transform(v, WHOLE), 0.0) for v in values]
    assert modality.is_flip_invariant == (name in INVARIANT)
    if modality.is_flip_invariant:
        assert all(same)
    elif name not in ("caption", "web_text"):  # Their texts need not name a side.
        assert not all(same)


@pytest.mark.parametrize("name", sorted(MODALITIES))
def test_a_mirror_image_of_a_mirror_image_is_the_image(name: str) -> None:
    modality = MODALITIES[name]
    for value in scene_values(modality, seeds=range(8)):
        once = modality.transform(value, WHOLE)
        assert values_equal(modality.transform(modality.transform(once, MIRROR), MIRROR), once, 1e-5)


@given(outer=crops(), inner=crops(), slopes=st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
@settings(max_examples=60, deadline=None)
def test_a_crop_of_a_crop_is_one_crop_of_measured_levels(outer: Crop, inner: Crop, slopes: tuple[float, float]) -> None:
    once = composed(outer, inner)
    depth = MODALITIES["depth"]
    meters = plane(*slopes, 5.0)
    twice = depth.transform(depth.transform(meters, outer), inner)
    found = depth.transform(meters, once)
    # Within half a pixel of an image's edge a resampler repeats the last level; that far into it both may differ.
    border = int(np.ceil(SIDE / min(inner.width, inner.height, outer.width, outer.height) / SIDE / 2)) * 4
    inside = (slice(border, SIDE - border),) * 2
    np.testing.assert_allclose(twice[inside], found[inside], atol=0.02)
    rgb = MODALITIES["rgb"]
    levels = np.repeat((plane(*slopes, 5.0) * 25).astype(np.uint8)[..., None], 3, axis=2)
    twice, found = rgb.transform(rgb.transform(levels, outer), inner), rgb.transform(levels, once)
    assert np.abs(twice.astype(int) - found.astype(int))[inside].max(initial=0) <= 3


@given(outer=crops(), inner=crops(), box=boxes())
@settings(max_examples=100, deadline=None)
def test_a_crop_of_a_crop_is_one_crop_of_boxes_and_people(
    outer: Crop, inner: Crop, box: tuple[float, float, float, float]
) -> None:
    once = composed(outer, inner)
    for name, value in (
        ("bounding_boxes", (Box(box=box, class_name="ball"),)),
        ("human_poses", (replace(rest_pose(), box=box),)),
    ):
        modality = MODALITIES[name]
        twice, found = modality.transform(modality.transform(value, outer), inner), modality.transform(value, once)
        if len(twice) == len(found) == 1:
            np.testing.assert_allclose(twice[0].box, found[0].box, atol=1e-9)
        else:
            # A sliver whose width rounding decides.
            assert all(min(b.box[2] - b.box[0], b.box[3] - b.box[1]) < 1e-9 for b in (*twice, *found))


@given(crop=crops(), box=boxes())
@settings(max_examples=200, deadline=None)
def test_boxes_follow_the_pixels_of_maps_and_masks(crop: Crop, box: tuple[float, float, float, float]) -> None:
    cropped = MODALITIES["bounding_boxes"].transform((Box(box=box, class_name="ball"),), crop)
    maps = [
        MODALITIES["semseg"].transform(filled(box), crop) == 1,
        MODALITIES["canny_edges"].transform(filled(box), crop) == 1,
        *MODALITIES["sam_instances"].transform(filled(box)[None].astype(bool), crop),
    ]
    for found in maps:
        if not found.any():
            continue
        # A cell of the crop belongs to the box if its centre does, so that edges are off by half a cell at most.
        np.testing.assert_allclose(mask_boxes(found[None])[0], cropped[0].box, atol=0.51 / SIDE)
    if not cropped:
        assert not any(found.any() for found in maps)


@given(crop=crops(), box=boxes())
@settings(max_examples=50, deadline=None)
def test_pixels_of_pictures_follow_those_of_maps(crop: Crop, box: tuple[float, float, float, float]) -> None:
    picture = np.repeat(filled(box)[..., None] * np.uint8(255), 3, axis=2)
    found = MODALITIES["rgb"].transform(picture, crop)[..., 0]
    expected = MODALITIES["semseg"].transform(filled(box), crop)
    # Interpolated levels lie on the side of the nearest pixel, but for cells that an edge goes through.
    clear = (found < 5) | (found > 250)
    np.testing.assert_array_equal((found > 127)[clear], expected[clear] == 1)


@given(crop=crops(), slopes=st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
@settings(max_examples=50, deadline=None)
def test_normals_are_those_of_the_surface_that_the_crop_shows(crop: Crop, slopes: tuple[float, float]) -> None:
    """Against the normals of the cropped and mirrored height field, of which x points right and y up."""

    def normals_of(heights: NDArray[np.float32], width: float, height: float) -> NDArray[np.float32]:
        down, right = np.gradient(heights, height / SIDE, width / SIDE)
        vectors = np.dstack([-right, down, np.ones_like(heights)])
        found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
        return found

    heights = plane(*slopes, 3.0)
    cropped = MODALITIES["depth"].transform(heights, crop)
    inside = (slice(8, SIDE - 8),) * 2
    np.testing.assert_allclose(
        MODALITIES["normals"].transform(normals_of(heights, 1, 1), crop)[inside],
        normals_of(cropped, crop.width, crop.height)[inside],
        atol=0.02,
    )


@given(angles=st.lists(st.floats(-1.5, 1.5), min_size=72, max_size=72), betas=st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_a_mirrored_person_has_mirrored_joints(angles: list[float], betas: float) -> None:
    turns = euler_matrices(np.array(angles).reshape(24, 3)).astype(np.float32)
    pose = Pose(
        box=(0.125, 0.25, 0.5, 0.75),
        global_orient=turns[0],
        body_pose=turns[1:],
        betas=np.full(10, betas, np.float32),
        camera=np.array([0.25, -0.125, 3], np.float32),
    )
    (mirrored,) = MODALITIES["human_poses"].transform((pose,), MIRROR)
    opposite = [JOINT_NAMES.index(swap_left_right(name)) for name in JOINT_NAMES]
    np.testing.assert_allclose(mirrored.joints(), pose.joints()[opposite] * [-1, 1, 1], atol=1e-5)
    np.testing.assert_allclose(mirrored.translation, pose.translation * [-1, 1, 1])
    assert mirrored.box == (0.5, 0.25, 0.875, 0.75)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("a ball left of a box", "a ball right of a box"),
        ("LEFT, Right and left-hand", "RIGHT, Left and right-hand"),
        ("the leftmost, on the left side; rightwards", "the rightmost, on the right side; leftwards"),
        ("a bright upright leftover", "a bright upright leftover"),
        ("à gauche, links, слева", "à gauche, links, слева"),
        ("", ""),
    ],
)
def test_left_and_right_are_exchanged_in_texts(text: str, mirrored: str) -> None:
    caption = MODALITIES["caption"]
    assert caption.transform(text, MIRROR) == mirrored
    assert caption.transform(mirrored, MIRROR) == text
    assert caption.transform(text, replace(MIRROR, flip=False)) == text


@given(text=st.text(), crop=crops(flips=False))
@settings(max_examples=50, deadline=None)
def test_a_text_is_its_own_mirror_image_twice_and_survives_crops(text: str, crop: Crop) -> None:
    caption = MODALITIES["caption"]
    assert caption.transform(text, crop) == text
    assert caption.transform(text.lower(), MIRROR) == swap_left_right(text.lower())
    assert caption.transform(caption.transform(text.lower(), MIRROR), MIRROR) == text.lower()


@given(crop=crops())
@settings(max_examples=20, deadline=None)
def test_facts_vectors_and_palettes_are_the_whole_images(crop: Crop) -> None:
    values: dict[str, Any] = {
        "metadata_image": {"original_width": 640, "brightness": 3.5},
        "metadata_semantic": {"n_humans": 2},
        "color_palette": ((1, 2, 3), (4, 5, 6)),
        "dinov2_global": np.arange(8, dtype=np.float32),
        "t5_caption": np.ones((3, 8), np.float32),
    }
    for name, value in values.items():
        assert values_equal(MODALITIES[name].transform(value, crop), value, 0.0)


@given(outer=crops())
@settings(max_examples=30, deadline=None)
def test_feature_maps_are_resampled_like_levels(outer: Crop) -> None:
    features, depth = MODALITIES["clip"], MODALITIES["depth"]
    side = SIDE // 8
    linear = plane(1.5, -1.0, 3.0).reshape(side, 8, side, 8).mean(axis=(1, 3), dtype=np.float32)
    found = features.transform(np.repeat(linear[..., None], 8, axis=2), outer)[1:-1, 1:-1, 0]
    levels = depth.transform(plane(1.5, -1.0, 3.0), outer).reshape(side, 8, side, 8).mean(axis=(1, 3))[1:-1, 1:-1]
    # Near the image's edge there is no vector beyond the last to interpolate with, for up to half a patch.
    np.testing.assert_allclose(found, levels, atol=2.5 / 16 + 0.01)
