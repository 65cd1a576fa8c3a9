"""Samples in tars are read as they were written, in every form, from disk and from URLs."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.sources.webdataset.source import WebDatasetSource
from modalities.sources.webdataset.write import write_tar
from modalities.spec import center_crop
from tests.modalities.sources.samples import NAMES, contents, levels, meters, npy, run_modalities, words


def write_published(root: Path, numbers: Iterable[int], shard: int, names: Iterable[str] = NAMES) -> None:
    """One archive for each modality."""
    for name in names:
        members = [(f"{number:04d}", *contents(number)[name]) for number in numbers]
        write_tar(root / name / f"shard-{shard:05d}.tar", [(f"{key}.{ext}", data) for key, ext, data in members])


def write_ordinary(root: Path, numbers: Iterable[int], shard: int) -> None:
    """One archive for all modalities, with a record beside them."""
    members: list[tuple[str, bytes]] = []
    for number in numbers:
        members += [(f"{number:04d}.{name}.{ext}", data) for name, (ext, data) in contents(number).items()]
        members.append((f"{number:04d}.json", json.dumps({"alt": words(number), "n": number}).encode()))
    write_tar(root / f"shard-{shard:05d}.tar", members)


def opened(path: Any, names: Iterable[str] = NAMES, **options: Any) -> WebDatasetSource:
    source = open_source(SourceConfig(kind="webdataset", path=str(path), options=options), run_modalities(*names))
    assert isinstance(source, WebDatasetSource)
    return source


def assert_sample(source: WebDatasetSource, key: str, number: int) -> None:
    modalities: Mapping[str, Any] = source.modalities
    np.testing.assert_array_equal(source.read(key, modalities["rgb"]), levels(number))
    depth: Any = source.read(key, modalities["depth"])
    np.testing.assert_allclose(depth, meters(number), atol=1e-3)
    assert source.read(key, modalities["caption"]) == words(number)


@pytest.mark.parametrize("write", [write_published, write_ordinary])
def test_values_are_what_was_written(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "train", range(5), 0)
    write(tmp_path / "train", range(5, 8), 1)
    write(tmp_path / "val", range(8, 10), 0)
    source = opened(tmp_path)
    assert set(source.splits) == {"train", "validation"}
    assert list(source.keys("train")) == [f"train/shard-{number // 5:05d}/{number:04d}" for number in range(8)]
    for number in (7, 0, 3):
        assert_sample(source, source.keys("train")[number], number)
    assert_sample(source, source.keys("validation")[1], 9)
    assert all(source.explain_missing(item) is None for item in source.modalities.values())


@pytest.mark.parametrize("write", [write_published, write_ordinary])
def test_a_url_gives_the_same(write: Any, tmp_path: Path) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    write(tmp_path / "train", range(3), 0)
    for path in tmp_path.rglob("*.tar"):
        memory.pipe_file(f"/bucket/tars/{path.relative_to(tmp_path)}", path.read_bytes())
    source = opened("memory://bucket/tars")
    assert list(source.keys("train")) == list(opened(tmp_path).keys("train"))
    for number in range(3):
        assert_sample(source, source.keys("train")[number], number)


def test_shares_by_hash_stay_when_a_shard_is_added(tmp_path: Path) -> None:
    write_published(tmp_path, range(40), 0)
    before = {split: set(opened(tmp_path).keys(split)) for split in ("train", "validation", "test")}
    assert sum(map(len, before.values())) == 40
    write_published(tmp_path, range(40, 60), 1)
    after = {split: set(opened(tmp_path).keys(split)) for split in before}
    assert all(before[split] <= after[split] for split in before)
    assert sum(map(len, after.values())) == 60


def test_a_member_or_a_shard_may_be_missing(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(3), 0, ("rgb", "caption"))
    write_published(tmp_path / "train", range(1, 3), 0, ("depth",))
    write_published(tmp_path / "train", range(3, 5), 1, ("rgb",))
    source = opened(tmp_path)
    found = [
        [source.read(key, item) is not None for item in source.modalities.values()] for key in source.keys("train")
    ]
    assert [sum(row) for row in found] == [2, 3, 3, 1, 1]
    assert found[0] == [True, False, True]
    assert found[4] == [True, False, False]


def test_columns_choose_members_and_entries(tmp_path: Path) -> None:
    write_ordinary(tmp_path / "train", range(2), 0)
    columns = {"caption": "json:alt", "rgb": ["jpg", "rgb"], "depth": "depth.npy"}
    source = opened(tmp_path, columns=columns)
    assert_sample(source, source.keys("train")[1], 1)
    assert (
        opened(tmp_path, columns={"caption": "json:nothing"}).read(
            source.keys("train")[0], source.modalities["caption"]
        )
        is None
    )


def test_an_array_in_an_npz_is_read_by_its_name(tmp_path: Path) -> None:
    for name, arrays in (("one", {"depth": meters(1), "mask": meters(2)}), ("two", {"arr_0": meters(2)})):
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_tar(tmp_path / f"{name}.tar", [(f"{name}.depth.npz", content.getvalue())])
    source, depth = opened(tmp_path, ["depth"], splits={"train": 1.0}), run_modalities("depth")["depth"]
    for key, values in (("one/one", meters(1)), ("two/two", meters(2))):
        expected = depth.transform(values, center_crop(*values.shape))
        np.testing.assert_array_equal(source.read(key, depth), expected)


def test_columns_choose_folders(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(2), 0)
    (tmp_path / "train" / "rgb").rename(tmp_path / "train" / "rgb@224")
    source = opened(tmp_path, columns={"rgb": "rgb@224"})
    assert_sample(source, source.keys("train")[0], 0)


def test_archives_that_are_not_aligned_are_one_line(tmp_path: Path) -> None:
    write_published(tmp_path, range(2), 0, ("rgb",))
    write_published(tmp_path, range(2, 4), 0, ("depth",))
    with pytest.raises(DataError, match=r"depth/shard-00000\.tar and .*rgb/shard-00000\.tar have no key in common"):
        opened(tmp_path).keys("train")


def test_two_members_for_one_value_are_one_line(tmp_path: Path) -> None:
    write_tar(tmp_path / "train" / "a.tar", [("k.rgb.png", b"1"), ("k.rgb.jpg", b"2")])
    source = opened(tmp_path, ("rgb",))
    with pytest.raises(DataError, match=r"a\.tar: k has several members \(rgb\.jpg, rgb\.png\)"):
        source.read(source.keys("train")[0], source.modalities["rgb"])


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "train" / "rgb" / "a.tar", [("k.png", b"no image")])
    source = opened(tmp_path, ("rgb",))
    with pytest.raises(DataError, match=r"rgb/a\.tar: k\.png is not a whole image"):
        source.read(source.keys("train")[0], source.modalities["rgb"])


def test_what_is_missing_is_explained(tmp_path: Path) -> None:
    write_published(tmp_path / "a" / "train", range(2), 0, ("rgb",))
    write_ordinary(tmp_path / "b" / "train", range(2), 0)
    normals = run_modalities("normals")["normals"]
    assert "has no folder 'normals' of tars" in str(opened(tmp_path / "a", ("rgb",)).explain_missing(normals))
    assert "has no members normals" in str(opened(tmp_path / "b").explain_missing(normals))


def test_the_fingerprint_follows_the_archives_of_the_modality_and_the_keys(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(3), 0)

    def prints() -> list[str]:
        source = opened(tmp_path)
        return [source.fingerprint(item) for item in source.modalities.values()]

    before = prints()
    assert prints() == before
    write_published(tmp_path / "train", range(2), 0, ("depth",))
    rgb, depth, caption = prints()
    assert (rgb, caption) == (before[0], before[2])
    assert depth != before[1]
    write_published(tmp_path / "train", range(3, 4), 1, ("rgb",))
    assert all(new != old for new, old in zip(prints(), before, strict=True))


def test_malformed_options_are_one_line(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(1), 0)
    malformed: list[Any] = ["rgb", {"rgb": 3}, {"rgb": []}, {"rgb": "a:b:c:d"}, {"rgb": ["a", "b"]}]
    for columns in malformed:
        with pytest.raises(ConfigError, match=r"options\.columns"):
            opened(tmp_path, columns=columns)
    with pytest.raises(DataError, match=r"options\.splits has no effect"):
        opened(tmp_path, splits={"train": 1.0})
    with pytest.raises(UnknownNameError, match="No option of the source webdataset named 'colums'"):
        opened(tmp_path, colums={})
    with pytest.raises(UnknownNameError, match=r"No split of webdataset:.* named 'tset'"):
        opened(tmp_path).keys("tset")


@pytest.mark.parametrize("shape", [(16,), (3, 16)])
def test_tokens_of_another_tokenizer_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    write_tar(tmp_path / "train" / "tok_depth" / "a.tar", [("k.npy", npy(np.zeros(shape, dtype=np.int16)))])
    source = opened(tmp_path, ("depth",), columns={"depth": "tok_depth"})
    with pytest.raises(DataError, match=r"a\.tar: k\.npy holds token ids .* start from a model"):
        source.read(source.keys("train")[0], source.modalities["depth"])
