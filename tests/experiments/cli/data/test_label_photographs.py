"""`fourm label` on a folder of photographs: sizes, rotation, missing and damaged files, photographs that are added."""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from experiments.cli.main import main
from modalities.labellers.canny import canny
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.spec import Modality

SIZES = {"a/wide": (90, 50), "a/tall": (40, 70), "square": (60, 60)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs, one of them rotated by EXIF; one has a caption."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name, (width, height) in SIZES.items():
        path = folder / "rgb" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
    turned = Image.open(folder / "rgb/a/tall.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "rgb/a/tall.png", exif=exif)
    (folder / "caption").mkdir()
    (folder / "caption/square.txt").write_text("Coloured clouds.\nA second caption.\n")
    return folder


def label(photos: Path, *options: str, to: str = "canny_edges", out: Path | None = None) -> int:
    return main(["label", f"folder:{photos}", "--to", to, "--out", str(out or photos), *options])


def chosen(*names: str) -> Mapping[str, Modality]:
    scale = ScaleConfig(size=32, patch=8)
    return {name: default_registry()[name].scaled(scale) for name in names}


def test_a_label_covers_what_its_photograph_covers(photos: Path) -> None:
    assert label(photos, "--size", "30") == 0
    for name, (width, height) in SIZES.items():
        edges = np.asarray(Image.open(photos / "canny_edges" / f"{name}.png"))
        if name == "a/tall":
            width, height = height, width
        assert min(edges.shape) == 30
        assert edges.shape[1] / edges.shape[0] == pytest.approx(width / height, abs=0.04)


def test_labels_at_full_size_are_those_of_the_upright_picture(photos: Path) -> None:
    assert label(photos, "--size", "0", to="canny_edges,metadata_image") == 0
    for name in SIZES:
        picture = default_registry()["rgb"].read_file(photos / "rgb" / f"{name}.png")
        edges = default_registry()["canny_edges"].read_file(photos / "canny_edges" / f"{name}.png")
        assert np.array_equal(edges, canny(picture))
        facts = json.loads((photos / "metadata_image" / f"{name}.json").read_text())
        assert (facts["original_height"], facts["original_width"]) == picture.shape[:2]


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_the_labels_are_a_source(photos: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    assert label(photos, "--copy", "rgb", "--format", form, "--shard", "2", out=out) == 0
    modalities = chosen("rgb", "canny_edges")
    source = open_source(SourceConfig(kind=form, path=str(out)), modalities)
    keys = [key for split in source.splits for key in source.keys(split)]
    # Keys of tars begin with the shard.
    assert {next(name for name in SIZES if key.endswith(name)) for key in keys} == {*SIZES}
    assert len(keys) == len(SIZES)
    for key in keys:
        values: dict[str, Any] = {name: source.read(key, item) for name, item in modalities.items()}
        assert values["rgb"].shape == (32, 32, 3)
        assert values["canny_edges"].shape == (32, 32)


def test_tars_of_two_splits_do_not_share_a_name(photos: Path, tmp_path: Path) -> None:
    for number in range(40):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(photos / "rgb" / f"{number}.png")
    assert label(photos, "--format", "webdataset", out=tmp_path / "out") == 0
    members = []
    for path in (tmp_path / "out").glob("*/canny_edges/*.tar"):
        with tarfile.open(path) as tar:
            members += tar.getnames()
    assert len(members) == len(set(members)) == 43


def test_a_sample_without_an_input_gets_no_label(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(photos, to="metadata_semantic,canny_edges") == 0
    output = capsys.readouterr().out
    assert "made without bounding_boxes, semseg, sam_instances, which the source does not have" in output
    assert "4 labels made, 2 without a label" in output
    (path,) = (photos / "metadata_semantic").rglob("*.json")
    assert json.loads(path.read_text())["caption_n_chars"] == len("Coloured clouds.")


def test_only_what_is_new_or_changed_is_labelled(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(photos, "--shard", "2") == 0
    before = {path: path.stat().st_mtime_ns for path in (photos / "canny_edges").rglob("*.png")}
    Image.new("RGB", (40, 40), "red").save(photos / "rgb/new.png")
    Image.new("RGB", (44, 60), "blue").save(photos / "rgb/square.png")
    capsys.readouterr()
    assert label(photos, "--shard", "2") == 0
    assert "2 labels made, 2 were there" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in (photos / "canny_edges").rglob("*.png")}
    changed = {path.stem for path in after if before.get(path) != after[path]}
    assert changed == {"new", "square"}


def test_a_damaged_photograph_ends_the_work_with_its_name(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "rgb/a/wide.png").write_bytes((photos / "rgb/a/wide.png").read_bytes()[:200])
    assert label(photos) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "Sample 'a/wide' cannot be labelled with canny_edges by canny_edges" in error
    assert "wide.png is not a whole image" in error


def test_a_damaged_photograph_is_left_out_on_request(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "rgb/a/wide.png").write_bytes((photos / "rgb/a/wide.png").read_bytes()[:200])
    assert label(photos, "--on-error", "skip") == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "2 labels made, 1 failed" in output
    assert "a/wide (canny_edges): " in output
    record = json.loads((photos / "canny_edges.labels.json").read_text())
    assert (record["labelled"], record["failed"], [*record["failures"]]) == (2, 1, ["a/wide"])
    # Once it is mended, the next call labels it.
    Image.new("RGB", (40, 40), "red").save(photos / "rgb/a/wide.png")
    assert label(photos, "--on-error", "skip") == 0
    assert "1 labels made, 2 were there" in " ".join(capsys.readouterr().out.split())


def test_an_input_that_the_folder_lacks_is_one_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(photos, to="sam_edges") == 1
    assert "sam_edges makes sam_edges from sam_instances. folder:" in " ".join(capsys.readouterr().err.split())


def test_splits_that_are_folders_stay_folders(photos: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    for name in ("train", "val"):
        (split / name).mkdir(parents=True)
    (photos / "rgb").rename(split / "train/rgb")
    (split / "val/rgb").mkdir()
    Image.new("RGB", (40, 40), "red").save(split / "val/rgb/one.png")
    assert label(split, "--split", "train,validation") == 0
    assert (split / "val/canny_edges/one.png").exists()
    assert (split / "train/canny_edges/a/wide.png").exists()


def test_settings_in_a_file_name_columns_and_classes(photos: Path, tmp_path: Path) -> None:
    (photos / "classes.txt").write_text("water\nroad\ndog\n")
    (photos / "maps").mkdir()
    classes = np.zeros((60, 60), np.uint8)
    classes[:15] = 1
    classes[15:45, :20] = 2
    Image.fromarray(classes).save(photos / "maps/square.png")
    settings = {"kind": "folder", "path": str(photos), "options": {"columns": {"semseg": "maps"}}}
    config = tmp_path / "photos.yaml"
    OmegaConf.save({"data": {"source": settings, "classes": {"semseg": "classes.txt"}}}, config)
    out = tmp_path / "out"
    assert main(["label", str(config), "--to", "metadata_semantic", "--out", str(out)]) == 0
    (path,) = (out / "metadata_semantic").rglob("*.json")
    facts = json.loads(path.read_text())
    assert {name: facts[name] for name in ("walkability", "objectness", "semantic_diversity")} == {
        "walkability": 0.25,
        "objectness": pytest.approx(1 / 6),
        "semantic_diversity": 3,
    }
