"""Rows of Arrow, Parquet and of the `datasets` library are read as they were written."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalities.errors import ConfigError, DataError, UnavailableError, UnknownNameError
from modalities.sources.base import source_notes
from modalities.sources.config import SourceConfig
from modalities.sources.huggingface.source import HuggingFaceSource
from modalities.sources.open import open_source
from tests.modalities.sources.huggingface.small import LABELS, dataset, write_parquet
from tests.modalities.sources.samples import levels, meters, run_modalities, words

COLUMNS = {"rgb": "image", "caption": "text"}


def opened(path: Any, columns: dict[str, str] | None = None, **options: Any) -> HuggingFaceSource:
    config = SourceConfig(
        kind="huggingface", path=str(path), options={"columns": COLUMNS if columns is None else columns, **options}
    )
    source = open_source(config, run_modalities())
    assert isinstance(source, HuggingFaceSource)
    return source


def assert_rows(source: HuggingFaceSource, split: str, numbers: Iterable[int]) -> None:
    """The samples of a split are these, whatever their order."""
    modalities = run_modalities()
    found = {}
    for key in source.keys(split):
        caption: Any = source.read(key, modalities["caption"])
        found[int(caption.lower().split("number ")[1].split()[0])] = key
    assert set(found) == set(numbers)
    for number, key in found.items():
        np.testing.assert_array_equal(source.read(key, modalities["rgb"]), levels(number))
        depth: Any = source.read(key, modalities["depth"])
        if number % 4 == 3:
            assert depth is None
        else:
            np.testing.assert_allclose(depth, meters(number), atol=1e-3)
        assert source.read(key, modalities["caption"]) in (words(number), words(number).upper())


def test_parquet_files_of_splits(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", range(8))
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", range(8, 12))
    write_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", range(12, 15))
    source = opened(tmp_path)
    assert set(source.splits) == {"train", "validation"}
    assert_rows(source, "train", range(12))
    assert_rows(source, "validation", range(12, 15))


def test_groups_are_read_as_a_whole_in_an_order_of_their_own(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", range(30), group_size=5)
    write_parquet(tmp_path / "test.parquet", range(30, 32))
    rows = [int(key.rpartition("/")[2]) for key in opened(tmp_path).keys("train")]
    assert sorted(rows) == list(range(30))
    assert rows != list(range(30))
    assert all(rows[start] % 5 == 0 and rows[start + 4] == rows[start] + 4 for start in range(0, 30, 5))


def test_one_file_is_split_by_shares_that_stay(tmp_path: Path) -> None:
    write_parquet(tmp_path / "all.parquet", range(40))
    source = opened(tmp_path / "all.parquet", splits={"train": 0.7, "validation": 0.3})
    keys = {split: set(source.keys(split)) for split in source.splits}
    assert sum(map(len, keys.values())) == 40
    assert not keys["train"] & keys["validation"]
    write_parquet(tmp_path / "all.parquet", range(50))
    again = opened(tmp_path / "all.parquet", splits={"train": 0.7, "validation": 0.3})
    assert all(keys[split] <= set(again.keys(split)) for split in keys)


def test_parquet_at_a_url(tmp_path: Path) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    write_parquet(tmp_path / "train.parquet", range(6))
    write_parquet(tmp_path / "test.parquet", range(6, 8))
    for path in tmp_path.glob("*.parquet"):
        memory.pipe_file(f"/set/{path.name}", path.read_bytes())
    assert_rows(opened("memory://set"), "train", range(6))


@pytest.mark.parametrize("is_dict", [False, True])
def test_what_datasets_saves_to_disk(is_dict: bool, tmp_path: Path) -> None:
    library = pytest.importorskip("datasets")
    if is_dict:
        library.DatasetDict(train=dataset(range(8)), test=dataset(range(8, 10))).save_to_disk(tmp_path / "set")
        source = opened(tmp_path / "set")
        assert_rows(source, "test", range(8, 10))
    else:
        dataset(range(8)).save_to_disk(tmp_path / "set", num_shards=2)
        source = opened(tmp_path / "set", splits={"train": 1.0})
    assert_rows(source, "train", range(8))
    # A cache that the library leaves beside a table is no part of it.
    saved = next((tmp_path / "set").rglob("data-*.arrow"))
    (saved.parent / "cache-0.arrow").write_bytes(saved.read_bytes())
    options: dict[str, Any] = {} if is_dict else {"splits": {"train": 1.0}}
    assert len(opened(tmp_path / "set", **options).keys("train")) == 8


def test_labels_are_read_as_their_names(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    dataset(range(3)).save_to_disk(tmp_path)
    source = opened(tmp_path, {"caption": "label"}, splits={"train": 1.0})
    caption = run_modalities()["caption"]
    found = {source.read(key, caption) for key in source.keys("train")}
    assert found == set(LABELS)


@pytest.mark.parametrize("streaming", [False, True])
def test_what_the_library_loads(streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    dataset(range(8)).to_parquet(tmp_path / "set" / "train.parquet")
    dataset(range(8, 10)).to_parquet(tmp_path / "set" / "test.parquet")
    options: dict[str, Any] = {"streaming": streaming} | ({"rows": {"train": 8, "test": 2}} if streaming else {})
    source = opened(tmp_path / "set", **options)
    assert_rows(source, "train", range(8))
    assert_rows(source, "test", range(8, 10))
    rgb = source.modalities["rgb"]
    for number in (5, 2, 7, 7):
        np.testing.assert_array_equal(source.read(f"train/{number}", rgb), levels(number))


def test_a_stream_needs_its_length(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    dataset(range(3)).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ConfigError, match=r"how many rows its split 'train' has: declare it"):
        opened(tmp_path, streaming=True)
    source = opened(tmp_path, streaming=True, rows={"train": 5}, splits={"train": 1.0})
    with pytest.raises(DataError, match=r"The stream ends before row 4: lower options\.rows"):
        source.read("train/4", source.modalities["rgb"])


def test_the_configuration_of_a_stream_enters_its_fingerprint_and_a_missing_revision_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("datasets")
    stream = library.IterableDatasetDict({"train": dataset(range(3)).to_iterable_dataset()})
    monkeypatch.setattr(library, "load_dataset", lambda *args, **kwargs: stream)
    rgb = run_modalities()["rgb"]
    options: dict[str, Any] = {"streaming": True, "rows": {"train": 3}}
    prints = [opened("some/set", name=name, **options).fingerprint(rgb) for name in ("small", "large", "small")]
    assert prints[0] == prints[2] != prints[1]
    (line,) = source_notes(opened("some/set", **options))
    assert "without options.revision: changes of the data set are not noticed" in line
    assert source_notes(opened("some/set", revision="abc", **options)) == []


def test_a_stream_that_breaks_off_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("datasets")
    stream = library.IterableDatasetDict({"train": dataset(range(3)).to_iterable_dataset()})
    monkeypatch.setattr(library, "load_dataset", lambda *args, **kwargs: stream)
    source = opened("some/set", streaming=True, rows={"train": 3}, splits={"train": 1.0})

    def fail(number: int) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(source.tables._streams["train"], "read", fail)  # type: ignore[attr-defined]
    with pytest.raises(UnavailableError, match=r"some/set, train row 1 cannot be read: reset by peer"):
        source.read("train/1", source.modalities["rgb"])


def test_only_the_last_files_stay_open(tmp_path: Path) -> None:
    opened_files = Path("/proc/self/fd")
    if not opened_files.is_dir():
        pytest.skip("this system does not list open files")
    for number in range(12):
        write_parquet(tmp_path / f"train-{number:05d}.parquet", [number])
    source = opened(tmp_path, splits={"train": 1.0})

    def count() -> int:
        names = (str(path.readlink()) for path in opened_files.iterdir() if path.is_symlink())
        return sum(name.startswith(str(tmp_path)) for name in names)

    assert len(source.keys("train")) == 12
    assert count() == 0
    assert_rows(source, "train", range(12))
    assert 0 < count() <= 4


def test_names_of_splits_are_known_and_one_each(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", range(2))
    write_parquet(tmp_path / "dev-0.parquet", range(2))
    with pytest.raises(DataError, match=r"dev-0\.parquet lies beside files of the splits train, but its name"):
        opened(tmp_path)
    for word in ("val", "validation"):
        (tmp_path / "dev-0.parquet").rename(tmp_path / f"{word}-0.parquet")
        write_parquet(tmp_path / "dev-0.parquet", range(2))
    (tmp_path / "dev-0.parquet").unlink()
    with pytest.raises(DataError, match=r"has 'val' and 'validation', which are both the split validation: keep one"):
        opened(tmp_path)


def test_names_of_the_hub_s_splits_are_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("datasets")
    tables = library.DatasetDict({name: dataset(range(2)) for name in ("train", "val", "validation")})
    monkeypatch.setattr(library, "load_dataset", lambda *args, **kwargs: tables)
    with pytest.raises(DataError, match=r"some/set has 'val' and 'validation', which are both the split validation"):
        opened("some/set")


@pytest.mark.parametrize("is_file", [False, True])
def test_lists_of_keys_lie_beside_the_data(is_file: bool, tmp_path: Path) -> None:
    write_parquet(tmp_path / "all.parquet", range(4))
    (tmp_path / "one.txt").write_text("0\n2\n")
    (tmp_path / "two.txt").write_text("1\n")
    path = tmp_path / "all.parquet" if is_file else tmp_path
    source = opened(path, splits={"train": "one.txt", "validation": "two.txt"})
    assert (sorted(source.keys("train")), source.keys("validation")) == (["0", "2"], ["1"])


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", range(6))
    rgb = run_modalities()["rgb"]
    before = opened(tmp_path).fingerprint(rgb)
    assert opened(tmp_path).fingerprint(rgb) == before
    write_parquet(tmp_path / "train.parquet", range(1, 7))
    assert opened(tmp_path).fingerprint(rgb) != before


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", range(2))
    write_parquet(tmp_path / "test.parquet", range(2))
    with pytest.raises(UnknownNameError, match=r"No column of .* named 'imge'\. Did you mean 'image'"):
        opened(tmp_path, {"rgb": "imge"})
    with pytest.raises(ConfigError, match=r"options\.splits has no effect"):
        opened(tmp_path, splits={"train": 1.0})
    with pytest.raises(ConfigError, match=r"options\.revision is for data sets of the Hub"):
        opened(tmp_path, revision="main")
    source = opened(tmp_path, {})
    assert "has no column 'rgb' for 'rgb'; it has image, depth, text, label" in str(
        source.explain_missing(source.modalities["rgb"])
    )
    (tmp_path / "test.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"test\.parquet is not a whole Parquet file"):
        opened(tmp_path)


def test_a_damaged_cell_is_named(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": b"no image", "path": "a.png"}, {"bytes": None, "path": "gone.png"}]
    parquet.write_table(arrow.table({"image": images}), tmp_path / "train.parquet")
    source = opened(tmp_path, {"rgb": "image"}, splits={"train": 1.0})
    rgb = source.modalities["rgb"]
    with pytest.raises(DataError, match=r"train\.parquet, row 0, image is not a whole image"):
        source.read("train/0", rgb)
    with pytest.raises(DataError, match=r"row 1, image names the file gone\.png, which is not on this machine"):
        source.read("train/1", rgb)
