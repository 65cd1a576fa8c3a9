"""Runs that are cut off, as a shell or a scheduler cuts them off, and go on by the same command."""

import os
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.stages.plan import CHECKPOINT_FILE
from experiments.tracking import tracking_uri
from tests.experiments.miniature import ablate, command_line, finished_stages, partial_files, start_process

LONG = {"optim__total_tokens": 2_000_000, "training__val_every": 1000, "training__pictures_every": 0}
"""A model that would train for minutes."""


def interrupt(root: Path, sign: signal.Signals, workers: int) -> tuple[int, str]:
    """Run until a model trains, then send a signal as a terminal does; the exit status and what stderr said."""
    process = start_process(command_line(root, **LONG, executor__workers=workers), start_new_session=True)
    deadline = time.monotonic() + 90
    while not list((root / "stages").glob(".model-*.partial")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(1.0)
    if sign is signal.SIGINT:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize(
    ("sign", "workers", "status"), [(signal.SIGINT, 2, 130), (signal.SIGINT, 0, 130), (signal.SIGTERM, 2, 143)]
)
def test_a_run_that_is_cut_off_leaves_whole_stages_and_goes_on(
    sign: signal.Signals, workers: int, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = interrupt(tmp_path, sign, workers)
    assert found == status, said
    assert "Traceback" not in said
    if sign is signal.SIGINT:
        assert said.rstrip().endswith("Interrupted. The same command resumes from the finished stages.")
    before = finished_stages(tmp_path)
    assert len(before) >= 16
    assert not [name for name in before if name.startswith("model-")]
    client = MlflowClient(tracking_uri(tmp_path, None))
    experiment = client.get_experiment_by_name("fourm-lab")
    assert experiment is not None
    told = {run.info.run_name: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert told["mini"] == "FAILED"
    assert "RUNNING" not in told.values()
    # The same stages are good for the same command; here for one whose models are short.
    assert ablate(tmp_path) == 0
    after = finished_stages(tmp_path)
    assert {name: after[name] for name in before} == before
    assert f"{len(before)} of 25 stages are done already" in " ".join(capsys.readouterr().out.split())
    # The long models' checkpoints wait for the command that trained them.
    for kept in partial_files(tmp_path):
        assert [path.name for path in Path(kept).iterdir()] == [CHECKPOINT_FILE]
