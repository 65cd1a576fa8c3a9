"""The ledger: every stage is a run in MLflow. The only file that knows MLflow, which it imports when it is needed."""

import fcntl
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from modalities.errors import DataError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
NONE = "none"
"""The tracking URI that stands for no ledger."""
_LONGEST = 6000
"""Characters of a parameter that MLflow stores."""
_NAME = re.compile(r"[^A-Za-z0-9_/.\-]")


def ledger_uri(root: Path, uri: str | None) -> str:
    """The tracking URI: the one given, or a database below ``root``."""
    return uri or f"sqlite:///{root.absolute() / 'mlflow.db'}"


def open_ledger(uri: str, root: Path, experiment: str) -> "Ledger":
    """The ledger at a URI, its store and experiment made where they are missing; one that keeps nothing for `NONE`.

    Raises:
        DataError: The store cannot be made or does not answer.
    """
    if uri == NONE:
        return NoLedger()
    prepare_ledger(uri, root, experiment)
    return Ledger(uri, experiment)


def prepare_ledger(uri: str, root: Path, experiment: str) -> None:
    """Create the store and the experiment, once, however many processes ask for it at the same time."""
    if uri.startswith("http"):
        _answers(uri)
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".ledger.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = _Client(uri)
        if client.get_experiment_by_name(experiment) is None:
            local = uri.startswith("sqlite:")
            location = (root.absolute() / "mlartifacts").as_uri() if local else None
            client.create_experiment(experiment, artifact_location=location)


class _Client:
    """MLflow's client, whose troubles are a person's to solve: a full disk, a server that does not answer."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self._uri = uri
        self._client = self._guarded(MlflowClient)(tracking_uri=uri)

    def __getattr__(self, name: str) -> Any:
        return self._guarded(getattr(self._client, name))

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise DataError(f"The ledger {self._uri} cannot be used: {first.rstrip('.')}.") from error

        return guarded


def _answers(uri: str) -> None:
    """Make sure that a server is there, without MLflow's minutes of trying again."""
    try:
        urllib.request.urlopen(uri, timeout=10).close()
    except urllib.error.HTTPError:
        return  # It answers, if only to say that it wants something else.
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"The ledger {uri} does not answer: {reason}. Start the server, or set tracking.uri."
        ) from error


class Ledger:
    """Runs, with their parameters, metrics and files."""

    def __init__(self, uri: str, experiment: str = "") -> None:
        """Take the tracking URI, and the experiment that new runs belong to."""
        self.uri, self._experiment = uri, experiment
        self._client = _Client(uri)

    def start(
        self,
        name: str,
        *,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Open a run.

        Raises:
            DataError: There is no such experiment; `prepare_ledger` makes one.
        """
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            raise DataError(f"The ledger {self.uri} has no experiment {self._experiment!r}.")

        own = {**(tags or {}), **({"mlflow.parentRunId": parent} if parent else {})}
        run: str = self._client.create_run(found.experiment_id, run_name=name, tags=own).info.run_id
        rows = [Param(_NAME.sub("_", key), str(value)[:_LONGEST]) for key, value in (params or {}).items()]
        for start in range(0, len(rows), 100):
            self._client.log_batch(run, params=rows[start : start + 100])
        return run

    def finish(self, run: str, *, failed: bool = False) -> None:
        """Close a run."""
        self._client.set_terminated(run, status="FAILED" if failed else "FINISHED")

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        """Store metrics; those that are not finite are counted, not stored."""
        self.points(run, [(name, value, step) for name, value in values.items()])

    def points(self, run: str, points: list[tuple[str, float, int]]) -> None:
        """Store many metrics at once, as (name, value, step)."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite = [(name, value, step) for name, value, step in points if math.isfinite(value)]
        rows = [Metric(_NAME.sub("_", name), value, now, step) for name, value, step in finite]
        if len(finite) < len(points):
            rows.append(Metric("nonfinite", float(len(points) - len(finite)), now, points[-1][2]))
        for start in range(0, len(rows), 500):
            self._client.log_batch(run, metrics=rows[start : start + 500])

    def text(self, run: str, name: str, content: str) -> None:
        """Store a text as a file."""
        self._client.log_text(run, content, name)

    def file(self, run: str, path: Path, folder: str = "") -> None:
        """Store a copy of a file."""
        self._client.log_artifact(run, str(path), folder or None)

    def picture(self, run: str, name: str, picture: Image.Image, step: int) -> None:
        """Store a picture of a step."""
        self._client.log_image(run, picture, key=name, step=step)

    def history(self, run: str, metric: str) -> list[tuple[int, float]]:
        """A metric's values by step."""
        return [(item.step, item.value) for item in self._client.get_metric_history(run, metric)]


class NoLedger(Ledger):
    """Keeps nothing, and needs no MLflow: what there is then is the report and the files on disk."""

    def __init__(self) -> None:
        self.uri = NONE

    def start(self, name: str, **_: Any) -> str:
        """No run."""
        return ""

    def finish(self, run: str, *, failed: bool = False) -> None:
        """Nothing to close."""

    def points(self, run: str, points: list[tuple[str, float, int]]) -> None:
        """Nothing is stored."""

    def text(self, run: str, name: str, content: str) -> None:
        """Nothing is stored."""

    def file(self, run: str, path: Path, folder: str = "") -> None:
        """Nothing is stored."""

    def picture(self, run: str, name: str, picture: Image.Image, step: int) -> None:
        """Nothing is stored."""

    def history(self, run: str, metric: str) -> list[tuple[int, float]]:
        """Nothing."""
        return []


class RunLogger(Logger):
    """Writes a Trainer's metrics into one run, a few dozen at a time, and keeps them."""

    def __init__(self, uri: str | None, run: str | None) -> None:
        super().__init__()
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._waiting: list[tuple[str, float, int]] = []
        self._run, self._uri, self._ledger = run, uri, None
        self._written = time.monotonic()

    @property
    def name(self) -> str:
        """The logger's name."""
        return "fourm"

    @property
    def version(self) -> str:
        """The run."""
        return self._run or "none"

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the launcher has stored the config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep metrics, and write them when there are many or some are old."""
        for name, value in metrics.items():
            if name != "epoch":
                self.history.setdefault(name, []).append((step or 0, float(value)))
                self._waiting.append((name, float(value), step or 0))
        if len(self._waiting) > 400 or time.monotonic() - self._written > 10:
            self._write()

    @rank_zero_only
    def restore(self, history: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Take over the metrics of a training before its interruption, whose run in the ledger was another."""
        self.history = {name: list(points) for name, points in history.items()}
        self._waiting = [(name, value, step) for name, points in self.history.items() for step, value in points]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        self._write()

    def _write(self) -> None:
        if self._uri is not None and self._run is not None and self._waiting:
            Ledger(self._uri).points(self._run, self._waiting)
        self._waiting, self._written = [], time.monotonic()


def serve(uri: str, host: str, port: int) -> None:
    """Run MLflow's own pages until Ctrl-C.

    Raises:
        DataError: There is no such ledger, or the port is taken.
    """
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not database.is_file():
        raise DataError(f"There is no ledger {database}: give the folder of a run by --root.")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(port)]
    # Its helpers for jobs, which are not used here, would take a gigabyte.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen([*command, "--workers", "1"], env=environment, start_new_session=True)
    try:
        status = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    if status:
        raise DataError(
            f"MLflow's server ended with exit status {status}. If port {port} is taken, choose another: --port."
        )
