"""``fourm doctor`` from the command line."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.cli.main import main
from tests.experiments.miniature import start_process

SCALE = "size=32,patch=8,max_channels=8,max_tokens=256"


def test_scenes_are_healthy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor", "scenes", "--limit", "3", "--modalities", "rgb,depth,caption", "--scale", SCALE]) == 0
    out = capsys.readouterr().out
    assert "train: the first 3 samples were read of an unlimited number" in out
    assert "0 errors, 0 warnings in scenes" in out
    assert "metres as floats" in out


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "scenes", "--limit", "2", "--modalities", "rgb,semseg", "--scale", SCALE, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["source"] == {"name": "scenes", "description": "procedural scenes", "license": "CC0-1.0"}
    assert [split["read"] for split in content["splits"]] == [2, 2, 2]
    assert content["errors"] == content["warnings"] == 0
    assert {item["modality"] for item in content["modalities"]} == {"rgb", "semseg"}
    assert content["modalities"][0]["shapes"] == [{"shape": [32, 32, 3], "count": 2}]
    assert content["estimate"]["model"] is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["scenes", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["scenes", "--modalities", "dpeth"], "Did you mean 'depth'"),
        (["scenes", "--scale", "sze=64"], "no setting is called 'scale.sze'"),
        (["scenes", "--scale", "64"], "--scale takes NAME=VALUE, got '64'"),
        (["scenes:photos"], "Scenes are made, not read"),
    ],
)
def test_mistakes_are_one_line(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *words]) == 1
    (line,) = [item for item in capsys.readouterr().err.splitlines() if item.startswith("fourm: ")]
    assert expected in line


SIDE = 48


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A healthy folder of two splits: images, depth, normals, class maps, boxes and captions of eight samples."""
    folder = tmp_path / "photos"
    for number in range(8):
        write_sample(folder / ("train" if number < 6 else "validation"), f"{number:02d}", number)
    return folder


