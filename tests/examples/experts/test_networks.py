"""The real networks on photographs of scikit-image. Their files are fetched as examples/experts/README.md says."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fourm_experts.modalities import PERSON_MASK, POSE_33, STRAIGHT_LINES
from fourm_experts.pose import DETECTOR, LANDMARKS, POSE_33_LABELLER, anchors
from lightning_modules.labelling.files.expert import FileExpert, file_labeller
from modalities import Modality
from modalities.checks import check_value
from modalities.errors import ConfigError

FOLDER = Path(__file__).parents[3] / "examples" / "experts"
FILES = Path(os.environ.get("FOURM_EXPERTS_FILES", FOLDER / "files"))
data = pytest.importorskip("skimage.data")


def expert(modality: Modality, tmp_path: Path, **entries: tuple[str, str]) -> FileExpert:
    """The labeller of a shipped description, with some of its entries replaced."""
    text = (FOLDER / f"{modality.name}.yaml").read_text().replace("file: files/", f"file: {FILES}/")
    for before, after in entries.values():
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / f"{modality.name}.yaml"
    path.write_text(text)
    labeller = file_labeller(modality, path)
    labeller.prepare()
    return labeller


def needs(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if not (FILES / name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not fetched (examples/experts/README.md)")


@pytest.mark.network
@needs("selfie_segmentation.tflite")
def test_the_person_of_a_photograph_is_masked(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    labeller = expert(PERSON_MASK, tmp_path)
    mask: Any = check_value(PERSON_MASK, labeller.label({"rgb": data.astronaut()}), "astronaut")
    assert mask.shape == (512, 512)
    # Face and suit are hers; the flag, the wall and the shuttle are not.
    assert mask[60:160, 190:250].mean() > 0.95
    assert mask[300:500, 60:200].mean() > 0.95
    assert mask[:100, 300:].mean() < 0.05
    rocket: Any = labeller.label({"rgb": data.rocket()})
    assert rocket.mean() < 0.01


@pytest.mark.network
@needs("mlsd_512x512_large.onnx")
def test_lines_are_found_only_with_the_range_that_is_stated(tmp_path: Path) -> None:
    """The bricks have joints of even slope; levels from 0 to 1 in place of bytes lose them."""
    pytest.importorskip("onnxruntime")
    bricks = np.repeat(data.brick()[..., None], 3, axis=-1)
    lines: Any = check_value(STRAIGHT_LINES, expert(STRAIGHT_LINES, tmp_path).label({"rgb": bricks}), "bricks")
    steep = np.abs(lines[:, 3] - lines[:, 1]) > 2 * np.abs(lines[:, 2] - lines[:, 0])
    assert len(lines) > 50
    assert steep.mean() > 0.5
    wrong: Any = expert(STRAIGHT_LINES, tmp_path, range=("range: 255", "range: 1")).label({"rgb": bricks})
    assert len(wrong) < len(lines) / 5
    with pytest.raises(ConfigError, match=r"takes 1 x 512 x 512 x 4, its description gives 1 x 512 x 512 x 3"):
        expert(STRAIGHT_LINES, tmp_path, channels=("channels: RGBA", "channels: RGB"), alpha=(", alpha: 1", ""))


@pytest.mark.network
@needs(DETECTOR, LANDMARKS)
def test_the_points_of_a_body_lie_on_it() -> None:
    pytest.importorskip("ai_edge_litert")
    labeller = replace(POSE_33_LABELLER, folder=str(FILES))
    points: Any = check_value(POSE_33, labeller.label({"rgb": data.astronaut()}), "astronaut")
    (person,) = points
    places = dict(zip(POSE_33.names, person, strict=True))
    # In the photograph her nose is at (215, 125) of 512 pixels, her shoulders left and right below the collar.
    assert np.allclose(places["nose"][:2], [215 / 512, 125 / 512], atol=0.03)
    assert places["right_shoulder"][0] < 0.3 < 0.5 < places["left_shoulder"][0]
    assert 0.4 < places["left_shoulder"][1] < 0.55
    assert POSE_33.visible(points).sum() < 33
    assert labeller.label({"rgb": data.rocket()}) is None
    assert labeller.label({"rgb": data.coffee()}) is None


def test_boxes_of_the_detector_are_as_many_as_it_gives() -> None:
    found = anchors()
    assert found.shape == (2254, 2)
    assert np.allclose(found[:3], [[0.5 / 28, 0.5 / 28], [0.5 / 28, 0.5 / 28], [1.5 / 28, 0.5 / 28]])
    assert np.allclose(found[-1], [6.5 / 7, 6.5 / 7])


def test_files_that_are_not_fetched_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*pose_detection.tflite: fetch it as examples/experts"):
        replace(POSE_33_LABELLER, folder=str(tmp_path)).fingerprint()
