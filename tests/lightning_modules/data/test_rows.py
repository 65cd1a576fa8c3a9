"""Rows that are read when they are needed are those that are read at once."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.data.raw import RawStore, write_raw
from lightning_modules.data.rows import StreamedRows, load_rows
from modalities.errors import DataError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.scenes.scene import make_scene
from tests.modalities.scene_cases import view_of

SCALE = ScaleConfig(size=32, patch=8, max_channels=8, max_vocab=16, max_tokens=40)


def store(tmp_path: Path, *names: str, shards: int = 3) -> RawStore:
    """Five scenes a shard; every third value is missing."""
    modalities = {name: default_registry()[name].scaled(SCALE) for name in names}
    for shard in range(shards):
        scenes = [make_scene(5 * shard + number, size=32) for number in range(5)]
        values = {
            name: [view_of(item, scene) if number % 3 else None for number, scene in enumerate(scenes)]
            for name, item in modalities.items()
        }
        write_raw(tmp_path / str(shard), modalities, values)
    return RawStore.open([tmp_path / str(shard) for shard in range(shards)], modalities, omitted=[4])


@pytest.mark.parametrize("names", [("rgb",), ("semseg",), ("sam_instances",), ("sam_instances", "depth")])
@pytest.mark.parametrize("max_rows", [1, 4, 1000])
def test_rows_are_those_of_the_whole_split(names: tuple[str, ...], max_rows: int, tmp_path: Path) -> None:
    raw = store(tmp_path, *names)
    if len(names) > 1:
        # Modalities that share a tokenizer have rows of one shape.
        raw = RawStore.open(raw.folders, {name: raw.modalities[name] for name in names[:1]})
    rows, expected = StreamedRows(raw, max_rows, tmp_path), load_rows(raw, max_rows)
    assert len(rows) == len(expected) > 0
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    assert torch.equal(rows[order], expected[order])
    assert rows[order].dtype == expected.dtype
    assert not list(tmp_path.glob("tmp*"))


def test_rows_of_modalities_that_share_a_tokenizer_follow_each_other(tmp_path: Path) -> None:
    raw = store(tmp_path, "depth")
    twice = RawStore(
        folders=raw.folders,
        modalities={"depth": raw.modalities["depth"], "other": raw.modalities["depth"]},
        columns={"depth": raw["depth"], "other": raw["depth"]},
        num_samples=raw.num_samples,
        fingerprint="",
    )
    rows = StreamedRows(twice, 6, tmp_path)
    values = [raw.modalities["depth"].preprocess(raw["depth"][number]) for number in list(raw["depth"].present())[:3]]
    np.testing.assert_array_equal(rows[torch.arange(6)].numpy(), np.concatenate([*values, *values]))
    assert torch.equal(load_rows(twice, 6), rows[torch.arange(6)])


def test_a_split_without_a_single_value_says_so(tmp_path: Path) -> None:
    modalities = {name: default_registry()[name].scaled(SCALE) for name in ("depth", "sam_instances")}
    write_raw(tmp_path / "0", modalities, {"depth": [None, None], "sam_instances": [None, None]})
    for name in modalities:
        raw = RawStore.open([tmp_path / "0"], {name: modalities[name]})
        for read in (lambda: StreamedRows(raw, 3, tmp_path), lambda: load_rows(raw, 3)):  # noqa: B023
            with pytest.raises(DataError, match=f"^No sample has a value of {name}, so that its tokenizer has nothing"):
                read()


def test_rows_go_to_a_loader_process(tmp_path: Path) -> None:
    rows = StreamedRows(store(tmp_path, "rgb"), 5, tmp_path)
    sent = pickle.loads(pickle.dumps(rows))
    assert torch.equal(sent[torch.arange(5)], rows[torch.arange(5)])
