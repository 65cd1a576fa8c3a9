"""The folder source: alignment by name, splits by folder, what is left out, and what changes its fingerprint."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.folder.source import FolderSource
from modalities.sources.open import open_source
from modalities.spec import Modality, center_crop
from tests.modalities.sources.photographs import make_photographs

SCALE = ScaleConfig(size=32, patch=8, max_channels=8)


def _modalities(*names: str) -> dict[str, Modality]:
    return {name: default_registry()[name].scaled(SCALE) for name in names}


PHOTO = _modalities("rgb", "depth", "caption", "bounding_boxes")


def _open(path: Path, modalities: Mapping[str, Modality] = PHOTO, **options: Any) -> FolderSource:
    # Opened directly: the run-time type checker reads every property of a protocol, and with it the whole folder.
    return FolderSource(SourceConfig(kind="folder", path=str(path), options=options), modalities)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs") / "photos é"
    make_photographs(folder)
    return folder


def test_values_are_aligned_by_name_and_may_be_missing(photographs: Path) -> None:
    source = open_source(SourceConfig(kind="folder", path=str(photographs)), PHOTO)
    keys = [key for split in source.splits for key in source.keys(split)]
    assert sorted(keys) == [f"{number:04d}" for number in range(60)]
    for key in keys:
        number = int(key)
        found = {name: source.read(key, item) is not None for name, item in PHOTO.items()}
        assert found == {
            "rgb": True,
            "depth": bool(number % 3),
            "caption": bool(number % 5),
            "bounding_boxes": bool(number % 2),
        }
    expected = np.asarray(Image.open(photographs / "rgb" / "0004.png"))
    crop = center_crop(*expected.shape[:2])
    np.testing.assert_array_equal(source.read("0004", PHOTO["rgb"]), PHOTO["rgb"].transform(expected, crop))
    depth = np.load(photographs / "depth" / "0004.npy")
    np.testing.assert_array_equal(source.read("0004", PHOTO["depth"]), PHOTO["depth"].transform(depth, crop))


def test_one_of_the_first_captions_is_read_and_the_turned_photograph_is_upright(photographs: Path) -> None:
    source = _open(photographs)
    lines = (photographs / "caption" / "0003.txt").read_text().splitlines()
    assert len(lines) == 2
    assert source.read("0003", PHOTO["caption"]) in lines
    levels = np.asarray(source.read("0002", PHOTO["rgb"])).astype(int)
    depth = np.asarray(source.read("0002", PHOTO["depth"]))
    near = depth < 5.5
    near[: 32 // 8] = False
    blue = levels[..., 2] - levels[..., 0] > 60
    assert (near & blue).sum() / (near | blue).sum() > 0.8, "the blue square is where the depth map has it"


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    for split, count in (("train", 5), ("val", 2), ("Test", 3)):
        make_photographs(tmp_path / split, count)
    source = _open(tmp_path)
    assert {split: len(source.keys(split)) for split in source.splits} == {"train": 5, "validation": 2, "test": 3}
    assert sorted(source.keys("validation")) == ["val/0000", "val/0001"]
    assert source.read("val/0001", PHOTO["depth"]) is not None
    with pytest.raises(UnknownNameError, match=r"No split of folder:.* named 'dev'"):
        source.keys("dev")
    with pytest.raises(ConfigError, match=r"options\.splits is given, but .* has folders of its splits"):
        _open(tmp_path, splits={"train": 1.0}).keys("train")
    (tmp_path / "rgb").mkdir()
    (tmp_path / "rgb" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"folders of splits .* and 'rgb' beside them"):
        _open(tmp_path).keys("train")


def test_nested_folders_are_part_of_the_key_and_columns_give_other_names(tmp_path: Path) -> None:
    for name in ("images/2024/a.b.png", "images/2023/a.b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "text.jsonl").write_text('{"key": "2024/a.b", "value": "one"}\n{"key": "2024/a.b", "value": "two"}\n')
    source = _open(
        tmp_path, _modalities("rgb", "caption"), columns={"rgb": "images", "caption": "text"}, splits={"train": 1.0}
    )
    assert sorted(source.keys("train")) == ["2023/a.b", "2024/a.b"]
    assert source.read("2024/a.b", PHOTO["caption"]) in ("one", "two")
    assert source.read("2023/a.b", PHOTO["caption"]) is None


def test_accents_that_are_stored_apart_are_aligned(tmp_path: Path) -> None:
    for folder, name in (("rgb", "caf\u00e9.png"), ("depth", "cafe\u0301.npy")):
        (tmp_path / folder).mkdir()
        if folder == "rgb":
            Image.new("RGB", (8, 8)).save(tmp_path / folder / name)
        else:
            np.save(tmp_path / folder / name, np.ones((8, 8), np.float32))
    source = _open(tmp_path, _modalities("rgb", "depth"), splits={"train": 1.0})
    assert list(source.keys("train")) == ["caf\u00e9"]
    assert source.read("caf\u00e9", PHOTO["depth"]) is not None


def test_what_systems_leave_behind_is_ignored_and_what_is_not_read_is_counted(tmp_path: Path) -> None:
    make_photographs(tmp_path, 3)
    for name in (".DS_Store", "rgb/.hidden.png", "rgb/Thumbs.db", "rgb/.thumbs/1.png", "rgb/desktop.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert _open(tmp_path).notes == []
    for name in ("rgb/0000.xmp", "rgb/0001.xmp", "depth/readme"):
        (tmp_path / name).write_bytes(b"x")
    for is_listed in (False, True):
        source = _open(tmp_path)
        assert not is_listed or source.keys("train")
        (line,) = source.notes
        assert line.endswith("not read, as they are of no known type: 3 files (.xmp 2, no type 1).")


def test_files_beside_folders_of_splits_are_counted(tmp_path: Path) -> None:
    make_photographs(tmp_path / "train", 3)
    assert _open(tmp_path).notes == []
    (tmp_path / "metadata.csv").write_text("file_name,caption\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "0000.png").write_bytes(b"x")
    (line,) = _open(tmp_path).notes
    assert line.endswith("not read, as they lie beside the folders of splits: 2 files, such as 'metadata.csv'.")


def test_two_files_of_one_sample_are_an_error(tmp_path: Path) -> None:
    make_photographs(tmp_path, 3)
    (tmp_path / "rgb" / "0000.txt").write_text("a caption in the wrong folder")
    with pytest.raises(DataError, match=r"two files of the sample '0000' in rgb: 0000\.png and 0000\.txt"):
        _open(tmp_path).keys("train")


def test_a_file_of_a_type_that_the_modality_does_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "depth" / "0.jpg")
    with pytest.raises(DataError, match=r"depth/0\.jpg has type '\.jpg', expected one of"):
        _open(tmp_path, _modalities("depth")).read("0", PHOTO["depth"])


def test_an_array_in_an_npz_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    values = np.linspace(1, 2, 64, dtype=np.float32).reshape(8, 8)
    np.savez(tmp_path / "depth" / "one.npz", values)
    np.savez_compressed(tmp_path / "depth" / "two.npz", depth=values, mask=values > 1)
    np.savez(tmp_path / "depth" / "three.npz", left=values, right=values)
    source = _open(tmp_path, _modalities("depth"))
    expected = PHOTO["depth"].transform(values, center_crop(8, 8))
    for key in ("one", "two"):
        np.testing.assert_array_equal(source.read(key, PHOTO["depth"]), expected)
    with pytest.raises(DataError, match=r"three\.npz holds the arrays left, right, expected one, or one named depth"):
        source.read("three", PHOTO["depth"])


def test_a_modality_that_is_not_there_is_explained(photographs: Path, tmp_path: Path) -> None:
    source = _open(photographs)
    assert all(source.explain_missing(item) is None for item in PHOTO.values())
    normals = _modalities("normals")["normals"]
    message = source.explain_missing(normals)
    assert message is not None
    assert "has no normals: expected a folder normals/ or a file normals.jsonl" in message
    assert "found bounding_boxes.jsonl, caption, depth, rgb. Another name" in message
    with pytest.raises(DataError, match="is empty, expected a folder for each modality"):
        _open(tmp_path).explain_missing(normals)
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        _open(tmp_path / "nowhere").keys("train")
    with pytest.raises(ConfigError, match=r"needs a path: data\.source\.path=photos"):
        open_source(SourceConfig(kind="folder"), PHOTO)


def test_the_fingerprint_of_a_modality_changes_with_its_own_files(tmp_path: Path) -> None:
    make_photographs(tmp_path, 12)

    def prints() -> dict[str, str]:
        source = _open(tmp_path)
        return {name: source.fingerprint(item) for name, item in PHOTO.items()}

    before = prints()
    assert prints() == before
    np.save(tmp_path / "depth" / "0003.npy", np.ones((40, 48), np.float32))
    added = prints()
    assert {name for name in before if before[name] != added[name]} == {"depth"}
    os.utime(tmp_path / "caption" / "0001.txt", ns=(1, 1))
    touched = prints()
    assert {name for name in before if added[name] != touched[name]} == {"caption"}
    lines = (tmp_path / "bounding_boxes.jsonl").read_text()
    (tmp_path / "bounding_boxes.jsonl").write_text(lines.replace("red", "blue").replace("yellow", "blue"))
    assert {name for name in before if touched[name] != prints()[name]} == {"bounding_boxes"}
    (tmp_path / "rgb" / "0012.png").write_bytes((tmp_path / "rgb" / "0000.png").read_bytes())
    assert all(prints()[name] != before[name] for name in before), "another sample moves those of all modalities"


def test_the_folder_may_lie_behind_a_url(photographs: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in photographs.rglob("*.*"):
        memory.pipe(f"/photos/{path.relative_to(photographs).as_posix()}", path.read_bytes())
    local, remote = _open(photographs), open_source(SourceConfig(kind="folder", path="memory://photos"), PHOTO)
    assert list(remote.keys("train")) == list(local.keys("train"))
    for key in list(local.keys("train"))[:6]:
        for item in PHOTO.values():
            np.testing.assert_equal(remote.read(key, item), local.read(key, item))
