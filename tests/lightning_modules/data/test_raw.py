"""Raw values come back as they were written, over several shards; damaged ones say so in one line."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchmetrics import MetricCollection

from lightning_modules.data.raw import RawStore, write_raw, write_samples, write_shard
from modalities.errors import DataError, UnavailableError
from modalities.layouts import ScaleConfig, Text
from modalities.metrics.base import collect
from modalities.registry import default_registry
from modalities.scenes.scene import make_scene
from modalities.scenes.world import split_seed
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.spec import Crop, Modality, SequenceModality
from modalities.tokenizer_specs import WordPiece
from modalities.values import Parsed
from tests.modalities.scene_cases import view_of

SCALE = ScaleConfig(size=32, patch=8, max_channels=8, max_vocab=16, max_tokens=40)


def chosen(*names: str) -> dict[str, Modality]:
    """Modalities at a small scale."""
    return {name: default_registry()[name].scaled(SCALE) for name in names}


def same(one: Any, other: Any) -> bool:
    """True where two values agree, arrays inside records too."""
    if one is None or other is None:
        return one is other
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def values(seed: int, count: int) -> dict[str, list[Any]]:
    """Depths and captions, one of each missing."""
    rng = np.random.default_rng(seed)
    depth: list[Any] = [rng.random((32, 32)).astype(np.float32) for _ in range(count)]
    caption: list[Any] = [f"sample {seed} {number}, “quoted”\u2028\nand on" for number in range(count)]
    depth[0], caption[-1] = None, None
    return {"depth": depth, "caption": caption}


def test_values_come_back_by_number_from_several_shards(tmp_path: Path) -> None:
    modalities = chosen("depth", "caption")
    parts = [values(0, 3), values(1, 4)]
    folders = [tmp_path / "0", tmp_path / "1"]
    for folder, part in zip(folders, parts, strict=True):
        write_raw(folder, modalities, part)
    store = RawStore.open(folders, modalities)
    assert store.num_samples == 7
    assert list(store) == ["depth", "caption"]
    for name in modalities:
        expected = parts[0][name] + parts[1][name]
        assert len(store[name]) == 7
        for number in (6, 0, 3, 2, 5, 4, 1):
            assert same(store[name][number], expected[number]), (name, number)
        assert same(list(store[name][1:6:2]), expected[1:6:2])
        with pytest.raises(IndexError):
            store[name][7]
        with pytest.raises(IndexError):
            store[name][-1]


def test_a_shard_without_a_single_value_of_a_modality(tmp_path: Path) -> None:
    modalities = chosen("depth", "caption")
    write_raw(tmp_path, modalities, {"depth": [None, None], "caption": [None, None]})
    store = RawStore.open([tmp_path], modalities)
    assert list(store["depth"]) == list(store["caption"]) == [None, None]


def test_rendered_scenes_are_what_the_modalities_see(tmp_path: Path) -> None:
    modalities = chosen("rgb", "depth", "caption", "bounding_boxes", "sam_instances")
    told: list[float] = []
    write_shard(
        tmp_path / "shard", modalities, open_source(SourceConfig(), modalities), "train", range(3, 6), told.append
    )
    store = RawStore.open([tmp_path / "shard"], modalities)
    assert store.num_samples == 3
    assert told == [0.0]
    for number in range(3):
        scene = make_scene(split_seed("train", 3 + number), size=32)
        for name, modality in modalities.items():
            assert same(store[name][number], view_of(modality, scene)), name
    assert json.loads((tmp_path / "shard" / "keys.json").read_text()) == ["train/3", "train/4", "train/5"]


def test_what_cannot_be_reached_is_tried_again_and_what_is_damaged_is_kept_as_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modalities = chosen("caption")
    source = open_source(SourceConfig(), modalities)
    keys, folder = source.keys("train")[:3], tmp_path / "shard"
    read, failures = type(source).read, {keys[1]: [UnavailableError("the network is down")], keys[2]: []}

    def fail(self: Any, key: str, modality: Modality) -> Any:
        if failures.get(key):
            raise failures[key].pop()
        if key == keys[2]:
            raise DataError("damaged")
        return read(self, key, modality)

    monkeypatch.setattr(type(source), "read", fail)
    with pytest.raises(UnavailableError, match="the network is down"):
        write_samples(folder, modalities, source, keys, max_errors=3)
    assert not folder.exists()
    write_samples(folder, modalities, source, keys, max_errors=3)
    store = RawStore.open([folder], modalities)
    assert [store["caption"][number] is None for number in range(3)] == [False, False, True]


def test_the_fingerprint_changes_with_any_value(tmp_path: Path) -> None:
    modalities = chosen("depth", "caption")
    first, again, other = values(0, 3), values(0, 3), values(0, 3)
    other["caption"][0] = other["caption"][0].replace("0", "1", 1)
    for name, content in (("a", first), ("b", again), ("c", other)):
        write_raw(tmp_path / name, modalities, content)
    prints = [RawStore.open([tmp_path / name], modalities).fingerprint for name in "abc"]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_values_of_unequal_counts_are_not_written(tmp_path: Path) -> None:
    content = {**values(0, 3), "caption": ["one"]}
    with pytest.raises(DataError) as caught:
        write_raw(tmp_path / "shard", chosen("depth", "caption"), content)
    assert str(caught.value) == "Modalities have unequal counts: depth 3, caption 1."
    assert list(tmp_path.iterdir()) == []


def test_a_modality_that_a_shard_has_not(tmp_path: Path) -> None:
    write_raw(tmp_path, chosen("depth", "caption"), values(0, 3))
    with pytest.raises(DataError) as caught:
        RawStore.open([tmp_path], chosen("depth", "rgb"))
    assert str(caught.value) == f"{tmp_path} has no values of 'rgb'; it has caption, depth."


@pytest.mark.parametrize("name", ["depth/values.npy", "depth/values.present.npy", "caption/values.jsonl"])
def test_a_truncated_file(name: str, tmp_path: Path) -> None:
    write_raw(tmp_path, chosen("depth", "caption"), values(0, 3))
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 1)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / name} has ")) as caught:
        RawStore.open([tmp_path], chosen("depth", "caption"))
    assert "it is truncated or was changed" in str(caught.value)


def test_a_record_that_is_damaged(tmp_path: Path) -> None:
    texts = [f"number {number:04d}" for number in range(2_000)]
    write_raw(tmp_path, chosen("caption"), {"caption": texts})
    place = tmp_path / "caption" / "values.jsonl"
    place.write_text(place.read_text().replace('0999"', "0999 "))
    store = RawStore.open([tmp_path], chosen("caption"))
    assert store["caption"][1_000] == texts[1_000]
    with pytest.raises(DataError) as caught:
        store["caption"][999]
    assert str(caught.value).startswith(f"{place} is damaged in line 1000: ")
    assert "\n" not in str(caught.value)


def test_records_that_are_no_text(tmp_path: Path) -> None:
    write_raw(tmp_path, chosen("caption"), {"caption": ["one", "two"]})
    place = tmp_path / "caption" / "values.jsonl"
    place.write_bytes(b"\xff" * place.stat().st_size)
    with pytest.raises(DataError, match=re.escape(f"{place} is damaged: ")):
        RawStore.open([tmp_path], chosen("caption"))


@dataclass(frozen=True, kw_only=True)
class Tally(SequenceModality):
    """A count, directly below `SequenceModality` as a plug-in's may be. A value is a complex number."""

    suffix: str = ".txt"

    def read_file(self, path: Path) -> complex:
        return complex(path.read_text())

    def write_file(self, path: Path, value: complex) -> None:
        path.write_text(str(value))

    def transform(self, value: complex, crop: Crop) -> complex:
        return value

    def render(self, value: complex) -> str:
        return str(value)

    def metrics(self) -> MetricCollection:
        return collect()

    def constant_baseline(self, values: Sequence[complex]) -> complex:
        return values[0]

    def serialize(self, value: complex, rng: Any, codes: Any = None) -> str:
        return f"v0={int(value.real)} v1={int(value.imag)}"

    def parse(self, text: str) -> Parsed:
        return Parsed(value=0j, well_formed=False)

    def to_json(self, value: complex) -> Any:
        return [value.real, value.imag]

    def from_json(self, data: Any) -> complex:
        return complex(*data)


