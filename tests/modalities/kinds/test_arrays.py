"""Values as programs hold them: what is taken, what it becomes, and the one line for everything else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modalities.errors import DataError
from modalities.geometry.boxes import Box
from modalities.registry import default_registry

REGISTRY = default_registry()
RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
NORMALS = np.dstack([np.full((5, 7), 0.6), np.zeros((5, 7)), np.full((5, 7), 0.8)]).astype(np.float32)
METERS = np.linspace(0.5, 9, 35, dtype=np.float32).reshape(5, 7)
MILLIMETERS = (METERS * 1000).astype(np.uint16)
CLASSES = RNG.integers(0, 5, (5, 7)).astype(np.uint8)
EDGES = RNG.integers(0, 2, (5, 7)).astype(np.uint8)
BOX = Box(box=(0.1, 0.2, 0.5, 0.6), class_name="ball")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rgb", LEVELS, LEVELS),
        ("rgb", LEVELS.transpose(2, 0, 1), LEVELS),
        ("rgb", (LEVELS / 255).astype(np.float32), LEVELS),
        ("rgb", LEVELS / 255, LEVELS),
        ("rgb", torch.from_numpy(LEVELS / 255).permute(2, 0, 1).float(), LEVELS),
        ("rgb", Image.fromarray(LEVELS), LEVELS),
        ("rgb", Image.fromarray(LEVELS[..., 0]), np.repeat(LEVELS[..., :1], 3, axis=2)),
        ("depth", METERS, METERS),
        ("depth", METERS[None], METERS),
        ("depth", torch.from_numpy(METERS)[..., None].bfloat16(), torch.from_numpy(METERS).bfloat16().float().numpy()),
        (
            "depth",
            Image.fromarray((METERS * 1000).astype(np.uint16)),
            (METERS * 1000).astype(np.uint16) / np.float32(1000),
        ),
        ("normals", NORMALS, NORMALS),
        ("normals", NORMALS.transpose(2, 0, 1), NORMALS),
        ("semseg", CLASSES, CLASSES),
        ("semseg", torch.from_numpy(CLASSES).long(), CLASSES),
        ("semseg", Image.fromarray(CLASSES), CLASSES),
        ("canny_edges", EDGES, EDGES),
        ("canny_edges", EDGES.astype(bool), EDGES),
        ("canny_edges", EDGES * 255, EDGES),
        ("canny_edges", Image.fromarray(EDGES * 255), EDGES),
        ("sam_instances", EDGES[None], EDGES[None].astype(bool)),
        ("caption", "a red ball", "a red ball"),
        ("bounding_boxes", (BOX,), (BOX,)),
        ("color_palette", ((1, 2, 3),), ((1, 2, 3),)),
    ],
)
def test_a_value_is_taken_in_any_of_its_forms(name: str, value: Any, expected: Any) -> None:
    found = REGISTRY[name].coerce(value)
    if isinstance(expected, np.ndarray):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found.shape == expected.shape
    else:
        assert found == expected


def test_missing_depth_and_normals_are_as_the_modality_says() -> None:
    meters = METERS.copy()
    meters[0, :3] = [np.nan, np.inf, -1]
    np.testing.assert_array_equal(REGISTRY["depth"].coerce(meters), meters)
    vectors = NORMALS.copy()
    vectors[0, 0], vectors[0, 1] = np.nan, 0
    found = REGISTRY["normals"].coerce(vectors)
    assert (found[0, :2] == 0).all()
    np.testing.assert_allclose(found[1:], NORMALS[1:])


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_an_open_image_is_what_its_file_is(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(LEVELS).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        found = REGISTRY["rgb"].coerce(image)
    np.testing.assert_array_equal(found, REGISTRY["rgb"].read_file(tmp_path / "a.jpg"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "rgb",
            LEVELS.astype(np.float32),
            r"rgb has floats from .* to .*, expected uint8 \(h, w, 3\), sRGB levels, or floats",
        ),
        ("rgb", LEVELS / 127.5 - 1, "rgb has floats from -1 to 0"),
        ("rgb", LEVELS.astype(np.int64), "rgb holds int64, expected uint8"),
        ("rgb", LEVELS[..., 0], r"rgb has shape \(5, 7\)"),
        ("rgb", LEVELS[None], r"rgb has shape \(1, 5, 7, 3\)"),
        ("rgb", LEVELS[:3], "whose channels may come first or last"),
        ("rgb", np.full((5, 7, 3), np.nan), "rgb has floats from nan to nan"),
        ("rgb", [1, 2], "rgb is a list, expected uint8"),
        ("rgb", np.array([["a"]]), "rgb holds <U1"),
        (
            "depth",
            MILLIMETERS,
            r"depth holds uint16, expected float32 \(h, w\), metres as floats, .*: divide millimetres by 1000",
        ),
        ("depth", NORMALS, r"depth has shape \(5, 7, 3\), expected float32 \(h, w\), metres as floats"),
        ("depth", METERS[:1, None, :1], r"depth has shape \(1, 1, 1\)"),
        ("depth", Image.fromarray(CLASSES), "depth has levels of 8 bits, expected 16 bits of millimetres"),
        ("normals", (NORMALS + 1) / 2, "normals has vectors of lengths"),
        ("normals", (NORMALS * 127).astype(np.int8), "normals holds int8"),
        (
            "semseg",
            CLASSES.astype(np.float32),
            r"semseg holds float32, expected uint8 \(h, w\), class indices as integers 0 to 255, of which 0 to 12 are",
        ),
        ("semseg", CLASSES.astype(np.int64) + 300, "semseg has classes from 30"),
        ("semseg", Image.fromarray(LEVELS), "semseg has shape"),
        ("canny_edges", LEVELS[..., 0], "canny_edges has numbers from"),
        ("clip", np.zeros((4, 4, 3), np.float32), "clip has shape"),
        ("dinov2_global", np.zeros(3, np.float32), r"dinov2_global has shape \(3,\)"),
        ("t5_caption", np.zeros((0, 4096), np.float32), r"expected float32 \(n, 4096\), 1 to 77 vectors"),
        ("sam_instances", LEVELS, "sam_instances has numbers from"),
        ("sam_instances", CLASSES, "sam_instances has shape"),
        ("caption", b"a", "caption is a bytes, expected a string"),
        (
            "bounding_boxes",
            (Box(box=(10, 20, 300, 400), class_name="ball"),),
            "expected xmin, ymin, xmax, ymax as shares",
        ),
        ("bounding_boxes", (Box(box=(0.5, 0.2, 0.1, 0.6), class_name="ball"),), "the first two below the others"),
        ("bounding_boxes", (Box(box=(0.1, 0.2, 0.5, 0.6), class_name=" "),), "expected words in one line"),
        ("bounding_boxes", 3, "bounding_boxes is a int that does not hold"),
        ("color_palette", ((1, 2, 300),), "color_palette is a tuple that does not hold"),
        ("metadata_image", {"colour": 3.0}, "metadata_image is a dict that does not hold"),
    ],
)
def test_what_does_not_fit_is_one_line(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        REGISTRY[name].coerce(value)
    assert "\n" not in str(raised.value)
