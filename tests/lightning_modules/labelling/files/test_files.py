"""Networks in files: what goes in, number by number, and what the numbers that come out mean."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from lightning_modules.labelling.choose import expert_labeller
from lightning_modules.labelling.files.description import PictureInput, read_description
from lightning_modules.labelling.files.expert import file_labeller, prepare_picture
from modalities.errors import ConfigError, DataError
from modalities.kinds.keypoints import Keypoints
from modalities.layouts import Text
from modalities.registry import default_registry
from modalities.storage.serialization import from_plain
from modalities.tokenizer_specs import WordPiece
from tests.lightning_modules.labelling.files.tiny_networks import constant, describe, echo

pytest.importorskip("onnxruntime")
POINTS = Keypoints(
    name="points", title="Points", layout=Text(max_tokens=9), tokenizer=WordPiece(), names=("one", "two")
)


@pytest.fixture
def picture() -> Any:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def settings(**changes: Any) -> PictureInput:
    plain = {"width": 8, "height": 6, "channels": "RGB", "axes": "NHWC", "range": 255, **changes}
    return from_plain(PictureInput, plain)


def test_raw_bytes_go_in_as_they_are(picture: Any) -> None:
    tensor, _ = prepare_picture(picture, settings())
    assert np.allclose(tensor[0], picture, atol=1e-3)


def test_range_mean_and_deviation_are_applied_in_this_order(picture: Any) -> None:
    tensor, _ = prepare_picture(picture, settings(range=1, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1]))
    assert np.allclose(tensor[0], (picture / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.2, 0.1], atol=1e-5)


def test_channels_and_axes_have_their_order(picture: Any) -> None:
    tensor, _ = prepare_picture(picture, settings(channels="BGR", axes="NCHW"))
    assert np.allclose(tensor[0], picture[..., ::-1].transpose(2, 0, 1), atol=1e-3)
    alpha, _ = prepare_picture(picture, settings(channels="RGBA", alpha=1))
    assert np.allclose(alpha[0, ..., :3], picture, atol=1e-3)
    assert (alpha[0, ..., 3] == 1).all()
    assert (prepare_picture(picture, settings(channels="RGBA"))[0][0, ..., 3] == 255).all()
    gray, _ = prepare_picture(picture, settings(channels="GRAY"))
    assert np.abs(gray[0, ..., 0] - np.asarray(Image.fromarray(picture).convert("L"), float)).max() <= 1


def test_a_picture_is_padded_in_proportion(picture: Any) -> None:
    tensor, frame = prepare_picture(picture, settings(width=16, height=16, fit="pad", border=0.5, range=1))
    assert (frame.left, frame.top, frame.shown_width, frame.shown_height) == (0, 2, 16, 12)
    assert np.allclose(tensor[0, :2], 0.5)
    assert np.allclose(tensor[0, 14:], 0.5)
    assert np.allclose(tensor[0, 2:14].mean((0, 1)), picture.mean((0, 1)) / 255, atol=0.02)


def label(tmp_path: Path, network: Path, output: dict[str, Any], kind: Any, picture: Any, **changes: Any) -> Any:
    labeller = expert_labeller(kind, str(describe(tmp_path / "net.yaml", network, output, **changes)))
    labeller.prepare()
    return labeller.label({"rgb": picture})


def test_a_wrong_range_or_order_changes_what_the_network_sees(tmp_path: Path, picture: Any) -> None:
    """The network gives its input back: a description that states the truth reproduces the picture, others do not."""
    network = echo(tmp_path / "echo.onnx", [1, 6, 8, 3])
    normals = default_registry()["normals"]
    right = label(tmp_path, network, {"kind": "map"}, normals, picture)
    assert np.allclose(right, picture, atol=1e-3)
    for change in ({"range": 1}, {"channels": "BGR"}, {"mean": [1, 1, 1]}):
        wrong = label(tmp_path, network, {"kind": "map"}, normals, picture, **change)
        assert not np.allclose(wrong, picture, atol=0.5)


def test_another_shape_than_the_file_s_is_refused(tmp_path: Path, picture: Any) -> None:
    network = echo(tmp_path / "echo.onnx", [1, 4, 6, 8])
    message = r"echo.onnx takes 1 x 4 x 6 x 8, its description gives 1 x 6 x 8 x 3 \(NHWC, RGB\)"
    with pytest.raises(ConfigError, match=message):
        label(tmp_path, network, {"kind": "map"}, default_registry()["normals"], picture)
    output = {"kind": "map", "channels_first": True}
    clip = default_registry()["clip"]
    rgba = label(tmp_path, network, output, clip, picture, axes="NCHW", channels="RGBA")
    assert rgba.shape == (6, 8, 4)


def test_a_map_covers_the_picture_without_the_border(tmp_path: Path) -> None:
    """The network's map is a ramp over its square input, of which a wide picture fills the middle rows."""
    ramp = np.broadcast_to((np.arange(16) + 0.5)[None, :, None, None], (1, 16, 16, 1))
    network = constant(tmp_path / "ramp.onnx", [1, 16, 16, 3], y=ramp)
    wide = np.zeros((20, 40, 3), np.uint8)
    found = label(
        tmp_path,
        network,
        {"kind": "map", "scale": 0.5, "offset": 1},
        default_registry()["depth"],
        wide,
        width=16,
        height=16,
        fit="pad",
    )
    assert found.shape == (20, 40)
    # Rows 4 to 12 of 16 show the picture.
    expected = np.interp((np.arange(20) + 0.5) / 20 * 8 + 4, np.arange(16) + 0.5, np.arange(16) + 0.5) * 0.5 + 1
    assert np.allclose(found[2:-2], expected[2:-2, None], atol=0.05)


