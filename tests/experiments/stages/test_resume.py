"""A training that is killed resumes from its checkpoint, and ends in what it would have ended in."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from safetensors.torch import load_file

from experiments.cli.main import main
from experiments.engine.execution import LOG_FILE
from experiments.stages.plan import CHECKPOINT_FILE, DONE_FILE
from experiments.tracking import tracking_uri
from lightning_modules.callbacks.data_wait import DATA_WAIT
from tests.experiments.miniature import command_line, partial_files, start_process

STEPS = 60
SETTINGS = {
    "arms__twin": "[rgb,depth,caption]",
    "optim__total_tokens": STEPS * 640,
    "optim__ema_decay": 0.9,
    "training__val_every": 3,
    "training__log_every": 2,
    "training__pictures_every": 7,
}
"""Epochs of six steps; neither epochs nor validations nor logged steps nor pictures go along with each other."""
OFTEN, NEVER = 1e-9, 0
TWIN = "model-twin"


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """Tokens and tokenizers of the finished miniature, for another model."""
    root = tmp_path / "run"
    shutil.copytree(finished / "stages", root / "stages")
    return root


@pytest.fixture(scope="session")
def uninterrupted(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run that nobody interrupts and that writes no checkpoint."""
    root = tmp_path_factory.mktemp("uninterrupted")
    shutil.copytree(finished / "stages", root / "stages")
    said = train(root, training__checkpoint_minutes=NEVER)
    assert "checkpoint" not in said
    return root


def train(root: Path, **changes: Any) -> str:
    """Run the command to its end; what it said."""
    process = start_process(command_line(root, **{**SETTINGS, **changes}))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out + err


def cut_off(root: Path, sign: signal.Signals, *, least: int, stage: str = TWIN, **changes: Any) -> int:
    """Run the command until a checkpoint of at least that step, or a picture for 0, is there; then kill it.

    Answers with the step of the checkpoint that is left.
    """
    process = start_process(command_line(root, **{**SETTINGS, **changes}), start_new_session=True)
    deadline = time.monotonic() + 120
    while not begun(root, least, stage) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, sign)
    process.communicate(timeout=60)
    (place,) = checkpoints(root, stage)
    step = step_of(place)
    assert least <= step < STEPS
    assert not done(root, stage)
    return step


def begun(root: Path, least: int, stage: str) -> bool:
    """True where a stage trains, and has a checkpoint of at least that step."""
    if least:
        return any(step_of(place) >= least for place in checkpoints(root, stage))
    return bool(list((root / "stages").glob(f".{stage}-*.partial/pictures/*.png")))


def checkpoints(root: Path, stage: str = TWIN) -> list[Path]:
    return list((root / "stages").glob(f".{stage}-*.partial/{CHECKPOINT_FILE}"))


def step_of(place: Path) -> int:
    return int(torch.load(place, weights_only=True)["global_step"])


def done(root: Path, stage: str = TWIN) -> list[Path]:
    return list((root / "stages").glob(f"{stage}-*"))


def runs(root: Path) -> list[Run]:
    """The twin's runs in the ledger, by age."""
    client = MlflowClient(tracking_uri(root, None))
    experiment = client.get_experiment_by_name("fourm-lab")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return [run for run in found if run.info.run_name == "model/twin/0"]


def tracked(root: Path) -> tuple[dict[str, list[tuple[int, float]]], list[int]]:
    """What the last of the twin's runs has: its metrics by step, and the steps of its pictures."""
    client, run = MlflowClient(tracking_uri(root, None)), runs(root)[-1]
    names = [name for name in run.data.metrics if name.startswith(("train/", "val/")) and name != DATA_WAIT]
    kept = {
        name: [(item.step, item.value) for item in client.get_metric_history(run.info.run_id, name)] for name in names
    }
    pictures = [item.path for item in client.list_artifacts(run.info.run_id, "images") if item.path.endswith(".png")]
    # MLflow's names are validation+step+7+timestamp+..., with a sign that it has changed once.
    return kept, sorted(int(re.split(r"\W", path.split("step")[1])[1]) for path in pictures)


def same_model(one: Path, other: Path) -> None:
    """Both runs' models, metrics, pictures and ledgers agree to the last bit."""
    (ours,), (theirs,) = done(one), done(other)
    assert ours.name == theirs.name
    found, expected = load_file(ours / "model.safetensors"), load_file(theirs / "model.safetensors")
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []
    told = [json.loads((folder / "history.json").read_text()) for folder in (ours, theirs)]
    assert told[0] == told[1]
    drawn = [{path.name: path.read_bytes() for path in (folder / "pictures").iterdir()} for folder in (ours, theirs)]
    assert drawn[0] == drawn[1]
    assert tracked(one) == tracked(other)
    assert [*checkpoints(one), *ours.glob("*.ckpt")] == []
    assert partial_files(one) == []


def test_the_uninterrupted_run_has_every_step_once(uninterrupted: Path) -> None:
    metrics, pictures = tracked(uninterrupted)
    assert [step for step, _ in metrics["train/loss"]] == list(range(1, STEPS, 2))
    assert [value for _, value in metrics["train/tokens"]] == [640.0 * step for step in range(2, STEPS + 1, 2)]
    assert [step for step, _ in metrics["val/loss"]] == list(range(2, STEPS, 3))
    assert pictures == [*range(7, STEPS, 7), STEPS]