def write_sample(folder: Path, stem: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name in ("rgb", "depth", "normals", "semseg", "bounding_boxes", "caption"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / "rgb" / f"{stem}.png")
    np.save(folder / "depth" / f"{stem}.npy", rng.uniform(1, 5, (SIDE, SIDE)).astype(np.float32))
    vectors = rng.normal(size=(SIDE, SIDE, 3)).astype(np.float32)
    np.save(folder / "normals" / f"{stem}.npy", vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
    Image.fromarray(rng.integers(0, 13, (SIDE, SIDE), dtype=np.uint8)).save(folder / "semseg" / f"{stem}.png")
    boxes = [{"box": [0.25, 0.25, 0.75, 0.5], "class_name": "ball"}]
    (folder / "bounding_boxes" / f"{stem}.json").write_text(json.dumps(boxes))
    (folder / "caption" / f"{stem}.txt").write_text(f"a ball number {seed} on the floor")


def diagnose(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """The exit status of an examination, and what it found as JSON."""
    status = main(["doctor", f"folder:{folder}", "--scale", "size=32,patch=8,max_tokens=64", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_healthy_folder_has_neither_errors_nor_warnings(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = diagnose(photos, capsys)
    assert status == 0
    assert [item for item in found["findings"] if item["severity"] != "note"] == []
    assert {split["name"]: split["samples"] for split in found["splits"]} == {"train": 6, "validation": 2}
    assert {item["present"] for item in found["modalities"] if item["split"] == "train"} == {6}
    assert {item["modality"] for item in found["modalities"]} >= {"rgb", "depth", "normals", "semseg", "caption"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that is planted into the folder, and what is found of it."""

    plant: Callable[[Path], object]
    file: str
    """The file that has to be named, below the folder."""
    check: str
    words: str
    severity: str = "error"


def cut_image(folder: Path) -> None:
    path = folder / "train/rgb/01.png"
    path.write_bytes(path.read_bytes()[:500])


def plant_depth_in_millimeters(folder: Path) -> None:
    depth = np.load(folder / "train/depth/02.npy")
    np.save(folder / "train/depth/02.npy", (depth * 1000).astype(np.int32))


def plant_depth_in_float_millimeters(folder: Path) -> None:
    np.save(folder / "train/depth/02.npy", np.load(folder / "train/depth/02.npy") * 1000)


def plant_class(folder: Path) -> None:
    levels = np.asarray(Image.open(folder / "train/semseg/03.png")).copy()
    levels[10:20, 10:20] = 77
    Image.fromarray(levels).save(folder / "train/semseg/03.png")


def plant_boxes_in_pixels(folder: Path) -> None:
    boxes = [{"box": [12, 12, 36, 24], "class_name": "ball"}]
    (folder / "train/bounding_boxes/04.json").write_text(json.dumps(boxes))


def plant_shifted_mask(folder: Path) -> None:
    path = folder / "train/semseg/02.png"
    Image.open(path).resize((SIDE, SIDE // 2), Image.Resampling.NEAREST).save(path)


def plant_normals_with_nan(folder: Path) -> None:
    vectors = np.load(folder / "train/normals/01.npy")
    vectors[:, :5, 0] = np.nan
    np.save(folder / "train/normals/01.npy", vectors)


FAULTS = {
    "a truncated image": Fault(
        plant=cut_image, file="train/rgb/01.png", check="unreadable", words="is not a whole image"
    ),
    "an empty file": Fault(
        plant=lambda folder: (folder / "train/rgb/05.png").write_bytes(b""),
        file="train/rgb/05.png",
        check="unreadable",
        words="",
    ),
    "depth in millimetres as integers": Fault(
        plant=plant_depth_in_millimeters, file="train/depth/02.npy", check="unreadable", words="metres"
    ),
    "depth in millimetres as floats": Fault(
        plant=plant_depth_in_float_millimeters,
        file="train/depth/02.npy",
        check="range",
        words="check their unit",
        severity="warning",
    ),
    "a class outside the list": Fault(
        plant=plant_class, file="train/semseg/03.png", check="unknown_class", words="has the class 77"
    ),
    "boxes in pixels": Fault(
        plant=plant_boxes_in_pixels, file="train/bounding_boxes/04.json", check="unreadable", words="12"
    ),
    "a caption far over the limit": Fault(
        plant=lambda folder: (folder / "train/caption/00.txt").write_text("a ball and " * 200),
        file="train/caption/00.txt",
        check="too_long",
        words="of which a run keeps 64",
        severity="warning",
    ),
    "a mask of another aspect ratio": Fault(
        plant=plant_shifted_mask, file="train/semseg/02.png", check="unreadable", words="expected one aspect ratio"
    ),
    "a file without a partner": Fault(
        plant=lambda folder: (folder / "train/rgb/03.png").rename(folder / "train/rgb/O3.png"),
        file="train/rgb/O3.png",
        check="no_partner",
        words="rgb alone",
        severity="warning",
    ),
    "an image in train and validation": Fault(
        plant=lambda folder: (folder / "validation/rgb/07.png").write_bytes((folder / "train/rgb/00.png").read_bytes()),
        file="validation/rgb/07.png",
        check="duplicate_between_splits",
        words="in train and validation",
    ),
    "normals with NaN": Fault(
        plant=plant_normals_with_nan,
        file="train/normals/01.npy",
        check="holes",
        words="10.4 % of the pixels",
        severity="warning",
    ),
    "normals that are not of unit length": Fault(
        plant=lambda folder: np.save(
            folder / "train/normals/01.npy", np.load(folder / "train/normals/01.npy") * np.float32(3)
        ),
        file="train/normals/01.npy",
        check="unreadable",
        words="unit",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_by_name(name: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fault = FAULTS[name]
    fault.plant(photos)
    status, found = diagnose(photos, capsys)
    assert status == (1 if fault.severity == "error" else 0)
    (finding,) = [item for item in found["findings"] if item["check"] == fault.check]
    assert fault.file in finding["message"]
    assert fault.words in finding["message"]
    assert finding["severity"] == fault.severity
    # Nothing else is held against the folder.
    assert [item for item in found["findings"] if item["severity"] != "note" and item is not finding] == []


def test_two_files_of_one_sample_are_found_by_name(photos: Path) -> None:
    Image.open(photos / "train/rgb/04.png").save(photos / "train/rgb/04.jpg")
    # In a process of its own: a check of types asks the source for its splits before anything else does.
    process = start_process(["doctor", str(photos), "--json"])
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    (finding,) = json.loads(out)["findings"]
    assert "two files of the sample '04' in train/rgb: 04.jpg and 04.png" in finding["message"]
    assert f"fourm: {finding['message']}" in err


def test_a_modality_that_the_folder_lacks_is_an_error_that_says_what_is_there(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--modalities", "rgb,clip", "--scale", "size=32,patch=8", "--json"]
    assert main(["doctor", f"folder:{photos}", *words]) == 1
    found = json.loads(capsys.readouterr().out)
    (finding,) = [item for item in found["findings"] if item["severity"] == "error"]
    assert finding["check"] == "absent"
    assert "expected a folder clip/" in finding["message"]
    assert {item["modality"] for item in found["modalities"]} == {"rgb"}


def test_an_empty_text_is_told(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "train/caption/02.txt").write_text("\n")
    status, found = diagnose(photos, capsys)
    assert status == 0
    (finding,) = [item for item in found["findings"] if item["severity"] == "warning"]
    assert finding["message"] == f"{photos}/train/caption/02.txt is empty: it counts as missing."