def test_the_class_of_the_greatest_score_is_taken(tmp_path: Path, picture: Any) -> None:
    scores = np.random.default_rng(1).normal(size=(1, 3, 6, 8))
    network = constant(tmp_path / "scores.onnx", [1, 6, 8, 3], y=scores)
    output = {"kind": "classes", "classes": ["sky", "road", "tree"], "channels_first": True}
    path = describe(tmp_path / "net.yaml", network, output)
    labeller = file_labeller(default_registry()["semseg"], path)
    assert labeller.class_names == ("sky", "road", "tree")
    found: Any = labeller.label({"rgb": picture})
    assert np.array_equal(found, scores[0].argmax(0))
    with pytest.raises(DataError, match="gives 3 scores a pixel, classes names 2"):
        label(tmp_path, network, {**output, "classes": ["sky", "road"]}, default_registry()["semseg"], picture)


def test_a_mask_begins_at_its_threshold(tmp_path: Path, picture: Any) -> None:
    logits = np.random.default_rng(1).normal(size=(1, 6, 8, 2))
    network = constant(tmp_path / "mask.onnx", [1, 6, 8, 3], y=logits)
    output = {"kind": "mask", "threshold": 0.7, "activation": "softmax", "channel": 1}
    found = label(tmp_path, network, output, default_registry()["canny_edges"], picture)
    share = np.exp(logits[0, ..., 1]) / np.exp(logits[0]).sum(-1)
    assert np.array_equal(found, share >= 0.7)


def test_points_are_shares_of_the_picture(tmp_path: Path) -> None:
    numbers = [[4.0, 8.0, 0.0, 12.0, 4.0, 2.0, 9.0, 9.0, 9.0]]
    network = constant(tmp_path / "points.onnx", [1, 16, 16, 3], y=numbers, there=[[0.8]])
    output = {
        "kind": "keypoints",
        "tensor": "y",
        "num_points": 2,
        "stride": 3,
        "score": 2,
        "score_activation": "sigmoid",
        "presence": "there",
    }
    wide = np.zeros((20, 40, 3), np.uint8)
    found = label(tmp_path, network, output, POINTS, wide, width=16, height=16, fit="pad")
    # The picture fills rows 4 to 12: y of 8 is its middle, and 4 its upper edge.
    assert np.allclose(found, [[[0.25, 0.5, 0.5], [0.75, 0.0, 1 / (1 + np.exp(-2))]]], atol=1e-6)
    assert label(tmp_path, network, {**output, "min_presence": 0.9}, POINTS, wide, width=16, height=16) is None