def test_a_plug_in_s_records_are_kept_by_its_own_json(tmp_path: Path) -> None:
    tally = Tally(name="tally", title="Tally", layout=Text(max_tokens=4), tokenizer=WordPiece())
    write_raw(tmp_path, {"tally": tally}, {"tally": [3 + 4j, None, 1j]})
    assert (tmp_path / "tally" / "values.jsonl").read_text() == "[3.0, 4.0]\nnull\n[0.0, 1.0]\n"
    assert list(RawStore.open([tmp_path], {"tally": tally})["tally"]) == [3 + 4j, None, 1j]


def test_a_sequence_without_json_cannot_be_made() -> None:
    class Mute(Tally):
        to_json = SequenceModality.to_json
        from_json = SequenceModality.from_json

    with pytest.raises(TypeError, match=r"from_json.*to_json"):
        Mute(name="mute", title="Mute", layout=Text(max_tokens=4), tokenizer=WordPiece())


def test_values_that_are_neither_arrays_nor_of_a_sequence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="A value of 'depth' is a list, expected a numpy array"):
        write_raw(tmp_path / "shard", chosen("depth"), {"depth": [[1.0, 2.0]]})
    folder = tmp_path / "json"
    write_raw(folder, {"depth": chosen("caption")["caption"]}, {"depth": ["far"]})
    with pytest.raises(DataError, match="holds JSON, expected arrays of 'depth'"):
        list(RawStore.open([folder], chosen("depth"))["depth"])


def test_more_samples_that_cannot_be_read_than_may_be_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modalities = chosen("caption")
    source = open_source(SourceConfig(), modalities)

    def fail(self: object, key: str, modality: Modality) -> object:
        raise DataError(f"{key}.txt is damaged.")

    monkeypatch.setattr(type(source), "read", fail)
    keys = source.keys("train")[:4]
    with pytest.raises(
        DataError, match=r"^more than 2 samples \(data.max_errors; .*, the last is 'train/2': train/2\.txt"
    ):
        write_samples(tmp_path / "raw", modalities, source, keys, max_errors=2)
    with pytest.raises(DataError, match=r"^train/0\.txt is damaged\.$"):
        write_samples(tmp_path / "raw", modalities, source, keys)