def test_a_killed_run_goes_on_and_ends_with_the_same_model(copy: Path, uninterrupted: Path) -> None:
    first = cut_off(copy, signal.SIGKILL, least=8, training__checkpoint_minutes=OFTEN)
    again = cut_off(copy, signal.SIGKILL, least=first + 9, training__checkpoint_minutes=OFTEN)
    said = train(copy, training__checkpoint_minutes=OFTEN)
    assert said.count(f"model/twin/0 resumes from its checkpoint of step {again}.") == 1
    same_model(copy, uninterrupted)
    (folder,) = done(copy)
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["tokens_seen"] == STEPS * 640
    assert facts["earlier_seconds"] > 0


@pytest.mark.parametrize(("sign", "workers"), [(signal.SIGTERM, 0), (signal.SIGTERM, 1), (signal.SIGINT, 1)])
def test_a_signal_leaves_a_checkpoint_whatever_the_interval(
    sign: signal.Signals, workers: int, copy: Path, uninterrupted: Path
) -> None:
    step = cut_off(copy, sign, least=0, executor__workers=workers)
    assert step >= 7
    assert {run.info.status for run in runs(copy)} == {"FAILED"}
    said = train(copy, executor__workers=workers)
    assert said.count(f"model/twin/0 resumes from its checkpoint of step {step}.") == 1
    same_model(copy, uninterrupted)


def test_a_checkpoint_of_no_use_is_told_and_the_model_starts_anew(copy: Path, uninterrupted: Path) -> None:
    cut_off(copy, signal.SIGKILL, least=8, training__checkpoint_minutes=OFTEN)
    (place,) = checkpoints(copy)
    place.write_bytes(place.read_bytes()[:-1000])
    said = train(copy)
    reason = "it is damaged: File is not a zip file"
    assert said.count(f"model/twin/0 starts from scratch, as its checkpoint cannot be used: {reason}.") == 1
    assert "resumes from" not in said
    same_model(copy, uninterrupted)


def test_two_processes_go_on_together(copy: Path, finished: Path, tmp_path: Path) -> None:
    both: dict[str, Any] = {"executor__devices": 2, "optim__total_tokens": 30 * 1280}
    other = tmp_path / "other"
    shutil.copytree(finished / "stages", other / "stages")
    train(other, training__checkpoint_minutes=NEVER, **both)
    step = cut_off(copy, signal.SIGTERM, least=8, training__checkpoint_minutes=OFTEN, **both)
    said = train(copy, training__checkpoint_minutes=OFTEN, **both)
    assert said.count(f"model/twin/0 resumes from its checkpoint of step {step}.") == 1
    same_model(copy, other)


WITHOUT_RGB: dict[str, Any] = {
    "arms__fourm_7": "[semseg,depth,caption]",
    "arms__fourm_21": "[rgb,depth,caption]",
    "tokenizer_optim__steps": STEPS,
    "optim__total_tokens": 1280,
}
DEPTH = "tokenizer-depth"


@pytest.fixture(scope="session")
def without_rgb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run whose tokenizers nobody interrupts."""
    root = tmp_path_factory.mktemp("without_rgb")
    assert "resumes from" not in train(root, training__checkpoint_minutes=NEVER, **WITHOUT_RGB)
    return root


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_tokenizer_goes_on_too_and_ends_as_the_same(sign: signal.Signals, without_rgb: Path, tmp_path: Path) -> None:
    step = cut_off(tmp_path, sign, least=8, stage=DEPTH, training__checkpoint_minutes=OFTEN, **WITHOUT_RGB)
    said = train(tmp_path, training__checkpoint_minutes=OFTEN, **WITHOUT_RGB)
    assert said.count(f"tokenizer/depth resumes from its checkpoint of step {step}.") == 1
    (ours,), (theirs,) = done(tmp_path, DEPTH), done(without_rgb, DEPTH)
    assert ours.name == theirs.name
    found, expected = (
        {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (DONE_FILE, LOG_FILE)}
        for folder in (ours, theirs)
    )
    assert "history.json" in expected
    assert found == expected
    assert partial_files(tmp_path) == []


def test_an_arm_without_rgb_is_drawn_from_its_first_grid_and_takes_no_photographs(
    without_rgb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = done(without_rgb, "model-fourm_7")
    assert list((model / "pictures").glob("step-*.png"))
    photograph = without_rgb / "photo.png"
    Image.new("RGB", (64, 48), "red").save(photograph)
    assert main(["predict", str(photograph), "--model", str(model), "--to", "depth", "--out", str(tmp_path / "o")]) == 1
    said = capsys.readouterr().err
    assert said == "fourm: This model does not take images: it has semseg, depth, caption, not rgb.\n"
    assert not (tmp_path / "o").exists()
    routes = {score["route"] for score in json.loads((without_rgb / "mini" / "scores.json").read_text())["scores"]}
    assert "caption->semseg" in routes
