"""A worker process runs a stage with what was added by hand, and says why one failed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.engine.workers import Worker, poll_workers, start_workers, stop_workers
from experiments.planning import build_stage_plan
from experiments.schema.load import build_modalities, load_config
from experiments.stages.context import StageContext
from experiments.stages.plan import DONE_FILE
from tests.experiments.handmade import handmade_registry


def outcome(workers: Sequence[Worker], task: StageContext) -> tuple[str, object]:
    """Give a task to the only worker; the message that ends it."""
    (worker,) = workers
    worker.assign(task)
    while True:
        for _, kind, content in poll_workers(list(workers)):
            if kind not in ("progress", "user_log"):
                worker.task = None
                return kind, content


def test_a_worker_runs_stages_one_after_the_other(tmp_path: Path) -> None:
    registry = handmade_registry()
    overrides = ["arms={a: [rgb, distance]}", "data.train=2", "data.validation=2", "scale.size=32"]
    config = load_config(None, [f"root={tmp_path}", *overrides])
    modalities = build_modalities(config, registry)
    plan = build_stage_plan(config, modalities)

    def task(name: str) -> StageContext:
        stage = plan.stages[name]
        inputs = {other: plan.folder(other) for other in stage.inputs}
        return StageContext(config=config, stage=stage, inputs=inputs, folder=plan.folder(name), registry=registry)

    workers = start_workers(1, 1)
    try:
        item = outcome(workers, replace(task("data/train"), item=0))
        first = outcome(workers, task("data/train"))
        second = outcome(workers, replace(task("tokens/train"), item=0))
    finally:
        stop_workers(workers)
    assert item == first == ("done", None)
    folder = plan.folder("data/train")
    assert (folder / DONE_FILE).is_file()
    assert json.loads((folder / "split.json").read_text())["firsts"] == [0]
    (column,) = (tmp_path / "stages" / "columns" / "data" / "train").glob("00000000-00000002-*/distance-*")
    assert np.load(column / "values.npy").shape == (2, 32, 32)
    # Its tokenizers were never trained.
    assert second[0] == "user_error"
    assert str(plan.folder("tokenizer/rgb")) in str(second[1])
    assert not plan.folder("tokens/train").exists()
    assert not workers[0].process.is_alive()
