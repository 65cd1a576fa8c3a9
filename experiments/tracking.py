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
NO_TRACKING = "none"
"""The tracking URI that stands for no ledger."""
_MAX_PARAM_LENGTH = 6000
"""Characters of a parameter that MLflow stores."""
_INVALID_CHARACTERS = re.compile(r"[^A-Za-z0-9_/.\-]")


def tracking_uri(root: Path, uri: str | None) -> str:
    """The tracking URI: the one given, or a database below ``root``."""
    return uri or f"sqlite:///{root.absolute() / 'mlflow.db'}"


def open_tracker(uri: str, root: Path, experiment: str) -> "Tracker":
    """Open the tracker at a URI, create its store and experiment if missing; `NullTracker` for `NO_TRACKING`.

    Raises:
        DataError: The store cannot be made or does not answer.
    """
    if uri == NO_TRACKING:
        return NullTracker()
    create_experiment_store(uri, root, experiment)
    return Tracker(uri, experiment)


def create_experiment_store(uri: str, root: Path, experiment: str) -> None:
    """Create the store and the experiment, once, however many processes ask for it at the same time."""
    if uri.startswith("http"):
        _check_server(uri)
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".tracking.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = _MlflowClient(uri)
        if client.get_experiment_by_name(experiment) is None:
            local = uri.startswith("sqlite:")
            location = (root.absolute() / "mlartifacts").as_uri() if local else None
            client.create_experiment(experiment, artifact_location=location)


class _MlflowClient:
    """MLflow's client, whose troubles are a person's to solve: a full disk, a server that does not answer."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self._uri = uri
        self._client = self._translate_errors(MlflowClient)(tracking_uri=uri)

    def __getattr__(self, name: str) -> Any:
        return self._translate_errors(getattr(self._client, name))

    def _translate_errors(self, call: Callable[..., Any]) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise DataError(f"The tracking store {self._uri} cannot be used: {first.rstrip('.')}.") from error

        return wrapper


def _check_server(uri: str) -> None:
    """Make sure that a server is there, without MLflow's minutes of trying again."""
    try:
        urllib.request.urlopen(uri, timeout=10).close()
    except urllib.error.HTTPError:
        return  # It answers, if only to say that it wants something else.
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"The tracking store {uri} does not answer: {reason}. Start the server, or set tracking.uri."
        ) from error


class Tracker:
    """Runs, with their parameters, metrics and files."""

    def __init__(self, uri: str, experiment: str = "") -> None:
        """Take the tracking URI, and the experiment that new runs belong to."""
        self.uri, self._experiment = uri, experiment
        self._client = _MlflowClient(uri)

    def start_run(
        self,
        name: str,
        *,
        parent_run: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Open a run.

        Raises:
            DataError: There is no such experiment; `create_experiment_store` makes one.
        """
        from mlflow.entities import Param

        experiment_entity = self._client.get_experiment_by_name(self._experiment)
        if experiment_entity is None:
            raise DataError(f"The tracking store {self.uri} has no experiment {self._experiment!r}.")

        run_tags = {**(tags or {}), **({"mlflow.parentRunId": parent_run} if parent_run else {})}
        run_id: str = self._client.create_run(experiment_entity.experiment_id, run_name=name, tags=run_tags).info.run_id
        rows = [
            Param(_INVALID_CHARACTERS.sub("_", key), str(value)[:_MAX_PARAM_LENGTH])
            for key, value in (params or {}).items()
        ]
        for start in range(0, len(rows), 100):
            self._client.log_batch(run_id, params=rows[start : start + 100])
        return run_id

    def finish_run(self, run_id: str, *, failed: bool = False) -> None:
        """Close a run."""
        self._client.set_terminated(run_id, status="FAILED" if failed else "FINISHED")

    def log_metrics(self, run_id: str, values: Mapping[str, float], step: int = 0) -> None:
        """Store metrics; those that are not finite are counted, not stored."""
        self.log_points(run_id, [(name, value, step) for name, value in values.items()])

    def log_points(self, run_id: str, points: list[tuple[str, float, int]]) -> None:
        """Store many metrics at once, as (name, value, step)."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite_points = [(name, value, step) for name, value, step in points if math.isfinite(value)]
        rows = [Metric(_INVALID_CHARACTERS.sub("_", name), value, now, step) for name, value, step in finite_points]
        if len(finite_points) < len(points):
            rows.append(Metric("nonfinite", float(len(points) - len(finite_points)), now, points[-1][2]))
        for start in range(0, len(rows), 500):
            self._client.log_batch(run_id, metrics=rows[start : start + 500])

    def log_text(self, run_id: str, name: str, content: str) -> None:
        """Store a text as a file."""
        self._client.log_text(run_id, content, name)

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        """Store a copy of a file."""
        self._client.log_artifact(run_id, str(path), folder or None)

    def log_image(self, run_id: str, name: str, image: Image.Image, step: int) -> None:
        """Store a picture of a step."""
        self._client.log_image(run_id, image, key=name, step=step)

    def metric_history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """A metric's values by step."""
        return [(item.step, item.value) for item in self._client.get_metric_history(run_id, metric)]


class NullTracker(Tracker):
    """Keeps nothing, and needs no MLflow: what there is then is the report and the files on disk."""

    def __init__(self) -> None:
        self.uri = NO_TRACKING

    def start_run(self, name: str, **_: Any) -> str:
        """No run."""
        return ""

    def finish_run(self, run_id: str, *, failed: bool = False) -> None:
        """Nothing to close."""

    def log_points(self, run_id: str, points: list[tuple[str, float, int]]) -> None:
        """Nothing is stored."""

    def log_text(self, run_id: str, name: str, content: str) -> None:
        """Nothing is stored."""

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        """Nothing is stored."""

    def log_image(self, run_id: str, name: str, image: Image.Image, step: int) -> None:
        """Nothing is stored."""

    def metric_history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Nothing."""
        return []


class RunLogger(Logger):
    """Writes a Trainer's metrics into one run, a few dozen at a time, and keeps them."""

    def __init__(self, uri: str | None, run_id: str | None) -> None:
        super().__init__()
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._buffer: list[tuple[str, float, int]] = []
        self._run_id, self._uri, self._tracker = run_id, uri, None
        self._last_write = time.monotonic()

    @property
    def name(self) -> str:
        """The logger's name."""
        return "fourm"

    @property
    def version(self) -> str:
        """The run."""
        return self._run_id or "none"

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the launcher has stored the config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep metrics, and write them when there are many or some are old."""
        for name, value in metrics.items():
            if name != "epoch":
                self.history.setdefault(name, []).append((step or 0, float(value)))
                self._buffer.append((name, float(value), step or 0))
        if len(self._buffer) > 400 or time.monotonic() - self._last_write > 10:
            self._write()

    @rank_zero_only
    def restore(self, history: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Take over the metrics of a training before its interruption, whose run in the tracker was another."""
        self.history = {name: list(points) for name, points in history.items()}
        self._buffer = [(name, value, step) for name, points in self.history.items() for step, value in points]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        self._write()

    def _write(self) -> None:
        if self._uri is not None and self._run_id is not None and self._buffer:
            Tracker(self._uri).log_points(self._run_id, self._buffer)
        self._buffer, self._last_write = [], time.monotonic()


def serve_ui(uri: str, host: str, port: int) -> None:
    """Run MLflow's own pages until Ctrl-C.

    Raises:
        DataError: There is no such ledger, or the port is taken.
    """
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not database.is_file():
        raise DataError(f"There is no tracking store {database}: give the folder of a run by --root.")
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
