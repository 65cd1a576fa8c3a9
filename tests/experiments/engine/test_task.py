"""A stage's record goes to another process whole, or one line says what cannot."""

import logging
from pathlib import Path

import pytest
from lightning import Callback

from experiments.engine.task import choose_executor, num_devices, read_task, sending_problem, write_task
from experiments.schema.load import load_config
from experiments.stages.context import StageContext
from experiments.stages.plan import Stage
from experiments.tracker import TrackedRun
from modalities.errors import ConfigError
from modalities.registry import PluginProvider, Registry, default_registry
from tests.experiments.handmade import StepsFile, handmade_registry

STAGE = Stage(kind="model", name="model/a/1", params={"x": 1}, inputs=("text",), run_args={"arm": "a", "seed": 1})


class FromNotebook(Callback):
    """A callback of a module that no other process can import."""


FromNotebook.__module__ = "__main__"


def local_registry() -> Registry:
    """A registry with a provider that only this process has."""
    registry = default_registry()
    registry.add(PluginProvider(name="mine", origin="a notebook", load=lambda: registry["rgb"]))
    return registry


def test_a_task_comes_back_from_its_file(tmp_path: Path) -> None:
    task = StageContext(
        config=load_config(None, ["executor.devices=3", "optim.betas=[0.8,0.9]"]),
        stage=STAGE,
        inputs={"text": tmp_path / "text"},
        folder=tmp_path / "stages" / "model",
        registry=handmade_registry(),
        tracked_run=TrackedRun(uri="sqlite:///x.db", run_id="run"),
        callbacks=(StepsFile(tmp_path / "steps"),),
    )
    write_task(tmp_path / "tasks" / "model.pickle", task)
    found = read_task(tmp_path / "tasks" / "model.pickle")
    assert (found.config, found.stage, found.inputs) == (task.config, task.stage, task.inputs)
    assert (found.folder, found.tracked_run) == (task.folder, task.tracked_run)
    assert set(found.registry) == set(default_registry()) | {"distance"}
    assert found.registry["distance"].title == "Distance"
    assert num_devices(found) == 3
    (callback,) = found.callbacks
    assert isinstance(callback, StepsFile)
    assert callback.path == tmp_path / "steps"


def test_everything_installed_can_be_sent() -> None:
    assert sending_problem(default_registry(), []) is None
    assert sending_problem(handmade_registry(), [StepsFile(Path("x"))]) is None


def test_the_line_names_the_modality_or_the_callback_that_cannot_be_sent() -> None:
    problem = sending_problem(local_registry(), [])
    assert problem is not None
    assert problem.startswith("Modality 'mine' of a notebook cannot be sent to another process: ")
    assert sending_problem(default_registry(), [FromNotebook()]) == (
        "The callback FromNotebook cannot be sent to another process: "
        "FromNotebook is defined in __main__, which other processes lack."
    )


def test_what_cannot_be_sent_runs_in_this_process_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(None, ["executor.workers=2"])
    with caplog.at_level(logging.WARNING, "fourm.user"):
        assert choose_executor(config, default_registry(), [FromNotebook()]).workers == 0
    (record,) = caplog.records
    assert record.getMessage().endswith("Stages run in this process, one at a time: executor.workers has no effect.")
    assert choose_executor(config, default_registry(), []) == config.executor
    alone = load_config(None, ["executor.workers=0"])
    assert choose_executor(alone, local_registry(), [FromNotebook()]) == alone.executor


def test_several_devices_refuse_what_cannot_be_sent() -> None:
    config = load_config(None, ["executor.workers=0", "executor.devices=2"])
    with pytest.raises(
        ConfigError, match=r"^The callback FromNotebook cannot .* define it in a module that imports\.$"
    ):
        choose_executor(config, default_registry(), [FromNotebook()])
