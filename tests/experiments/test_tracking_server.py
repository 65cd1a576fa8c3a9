"""A real MLflow server on this machine, and the command that shows the ledger's pages."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.experiments.miniature import ablate, start_process
from tests.ports import free_port

SMALL = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def wait_for(url: str, process: subprocess.Popen[str], seconds: float = 60) -> str:
    """The page at ``url``, as soon as somebody answers there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended with {process.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"nobody answers at {url}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of its own."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            *command,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ],
        env={**os.environ, **SMALL},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    wait_for(f"http://127.0.0.1:{port}/health", process)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(20)


def test_a_run_is_tracked_over_http(server: str, tmp_path: Path) -> None:
    assert ablate(tmp_path, tracking__uri=server, arms__one="[rgb,depth]") == 0
    assert not (tmp_path / "mlflow.db").exists()
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("fourm-lab")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {"mini", "model/one/0", "tokenizer/depth", "evaluation/one/0"} <= set(runs)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    model = runs["model/one/0"].info.run_id
    assert [item.step for item in client.get_metric_history(model, "train/loss")] == [0, 1, 2]
    kept = client.download_artifacts(model, "model/model.safetensors", str(tmp_path))
    mine = next((tmp_path / "stages").glob("model-one-0-*")) / "model.safetensors"
    assert Path(kept).read_bytes() == mine.read_bytes()
    assert client.list_artifacts(model, "images")
    assert "report.html" in {item.path for item in client.list_artifacts(runs["mini"].info.run_id)}


def test_the_ledgers_pages_open_and_close(finished: Path) -> None:
    port = free_port()
    process = start_process(["ui", "--root", str(finished), "--port", str(port)], env=SMALL)
    page = wait_for(f"http://127.0.0.1:{port}/", process)
    assert "mlflow" in page.lower()
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert f"http://127.0.0.1:{port}" in out
    assert "Traceback" not in said
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def test_the_pages_of_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    process = start_process(["ui", "--root", str(tmp_path / "none"), "--port", str(free_port())], env=SMALL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("fourm: ")
    assert str(tmp_path / "none") in said
