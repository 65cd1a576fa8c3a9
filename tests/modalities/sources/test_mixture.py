"""A mixture takes samples in the shares of its weights, or each once, and names the source in every key."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.sources.base import source_notes
from modalities.sources.config import SourceConfig
from modalities.sources.crops import CropConfig
from modalities.sources.mixture import CYCLE, MixtureKeys, MixtureMember, MixtureSource
from modalities.sources.open import open_source
from modalities.sources.scenes import ScenesSource
from tests.modalities.sources.photographs import make_photographs
from tests.modalities.sources.samples import run_modalities, words
from tests.modalities.sources.webdataset.test_source import write_published

SCENES = ScenesSource()


def _keys(sizes: list[int], weights: list[float] | None = None, *, repeat: bool = False) -> MixtureKeys:
    members = [
        MixtureMember(name=f"m{number}", source=SCENES, weight=weights[number] if weights else None)
        for number in range(len(sizes))
    ]
    return MixtureKeys(
        [(item, [f"{key}" for key in range(size)]) for item, size in zip(members, sizes, strict=True)], repeat=repeat
    )


def _counts(keys: list[str]) -> Counter[str]:
    return Counter(key.partition("/")[0] for key in keys)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=4))
def test_without_weights_every_sample_is_taken_once_and_evenly_spread(sizes: list[int]) -> None:
    keys = _keys(sizes)[:]
    assert sorted(keys) == sorted(f"m{member}/{key}" for member, size in enumerate(sizes) for key in range(size))
    half = _counts(keys[: len(keys) // 2])
    assert all(abs(half[f"m{member}"] - size / 2) <= 1 for member, size in enumerate(sizes))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3000), st.floats(0.05, 1.0)), min_size=1, max_size=4),
    st.integers(1, 6000),
)
def test_weights_are_kept_in_every_beginning(members: list[tuple[int, float]], count: int) -> None:
    sizes, weights = [size for size, _ in members], [weight for _, weight in members]
    keys = _keys(sizes, weights)
    taken = keys[:count]
    assert len(set(taken)) == len(taken)
    found = _counts(taken)
    for member, weight in enumerate(weights):
        expected = len(taken) * weight / sum(weights)
        assert abs(found[f"m{member}"] - expected) <= len(members) + count / CYCLE
    numbers = [int(key.partition("/")[2]) for key in taken if key.startswith("m0/")]
    assert numbers == list(range(len(numbers)))
    # It ends where the source whose turn it is has no more.
    assert any(_counts(keys[:])[f"m{member}"] == size for member, size in enumerate(sizes))


def test_repetition_takes_all_of_each() -> None:
    keys = _keys([10, 100], [0.5, 0.5], repeat=True)[:]
    assert _counts(keys)["m1"] == 100
    assert set(keys) == {f"m0/{key}" for key in range(10)} | {f"m1/{key}" for key in range(100)}


def test_a_weight_below_one_in_a_cycle_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected at least 1 in 1000"):
        _keys([5, 5], [1.0, 1e-6])


def opened(*entries: dict[str, Any], **options: Any) -> MixtureSource:
    config = SourceConfig(kind="mixture", options={"sources": list(entries), **options})
    source = open_source(config, run_modalities("rgb", "depth", "caption", "normals"))
    assert isinstance(source, MixtureSource)
    return source


def test_each_sample_is_read_from_its_source(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(6), 0, ("rgb", "caption"))
    tars = {"kind": "webdataset", "path": str(tmp_path), "options": {"license": "CC-BY-4.0"}, "weight": 0.25}
    source = opened(tars, {"kind": "scenes", "weight": 0.75, "name": "rooms"})
    modalities = run_modalities("rgb", "caption", "normals")
    keys = source.keys("train")[:20]
    assert _counts(keys) == {"webdataset": 5, "rooms": 15}
    archive = [key for key in keys if key.startswith("webdataset/")]
    scene = next(key for key in keys if key.startswith("rooms/"))
    assert [source.read(key, modalities["caption"]) for key in archive] == [words(number) for number in range(5)]
    assert source.read(archive[0], modalities["normals"]) is None
    found: Any = source.read(scene, modalities["normals"])
    assert np.isfinite(found).all()
    assert source.license == "CC-BY-4.0, CC0-1.0"
    assert source.description == f"samples of {tmp_path} and procedural scenes"
    assert source.splits == ("train", "validation", "test")
    assert source.keys("test")[0].startswith("rooms/")
    assert len(source.keys("train")) < 40


def test_what_no_source_has_is_explained_and_fingerprints_follow_the_sources(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(6), 0, ("rgb", "caption"))
    tars = {"kind": "webdataset", "path": str(tmp_path)}
    source = opened(tars, {**tars, "name": "again"})
    normals, caption, rgb = (
        run_modalities("normals", "caption", "rgb")[name] for name in ("normals", "caption", "rgb")
    )
    assert source.explain_missing(caption) is None
    assert str(source.explain_missing(normals)).count("has no folder 'normals'") == 2
    before = source.fingerprint(caption), source.fingerprint(rgb)
    write_published(tmp_path / "train", range(5, -1, -1), 0, ("caption",))
    after = opened(tars, {**tars, "name": "again"})
    assert after.fingerprint(rgb) == before[1]
    assert after.fingerprint(caption) != before[0]
    assert opened(tars).fingerprint(rgb) != before[1]


def test_what_the_sources_do_not_read_is_passed_on(tmp_path: Path) -> None:
    make_photographs(tmp_path, 3)
    (tmp_path / "rgb" / "0000.xmp").write_bytes(b"x")
    photos = {"kind": "folder", "path": str(tmp_path)}
    (line,) = source_notes(opened(photos, {**photos, "name": "again"}, {"kind": "scenes"}))
    assert line.endswith("not read, as they are of no known type: 1 files (.xmp 1).")


def test_crops_are_passed_on(tmp_path: Path) -> None:
    write_published(tmp_path / "train", range(6), 0, ("rgb", "caption"))
    tars = {"kind": "webdataset", "path": str(tmp_path)}
    assert len(opened(tars).with_crops(CropConfig(count=3)).keys("train")) == 18
    with pytest.raises(ConfigError, match="samples of scenes have one crop"):
        opened(tars, {"kind": "scenes"}).with_crops(CropConfig(count=2))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"path": "x"}], "is a record with kind and path"),
        ([{"kind": "scenes", "wieght": 1}], r"named 'wieght'. Did you mean 'weight'"),
        ([{"kind": "scenes", "weight": 0}], "must be above 0, got 0"),
        ([{"kind": "scenes", "weight": 1}, {"kind": "scenes"}], "Some sources of the mixture have a weight"),
        ([{"kind": "scenes", "name": "a"}, {"kind": "scenes", "name": "a"}], "The name 'a' .* is taken"),
        ([], r"options\.sources must be a list"),
    ],
)
def test_malformed_mixtures_are_one_line(entries: list[dict[str, Any]], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        opened(*entries)


def test_endless_sources_without_weights_are_one_line() -> None:
    with pytest.raises(DataError, match="A mixture without weights takes every sample"):
        opened({"kind": "scenes"}).keys("train")


def test_further_options_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="No option of the source mixture named 'source'"):
        opened({"kind": "scenes"}, source=1)
    with pytest.raises(ConfigError, match=r"options\.repeat must be"):
        opened({"kind": "scenes"}, repeat=True)
    with pytest.raises(ConfigError, match="A mixture has no path of its own"):
        open_source(SourceConfig(kind="mixture", path="x"), {})
