"""Metadata tables of three kinds, in the way of ImageFolder, against one set of rows."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalities.errors import DataError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.folder.source import FolderSource
from modalities.spec import Modality, center_crop

SCALE = ScaleConfig(size=32, patch=8, max_channels=3)
NAMES = ("rgb", "depth", "caption", "bounding_boxes")
MODALITIES: dict[str, Modality] = {name: default_registry()[name].scaled(SCALE) for name in NAMES}
BOXES = [{"box": [0.1, 0.2, 0.5, 0.9], "class_name": "cat", "score": 1.0}]
ROWS: list[dict[str, Any]] = [
    {"file_name": "a/0.png", "depth_file_name": "maps/0.npy", "text": 'a "red" cat,\nasleep', "bounding_boxes": BOXES},
    {"file_name": "a/1.png", "depth_file_name": None, "text": "ein Bär", "bounding_boxes": None},
    {"file_name": "a/1.png", "depth_file_name": None, "text": "a bear", "bounding_boxes": None},
    {"file_name": "b/0.png", "depth_file_name": "maps/2.npy", "text": None, "bounding_boxes": None},
]


def _write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    path = folder / f"metadata.{kind}"
    match kind:
        case "csv":
            with path.open("w", newline="", encoding="utf-8-sig") as file:
                writer = csv.writer(file)
                writer.writerow(rows[0])
                for row in rows:
                    writer.writerow([json.dumps(x) if isinstance(x, list) else x for x in row.values()])
        case "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case _:
            pyarrow = pytest.importorskip("pyarrow")
            parquet = pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _files(folder: Path) -> None:
    for number, name in enumerate(("a/0.png", "a/1.png", "b/0.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 20, 3), 50 * number, np.uint8)).save(folder / name)
    (folder / "maps").mkdir()
    for number in (0, 2):
        np.save(folder / "maps" / f"{number}.npy", np.full((16, 20), number + 1, np.float32))


def _open(folder: Path, **options: Any) -> FolderSource:
    options = {"splits": {"train": 1.0}, "columns": {"caption": "text"}, **options}
    return FolderSource(SourceConfig(kind="folder", path=str(folder), options=options), MODALITIES)


def _open_url(url: str) -> FolderSource:
    modalities = {name: MODALITIES[name] for name in ("rgb", "caption")}
    return FolderSource(SourceConfig(kind="folder", path=url), modalities)


def _read_depth(source: FolderSource) -> None:
    assert source.keys("train")
    source.read("a", MODALITIES["depth"])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_are_samples_whichever_way_the_table_is_stored(kind: str, tmp_path: Path) -> None:
    _files(tmp_path)
    _write(tmp_path, kind, ROWS)
    source = _open(tmp_path)
    assert sorted(source.keys("train")) == ["a/0", "a/1", "b/0"]
    assert source.read("a/0", MODALITIES["caption"]) == 'a "red" cat,\nasleep'
    assert source.read("a/1", MODALITIES["caption"]) in ("ein Bär", "a bear")
    assert source.read("b/0", MODALITIES["caption"]) is None
    assert source.read("a/1", MODALITIES["depth"]) is None
    np.testing.assert_array_equal(source.read("b/0", MODALITIES["depth"]), np.full((32, 32), 3, np.float32))
    np.testing.assert_array_equal(source.read("b/0", MODALITIES["rgb"]), np.full((32, 32, 3), 100, np.uint8))
    boxes = MODALITIES["bounding_boxes"]
    expected = boxes.transform(boxes.from_json(BOXES), center_crop(16, 20))  # type: ignore[attr-defined]
    assert source.read("a/0", boxes) == expected
    assert source.read("b/0", boxes) is None


def test_an_edited_column_changes_its_own_fingerprint_alone(tmp_path: Path) -> None:
    _files(tmp_path)
    _write(tmp_path, "csv", ROWS)
    before = {name: _open(tmp_path).fingerprint(item) for name, item in MODALITIES.items()}
    _write(tmp_path, "csv", [{**row, "text": "nothing"} for row in ROWS])
    after = {name: _open(tmp_path).fingerprint(item) for name, item in MODALITIES.items()}
    assert {name for name in before if before[name] != after[name]} == {"caption"}
    Image.new("RGB", (30, 30)).save(tmp_path / "a/0.png")
    last = {name: _open(tmp_path).fingerprint(item) for name, item in MODALITIES.items()}
    assert {name for name in after if after[name] != last[name]} == {"rgb"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("form", ["{}", " {} ", "a/../{}", "../outside/{}", "ABSOLUTE"])
def test_a_replaced_file_changes_the_fingerprint_however_it_is_named(kind: str, form: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "table", tmp_path / "outside" / "a"
    _files(folder)
    outside.mkdir(parents=True)
    Image.new("RGB", (20, 16)).save(outside / "0.png")
    name = str(outside / "0.png") if form == "ABSOLUTE" else form.format("a/0.png")
    replaced = folder / "a/0.png" if "outside" not in name else outside / "0.png"
    _write(folder, kind, [{"key": "one", "file_name": name, "rgb": name, "text": "a cat"}])
    for options in ({}, {"columns": {"rgb": "rgb", "caption": "text"}}):
        before = {item: _open(folder, **options).fingerprint(MODALITIES[item]) for item in ("rgb", "caption")}
        side = 30 if not options else 40
        Image.new("RGB", (side, side), (side, 0, 0)).save(replaced)
        source = _open(folder, **options)
        after = {item: source.fingerprint(MODALITIES[item]) for item in ("rgb", "caption")}
        assert {item for item in before if before[item] != after[item]} == {"rgb"}
        assert np.asarray(source.read("one", MODALITIES["rgb"]))[0, 0, 0] == side


def test_an_absolute_name_in_the_folder_of_a_split_is_that_file(tmp_path: Path) -> None:
    for split, level in (("train", 40), ("val", 80)):
        (tmp_path / split).mkdir()
        image = tmp_path / f"{split}.png"
        Image.new("RGB", (20, 16), (level, 0, 0)).save(image)
        (tmp_path / split / "metadata.jsonl").write_text(json.dumps({"key": "one", "file_name": str(image)}))
    source = FolderSource(SourceConfig(kind="folder", path=str(tmp_path)), {"rgb": MODALITIES["rgb"]})
    for key, level in (("train/one", 40), ("val/one", 80)):
        assert np.asarray(source.read(key, MODALITIES["rgb"]))[0, 0, 0] == level


def test_a_replaced_file_at_a_url_changes_the_fingerprint() -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    root = "/test_table_fingerprint"
    system.pipe(f"{root}/train/metadata.csv", b"key,rgb\none,../images/0.png\n")
    prints = []
    for content in (b"first", b"another"):
        system.pipe(f"{root}/images/0.png", content)
        prints.append(_open_url(f"memory:/{root}").fingerprint(MODALITIES["rgb"]))
    assert prints[0] != prints[1]


def test_bytes_of_an_image_name_no_sample(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"image": {"bytes": b"x", "path": None}}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "metadata.parquet")
    with pytest.raises(DataError, match=r"row 1 has a dict in 'image', expected a file's name.*add a column 'key'"):
        _open(tmp_path, columns={"rgb": "image"}).keys("train")


def test_a_parquet_column_may_hold_the_images_themselves(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    _files(tmp_path)
    content = (tmp_path / "a" / "1.png").read_bytes()
    rows = [{"key": "one", "image": {"bytes": content, "path": None}}, {"key": "two", "image": None}]
    folder = tmp_path / "table"
    folder.mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "metadata.parquet")
    source = _open(folder, columns={"rgb": "image"})
    np.testing.assert_array_equal(source.read("one", MODALITIES["rgb"]), np.full((32, 32, 3), 50, np.uint8))
    assert source.read("two", MODALITIES["rgb"]) is None


def test_faults_of_a_table_are_named(tmp_path: Path) -> None:
    _files(tmp_path)
    table = tmp_path / "metadata.csv"
    for text, message in (
        ("", r"metadata\.csv is empty"),
        ("picture,text\na.png,b\n", r"does not say which sample a row is: .* it has picture, text"),
        ("file_name,text\na.png\n", r"row 1 has 1 cells, expected 2"),
        ("file_name,text\n,b\n", r"row 1 has an empty 'file_name'"),
        ("file_name,text\n.,b\n", r"row 1 has '\.' in 'file_name', expected a file's name"),
        ("file_name,text,text\na.png,b,c\n", r"has several columns 'text', expected one of each name"),
        ('file_name,text\n"a.png,b\n', r"is not CSV"),
        ("file_name,words\na.png,b\n", r"has no column 'text': it has file_name, words"),
        ("file_name,text,depth\na.png,b,x.npy\na.png,c,y.npy\n", r"2 values of depth for the sample 'a', in rows 1, 2"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            _read_depth(_open(tmp_path))
    table.write_text("file_name,text\nnone.png,b\n")
    with pytest.raises(DataError, match=r"There is no file .*none\.png"):
        _open(tmp_path).read("none", MODALITIES["rgb"])
    table.unlink()
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a/0.png"}\n[1]\n')
    with pytest.raises(DataError, match=r"metadata\.jsonl, line 2 holds a list"):
        _open(tmp_path).keys("train")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a/0.png"\n')
    with pytest.raises(DataError, match=r"metadata\.jsonl, line 1 is not JSON"):
        _open(tmp_path).keys("train")


def test_a_column_that_is_missing_is_explained_with_those_that_are_there(tmp_path: Path) -> None:
    _files(tmp_path)
    _write(tmp_path, "csv", ROWS)
    source = _open(tmp_path, columns={})
    message = source.explain_missing(MODALITIES["caption"])
    assert message is not None
    assert "expected a column 'caption'" in message
    assert "found the columns file_name, depth_file_name, text, bounding_boxes" in message