def test_lines_are_maxima_of_the_scores(tmp_path: Path, picture: Any) -> None:
    scores = np.zeros((1, 8, 8, 1))
    scores[0, 2, 3], scores[0, 2, 4], scores[0, 6, 6] = 0.9, 0.8, 0.5
    offsets = np.zeros((1, 8, 8, 4))
    offsets[0, 2, 3] = (-1, -2, 3, 4)
    offsets[0, 6, 6] = (0, 0, 0, 1)
    network = constant(tmp_path / "lines.onnx", [1, 16, 16, 3], scores=scores, offsets=offsets)
    output = {"kind": "lines", "tensor": "scores", "offsets": "offsets", "threshold": 0.3}
    description = replace(read_description(describe(tmp_path / "net.yaml", network, output, width=16, height=16)))
    labeller = file_labeller(POINTS, tmp_path / "net.yaml")
    assert description.output.kind == "lines"
    found: Any = labeller.label({"rgb": picture})
    assert np.allclose(found, [[2 / 8, 0, 6 / 8, 6 / 8], [6 / 8, 6 / 8, 6 / 8, 7 / 8]])
    describe(tmp_path / "net.yaml", network, {**output, "min_length": 0.2}, width=16, height=16)
    found = file_labeller(POINTS, tmp_path / "net.yaml").label({"rgb": picture})
    assert len(found) == 1


def test_a_vector_is_the_tensor_in_a_row(tmp_path: Path, picture: Any) -> None:
    network = constant(tmp_path / "v.onnx", [1, 6, 8, 3], y=[[[1.0, -2.0]]])
    found = label(tmp_path, network, {"kind": "vector"}, default_registry()["dinov2_global"], picture)
    assert found.tolist() == [1.0, -2.0]


def test_the_fingerprint_follows_the_description_and_the_file(tmp_path: Path) -> None:
    kind = default_registry()["depth"]
    network = echo(tmp_path / "one.onnx", [1, 6, 8, 3])
    one = file_labeller(kind, describe(tmp_path / "a.yaml", network, {"kind": "map"}))
    other = file_labeller(kind, describe(tmp_path / "b.yaml", network, {"kind": "map"}, range=1))
    assert one.fingerprint() != replace(other, name=one.name).fingerprint()
    assert one.license == "MIT"
    assert one.settings["picture"]["range"] == 255


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"file": "no.onnx"}, "there is no file .*no.onnx; fetch it"),
        ({"input": {"width": 8}}, r"PictureInput: missing \['axes', 'channels', 'height', 'range'\]"),
        ({"output": {"kind": "pictures"}}, "output.kind is 'pictures', expected one of map, classes, mask"),
        ({"output": {"kind": "mask"}}, r"MaskDecoder: missing \['threshold'\]"),
        ({"runtime": "torch"}, r"runtime is 'torch', expected one of \['onnx', 'tflite'\]"),
        ({"licence": "MIT"}, r"unknown \['licence'\] among its entries"),
        ({"modality": "normals"}, "makes 'normals', not 'depth'"),
    ],
)
def test_mistakes_in_a_description_are_one_line(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    network = echo(tmp_path / "one.onnx", [1, 6, 8, 3])
    path = describe(tmp_path / "net.yaml", network, {"kind": "map"})
    OmegaConf.save({**OmegaConf.to_container(OmegaConf.load(path)), **entries}, path)  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=message):
        expert_labeller(default_registry()["depth"], str(path))


def test_an_output_that_is_not_there_is_named(tmp_path: Path, picture: Any) -> None:
    network = constant(tmp_path / "v.onnx", [1, 6, 8, 3], one=[[1.0]], two=[[2.0]])
    with pytest.raises(DataError, match=r"no output 'three'; it has one \[1, 1\], two \[1, 1\]"):
        label(tmp_path, network, {"kind": "vector", "tensor": "three"}, default_registry()["dinov2_global"], picture)
    with pytest.raises(DataError, match=r"name one of one \[1, 1\], two"):
        label(tmp_path, network, {"kind": "vector"}, default_registry()["dinov2_global"], picture)


def test_a_damaged_file_is_one_line(tmp_path: Path, picture: Any) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bad.onnx cannot be loaded"):
        label(tmp_path, tmp_path / "bad.onnx", {"kind": "map"}, default_registry()["depth"], picture)
