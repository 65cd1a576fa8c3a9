"""Shards of values: what is made, what is taken as it is, and what becomes of samples that cannot be read."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.engine.publish import publish_quarantine
from experiments.planning import build_stage_plan
from experiments.schema.load import build_modalities, load_config
from experiments.stages import data
from experiments.stages.context import StageContext
from experiments.stages.data import DataStage
from experiments.stages.inputs import describe_omitted, open_raw_split
from experiments.stages.plan import DONE_FILE, StagePlan, partial_folder
from lightning_modules.data.raw import read_keys
from modalities.errors import DataError
from modalities.registry import default_registry
from modalities.spec import Modality

SMALL = ["scale.size=32", "scale.patch=8", "data.train=10", "data.validation=3", "data.shard=4"]


@dataclass
class Numbers:
    """Depth maps and captions that say which sample they are of."""

    broken: dict[str, str] = field(default_factory=dict)
    """Keys of samples that cannot be read, and the modality that is the reason."""
    name: str = "numbers"
    description: str = "numbers"
    license: str = "CC0-1.0"
    splits: tuple[str, ...] = ("train", "validation")
    class_names: tuple[str, ...] = ()
    prefix: str = ""
    read_keys: list[tuple[str, str]] = field(default_factory=list)

    def keys(self, split: str) -> Sequence[str]:
        return [f"{self.prefix}{split}{number}" for number in range(100)]

    def read(self, key: str, modality: Modality) -> Any:
        self.read_keys.append((key, modality.name))
        if self.broken.get(key) == modality.name:
            raise DataError(f"{key}.{modality.name} is torn.")
        number = int(key.rpartition("n")[2])
        return f"sample {number}" if modality.name == "caption" else np.full((32, 32), number, dtype=np.float32)

    def explain_missing(self, modality: Modality) -> str | None:
        return None

    def fingerprint(self, modality: Modality) -> str:
        return "numbers"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Numbers:
    """A source that a test may break; a stage opens it as if it were on disk."""
    numbers = Numbers()
    monkeypatch.setattr(data, "open_data_source", lambda config, modalities: numbers)
    return numbers


def make(root: Path, *overrides: str, items: Sequence[int] | None = None, failed: Sequence[int] = ()) -> StageContext:
    """Do the items of the training split and the stage; its context afterwards."""
    config = load_config(None, [f"root={root}", *SMALL, *overrides])
    modalities = build_modalities(config, default_registry())
    plan = build_stage_plan(config, modalities)
    folder = plan.folder("data/train")
    context = StageContext(config=config, stage=plan.stages["data/train"], inputs={"data/train": folder}, folder=folder)
    for item in range(context.stage.num_items) if items is None else items:
        DataStage().run_item(context, item)
    partial = partial_folder(folder)
    partial.mkdir(parents=True)
    DataStage().run(replace(context, folder=partial, failed_items=dict.fromkeys(failed, "it is lost")))
    (partial / DONE_FILE).write_text("{}")
    partial.rename(folder)
    assert plan.is_done("data/train")
    return context


def numbers_of(context: StageContext) -> list[int]:
    """The samples of a made split, by what their values say; captions and depths agree."""
    raw = open_raw_split(context, "train", ["depth", "caption"])
    found = [int(value[0, 0]) for value in raw["depth"]]
    assert [f"sample {number}" for number in found] == list(raw["caption"])
    assert raw.num_samples == len(found)
    return found


ARMS = "arms={a: [depth, caption]}"


def test_the_split_is_the_samples_in_order_with_their_keys(tmp_path: Path, source: Numbers) -> None:
    context = make(tmp_path, ARMS, items=[2, 0, 1])
    assert numbers_of(context) == list(range(10))
    shards = sorted((tmp_path / "stages" / "columns" / "data" / "train").iterdir())
    assert [read_keys(shard) for shard in shards] == [
        [f"train{number}" for number in range(first, min(first + 4, 10))] for first in (0, 4, 8)
    ]
    assert len(source.read_keys) == 20


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (root / "stages" / "columns").rglob("*") if path.is_file()}


def test_a_modality_more_adds_files_and_touches_no_other(tmp_path: Path, source: Numbers) -> None:
    make(tmp_path, ARMS)
    before = files(tmp_path)
    source.read_keys.clear()
    make(tmp_path, "arms={a: [depth, caption, normals]}")
    after = files(tmp_path)
    assert {path: after[path] for path in before} == before
    assert {path.parent.name.partition("-")[0] for path in set(after) - set(before)} == {"normals"}
    assert {name for _, name in source.read_keys} == {"normals"}


def test_more_samples_read_the_new_shards_alone(tmp_path: Path, source: Numbers) -> None:
    make(tmp_path, ARMS)
    source.read_keys.clear()
    context = make(tmp_path, ARMS, "data.train=16")
    assert numbers_of(context) == list(range(16))
    # The third shard had two samples and now has four.
    assert {key for key, _ in source.read_keys} == {f"train{number}" for number in range(8, 16)}


def test_other_keys_are_other_shards(tmp_path: Path, source: Numbers) -> None:
    make(tmp_path, ARMS)
    shutil.rmtree(next((tmp_path / "stages").glob("data-train-*")))
    source.prefix = "other-"
    source.read_keys.clear()
    make(tmp_path, ARMS)
    assert len(source.read_keys) == 20


def test_an_item_that_is_there_reads_nothing(tmp_path: Path, source: Numbers) -> None:
    context = make(tmp_path, ARMS)
    source.read_keys.clear()
    before = files(tmp_path)
    DataStage().run_item(context, 1)
    assert source.read_keys == []
    assert files(tmp_path) == before


def test_a_sample_that_cannot_be_read_ends_its_shard(tmp_path: Path, source: Numbers) -> None:
    source.broken = {"train5": "caption"}
    with pytest.raises(DataError, match=r"^train5\.caption is torn\.$"):
        make(tmp_path, ARMS)
    # The shard before it is there, and nothing of its own.
    names = [path.name[:8] for path in (tmp_path / "stages" / "columns" / "data" / "train").iterdir()]
    assert names == ["00000000"]


@pytest.mark.parametrize("on_error", ["skip", "quarantine"])
def test_samples_that_cannot_be_read_are_left_out_and_counted(on_error: str, tmp_path: Path, source: Numbers) -> None:
    source.broken = {"train5": "caption", "train8": "depth", "train9": "depth"}
    context = make(tmp_path, ARMS, f"data.on_error={on_error}", "data.max_errors=0.3")
    assert numbers_of(context) == [0, 1, 2, 3, 4, 6, 7]
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "split.json").write_text(
        json.dumps({"shards": [], "firsts": [], "columns": {}, "omitted": [], "num_omitted": 0})
    )
    both = replace(context, inputs={**context.inputs, "data/validation": tmp_path / "held"})
    assert describe_omitted(both) == "; without 3 training and 0 held-out samples that cannot be read"
    listed = context.folder / "quarantine.jsonl"
    assert listed.is_file() is (on_error == "quarantine")
    plan = StagePlan(tmp_path, [context.stage])
    plan.signatures["data/train"] = context.folder.name.rpartition("-")[2]
    (tmp_path / "quarantine.jsonl").write_text("of an earlier run")
    publish_quarantine(plan, tmp_path / "quarantine.jsonl")
    if on_error == "skip":
        assert not (tmp_path / "quarantine.jsonl").exists()
        return
    assert [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()] == [
        {"split": "train", "key": "train5", "modality": "caption", "reason": "train5.caption is torn."},
        {"split": "train", "key": "train8", "modality": "depth", "reason": "train8.depth is torn."},
        {"split": "train", "key": "train9", "modality": "depth", "reason": "train9.depth is torn."},
    ]


@pytest.mark.parametrize("limit", ["2", "0.29"])
def test_more_samples_than_may_be_left_out(limit: str, tmp_path: Path, source: Numbers) -> None:
    source.broken = {"train1": "depth", "train5": "caption", "train8": "depth"}
    with pytest.raises(DataError) as caught:
        make(tmp_path, ARMS, "data.on_error=skip", f"data.max_errors={limit}")
    assert str(caught.value) == (
        f"3 of 10 samples of train cannot be read, at most 2 may be left out (data.max_errors={float(limit)}). "
        "The first is train1: train1.depth is torn."
    )


def test_a_shard_with_more_errors_than_all_may_have_is_not_written(tmp_path: Path, source: Numbers) -> None:
    source.broken = {"train0": "depth", "train1": "depth"}
    with pytest.raises(DataError, match=r"^more than 1 samples .*, the last is .train1.: train1\.depth is torn"):
        make(tmp_path, ARMS, "data.on_error=skip", "data.max_errors=1")


def test_a_lost_shard_is_left_out_whole(tmp_path: Path, source: Numbers) -> None:
    source.broken = {"train9": "depth"}
    settings = (ARMS, "data.on_error=quarantine", "data.max_errors=5")
    context = make(tmp_path, *settings, items=[0, 2], failed=[1])
    assert numbers_of(context) == [0, 1, 2, 3, 8]
    reasons = [json.loads(line) for line in (context.folder / "quarantine.jsonl").read_text().splitlines()]
    assert [item["key"] for item in reasons] == ["train4", "train5", "train6", "train7", "train9"]
    assert reasons[0]["reason"] == "its shard failed twice: it is lost"
    assert json.loads((context.folder / "split.json").read_text())["firsts"] == [0, 8]


def test_columns_with_errors_are_refused_where_none_is_allowed(tmp_path: Path, source: Numbers) -> None:
    source.broken = {"train5": "caption"}
    make(tmp_path, ARMS, "data.on_error=skip", "data.max_errors=1")
    with pytest.raises(DataError, match=r"^A sample of train cannot be read: train5: train5\.caption is torn\.$"):
        make(tmp_path, ARMS)
