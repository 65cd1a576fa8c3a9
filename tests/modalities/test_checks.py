"""Values and files of every modality: what is taken, what is cut and said, and what is refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.checks import check_value
from modalities.conformance.subject import values_equal
from modalities.corrections import collect_corrections
from modalities.errors import DataError
from modalities.geometry.boxes import Box
from modalities.geometry.poses import rest_pose
from modalities.kinds.dense import ImageModality
from modalities.layouts import Dense, ScaleConfig
from modalities.registry import default_registry
from modalities.sources.scenes import scene_values
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

SCALE = ScaleConfig(size=64, patch=8, max_channels=8)
REGISTRY = {name: modality.scaled(SCALE) for name, modality in default_registry().items()}
UNIT = np.dstack([np.full((4, 4), 0.6), np.zeros((4, 4)), np.full((4, 4), 0.8)]).astype(np.float32)


def box(corners: tuple[float, float, float, float], name: str = "ball", score: float = 1.0) -> Box:
    return Box(box=corners, class_name=name, score=score)


def record(corners: list[float], name: str = "ball") -> dict[str, Any]:
    return {"box": corners, "class_name": name}


def pose_record(**changes: Any) -> dict[str, Any]:
    return {**rest_pose().to_json(), **changes}


def twisted(value: float) -> list[list[list[float]]]:
    body = rest_pose().body_pose.copy()
    body[3, 1, 2] = value
    found: list[list[list[float]]] = body.tolist()
    return found


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("bounding_boxes", [record([120, 40, 640, 380])], "divide pixels by the image's width and height"),
        ("bounding_boxes", [record([0.5, 0.2, 0.1, 0.6])], "the first two below the others"),
        ("bounding_boxes", [record([0.1, 0.2, 0.1, 0.6])], "the first two below the others"),
        ("bounding_boxes", [record([1.1, 0.2, 1.4, 0.6])], "which lies outside the image"),
        ("bounding_boxes", [record([0.1, 0.2, 0.5, 0.6], "")], "has the class name '', expected words in one line"),
        ("bounding_boxes", [record([0.1, 0.2, 0.5, 0.6], "a\nb")], "expected words in one line"),
        ("bounding_boxes", [record([0.1, 0.2, 0.5, 0.6], "a\ud800")], r"the lone surrogate U\+D800 at character 2"),
        ("bounding_boxes", [{**record([0.1, 0.2, 0.5, 0.6]), "score": 7}], "has the score 7, expected 0 to 1"),
        ("bounding_boxes", {"box": [0, 0, 1, 1]}, "expected a list, found an object"),
        ("bounding_boxes", "a", "expected a list, found a text"),
        ("human_poses", {}, "expected a list, found an object"),
        ("human_poses", [pose_record(body_pose=twisted(float("nan")))], "numbers in body_pose that are not finite"),
        ("human_poses", [pose_record(body_pose=twisted(0.5))], "in body_pose that is no rotation .number 4 of 23"),
        ("human_poses", [pose_record(box=[5, 5, 90, 90])], "divide pixels"),
        ("color_palette", {"a": 1}, "expected a list, found an object"),
        ("color_palette", [[0.5, 0.25, 1.0]], "levels of colours are whole numbers"),
        ("color_palette", [], "has no colours, expected tuple of"),
        ("metadata_image", [["brightness", 3]], "expected an object of numbers, found a list"),
        ("metadata_image", {"brightness": "3"}, "brightness should be a number"),
        ("metadata_image", {"brightness": -3}, "has brightness -3, expected 0 to 255"),
        ("sam_instances", [3], "expected an object with size and instances, found a list"),
        ("sam_instances", {"size": [2, 2], "instances": {}}, "expected a list, found an object"),
        ("sam_instances", {"size": [2, 2]}, "no entry 'instances'"),
        ("caption", ["a"], "should hold one JSON string, found list"),
        ("caption", "a \udfff b", r"has the lone surrogate U\+DFFF at character 3"),
    ],
)
def test_a_record_that_does_not_fit_is_one_line_with_its_file(
    tmp_path: Path, name: str, data: Any, message: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=message) as raised:
        REGISTRY[name].read_file(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("depth", np.full((4, 4), 1500, np.uint16), "holds uint16, expected float32 .*, metres as floats.*: divide"),
        ("normals", np.full((4, 4, 3), 128, np.uint8), "holds uint8, expected .* unit vectors as floats"),
        ("normals", (UNIT + 1) / 2, "has vectors of lengths .* expected .* unit vectors"),
        ("normals", np.full((4, 4, 3), 0.9, np.float32), "has vectors of lengths 1.56 to 1.56"),
        ("t5_caption", np.full((3, 8), np.nan, np.float32), "has numbers that are not finite"),
        (
            "t5_caption",
            np.full((3, 8), 7e4, np.float32),
            "has numbers from 70000 to 70000, expected .* -65504 to 65504",
        ),
        ("t5_caption", np.ones((3, 7), np.float32), r"has shape \(3, 7\)"),
        ("clip", np.full((4, 4, 8), np.inf, np.float32), "has numbers that are not finite"),
        ("clip", np.ones((4, 4, 8), np.int32), "holds int32"),
        ("dinov2_global", np.full(8, 1e9, np.float32), "expected float32 .* -65504 to 65504"),
    ],
)
def test_an_array_that_does_not_fit_is_one_line_with_its_file(
    tmp_path: Path, name: str, array: NDArray[Any], message: str
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array)
    with pytest.raises(DataError, match=message) as raised:
        REGISTRY[name].read_file(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_box_that_reaches_outside_is_cut_and_that_is_said() -> None:
    boxes = (box((-0.25, 0.5, 0.5, 1.5)), box((0.0, 0.0, 1.0, 1.0)))
    with collect_corrections() as lines:
        found = check_value(REGISTRY["bounding_boxes"], boxes, "a.json")
    assert [item.box for item in found] == [(0.0, 0.5, 0.5, 1.0), (0.0, 0.0, 1.0, 1.0)]
    assert lines == [
        "a.json has the box (-0.25, 0.5, 0.5, 1.5), which reaches outside the image and is cut to (0.0, 0.5, 0.5, 1.0)."
    ]
    with collect_corrections() as lines:
        assert check_value(REGISTRY["bounding_boxes"], found, "a.json") == found
    assert lines == []


def test_a_box_of_an_unsure_detector_is_said_not_to_be_spelled() -> None:
    with collect_corrections() as lines:
        check_value(REGISTRY["bounding_boxes"], (box((0, 0, 1, 1), score=0.5), box((0, 0, 1, 1))), "a.json")
    assert lines == ["a.json has 1 of 2 boxes with a score below 0.6, which are not spelled."]


def test_no_instances_are_none() -> None:
    none = REGISTRY["sam_instances"].from_json([])  # type: ignore[attr-defined]
    assert none.shape == (0, 64, 64)
    assert REGISTRY["sam_instances"].to_json(none) == {"size": [64, 64], "instances": []}  # type: ignore[attr-defined]


def test_control_characters_are_spaces_and_that_is_said() -> None:
    with collect_corrections() as lines:
        assert check_value(REGISTRY["caption"], "a\x00red\x1bball\n\tin the sun", "a.txt") == "a red ball\n\tin the sun"
        assert check_value(REGISTRY["caption"], "ein Ball 球 🎈 كرة", "a.txt") == "ein Ball 球 🎈 كرة"
        assert check_value(REGISTRY["caption"], "", "a.txt") == ""
    assert lines == ["a.txt has 2 control characters, replaced by spaces."]


def test_a_number_above_the_highest_bin_is_said() -> None:
    with collect_corrections() as lines:
        check_value(REGISTRY["metadata_image"], {"brightness": 300.0, "contrast": 127.0}, "a.json")
    assert lines == ["a.json has brightness 300, which is spelled as 255, the highest."]


def test_numbers_of_numpy_are_numbers() -> None:
    value = {"brightness": np.float32(2.5), "original_width": np.int64(640)}
    found = check_value(REGISTRY["metadata_image"], REGISTRY["metadata_image"].coerce(value), "a")
    assert found == {"brightness": 2.5, "original_width": 640}
    assert {type(number) for number in found.values()} == {int, float}


def test_a_few_interpolated_normals_are_made_of_unit_length() -> None:
    vectors = UNIT.copy()
    vectors[0, 0] *= 0.5
    found = check_value(REGISTRY["normals"], vectors, "a.npy")
    np.testing.assert_allclose(found, UNIT, atol=1e-6)
    with pytest.raises(DataError, match=r"lengths 0\.5 to 1"):
        check_value(REGISTRY["normals"], np.concatenate([UNIT, UNIT / 2]), "a.npy")


def test_missing_depth_and_classes_pass() -> None:
    meters = np.array([[0, np.nan, np.inf, -1, 2.5]], np.float64)
    np.testing.assert_array_equal(check_value(REGISTRY["depth"], meters, "a"), meters.astype(np.float32))
    classes = np.array([[0, 12, 13, 255]], np.int64)
    assert check_value(REGISTRY["semseg"], classes, "a").tolist() == [[0, 12, 13, 255]]
    for wrong in (-1, 256):
        with pytest.raises(DataError, match=rf"a has classes from .*{wrong}"):
            check_value(REGISTRY["semseg"], np.array([[0, wrong]]), "a")


@pytest.mark.parametrize(("levels", "dtype"), [([0, 7, 255], np.uint8), ([0, 7, 255], np.uint16)])
def test_class_indices_are_read_by_their_value(tmp_path: Path, levels: list[int], dtype: Any) -> None:
    Image.fromarray(np.array([levels], dtype)).save(tmp_path / "a.png")
    assert REGISTRY["semseg"].read_file(tmp_path / "a.png").tolist() == [levels]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("semseg", np.array([[0, 7, 255]], np.int64)),
        ("canny_edges", np.array([[False, True]])),
        ("rgb", np.arange(12, dtype=np.uint8).reshape(2, 2, 3)),
        ("sam_instances", np.array([[[0, 1], [1, 1]]], np.uint8)),
    ],
)
def test_pixels_may_be_arrays_in_files(tmp_path: Path, name: str, array: NDArray[Any]) -> None:
    np.save(tmp_path / "a.npy", array)
    found = REGISTRY[name].read_file(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == (bool if name == "sam_instances" else np.uint8)


def test_classes_of_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1000]], np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png has classes from 0 to 1000, expected .* integers 0 to 255"):
        REGISTRY["semseg"].read_file(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [([0, 255], np.uint8), ([0, 1], np.uint8), ([0, 65535], np.uint16), ([0, 1], np.uint16), ([10, 128], np.uint8)],
)
def test_edges_are_read_by_their_value(tmp_path: Path, levels: list[int], dtype: Any) -> None:
    Image.fromarray(np.array([levels], dtype)).save(tmp_path / "a.png")
    assert REGISTRY["canny_edges"].read_file(tmp_path / "a.png").tolist() == [[0, 1]]


@pytest.mark.parametrize(("levels", "dtype"), [([0, 77], np.uint8), ([0, 255], np.uint16)])
def test_edges_without_a_white_level_are_refused(tmp_path: Path, levels: list[int], dtype: Any) -> None:
    Image.fromarray(np.array([levels], dtype)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=rf"a\.png has levels from 0 to {levels[1]} of .*, expected white"):
        REGISTRY["canny_edges"].read_file(tmp_path / "a.png")


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_none_is_refused_by_every_modality(name: str) -> None:
    with pytest.raises(DataError, match=f"a is None, expected for {name} "):
        check_value(REGISTRY[name], None, "a")


@pytest.mark.parametrize("name", sorted(REGISTRY))
@pytest.mark.parametrize("value", [object(), 3, b"a"])
def test_a_value_of_another_kind_is_one_line(name: str, value: Any) -> None:
    with pytest.raises(DataError, match=r"^a ") as raised:
        check_value(REGISTRY[name], value, "a")
    assert "\n" not in str(raised.value)


def test_a_plug_in_is_checked_by_its_kind_and_its_own_range() -> None:
    class Elevation(ImageModality):
        @property
        def value_spec(self) -> Any:
            from dataclasses import replace

            return replace(super().value_spec, unit="metres above the sea", low=-500, high=9000)

        def read_file(self, path: Path) -> Any:
            raise NotImplementedError

        write_file = render = metrics = read_file  # type: ignore[assignment]

    elevation = Elevation(
        name="elevation",
        title="Elevation",
        layout=Dense(channels=1, size=64, patch=8),
        tokenizer=ViTVQ(name="elevation", vocab_size=8, loss=ReconstructionLoss.mse),
    )
    good = np.array([[-430.0, 8848.0]], np.float32)
    np.testing.assert_array_equal(check_value(elevation, good, "a.npy"), good)
    with pytest.raises(DataError, match=r"a\.npy has numbers from 0 to 29029, expected .* metres above the sea"):
        check_value(elevation, np.array([[0, 29029.0]], np.float32), "a.npy")


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_values_of_scenes_pass_as_they_are(name: str) -> None:
    modality = REGISTRY[name]
    for value in scene_values(modality, seeds=range(12)):
        with collect_corrections() as lines:
            assert values_equal(check_value(modality, value, "a"), value)
        assert [line for line in lines if "which is spelled as" not in line] == []
