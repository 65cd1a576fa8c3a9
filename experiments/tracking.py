"""Tracking with MLflow, and the choice of a tracker by its URI.

The only file that imports MLflow, which it does when it is needed.
"""

import fcntl
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from experiments.processes import child_environment
from experiments.schema.sections import NO_TRACKING
from experiments.tracker import NullTracker, Tracker
from modalities.errors import DataError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
MODEL_ARTIFACTS = "model"
"""Folder of a model's run that holds the model's whole folder."""
_MAX_PARAM_LENGTH = 6000
"""Characters of a parameter that MLflow stores."""
_INVALID_CHARACTERS = re.compile(r"[^A-Za-z0-9_/.\-]")


def tracking_uri(root: Path, uri: str | None) -> str:
    """The tracking URI: the one given, or a database below ``root``."""
    return uri or f"sqlite:///{root.absolute() / 'mlflow.db'}"


def open_tracker(uri: str, root: Path, experiment: str) -> Tracker:
    """Open the tracker at a URI; create its store and experiment if they are missing.

    Raises:
        DataError: The store cannot be made or does not answer.
    """
    if uri != NO_TRACKING:
        create_experiment_store(uri, root, experiment)
    return connect_tracker(uri, experiment)


def connect_tracker(uri: str, experiment: str = "") -> Tracker:
    """Connect to a tracker whose store exists; a further tracker is another case here."""
    return NullTracker(uri) if uri == NO_TRACKING else MLflowTracker(uri, experiment)


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
        self._client = _translate_errors(uri, MlflowClient)(tracking_uri=uri)

    def __getattr__(self, name: str) -> Any:
        return _translate_errors(self._uri, getattr(self._client, name))


def _translate_errors(uri: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call of MLflow so that its troubles with the store become one line."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DataError(f"The tracking store {uri} cannot be used: {first.rstrip('.')}.") from error

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


class MLflowTracker(Tracker):
    """Keeps runs in an MLflow store."""

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

    def finish_run(self, run_id: str | None, *, failed: bool = False) -> None:
        """Close a run."""
        self._client.set_terminated(run_id, status="FAILED" if failed else "FINISHED")

    def log_points(self, run_id: str | None, points: Sequence[tuple[str, float, int]]) -> None:
        """Store metrics as (name, value, step); those that are not finite are counted, not stored."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite_points = [(name, value, step) for name, value, step in points if math.isfinite(value)]
        rows = [Metric(_INVALID_CHARACTERS.sub("_", name), value, now, step) for name, value, step in finite_points]
        if len(finite_points) < len(points):
            rows.append(Metric("nonfinite", float(len(points) - len(finite_points)), now, points[-1][2]))
        for start in range(0, len(rows), 500):
            self._client.log_batch(run_id, metrics=rows[start : start + 500])

    def log_text(self, run_id: str | None, name: str, content: str) -> None:
        """Store a text as a file."""
        self._client.log_text(run_id, content, name)

    def log_file(self, run_id: str | None, path: Path, folder: str = "") -> None:
        """Store a copy of a file, or of a folder with all that is in it, below ``folder`` of the run."""
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), str(PurePosixPath(folder) / path.name))
        else:
            self._client.log_artifact(run_id, str(path), folder or None)

    def log_image(self, run_id: str | None, name: str, image: Image.Image, step: int) -> None:
        """Store a picture of a step."""
        self._client.log_image(run_id, image, key=name, step=step)


def download_artifacts(uri: str, folder: Path | None = None, *, store: str | None = None) -> Path:
    """Download files of a run, ``runs:/RUN_ID[/path]``, or of a registered model, ``models:/NAME/VERSION``.

    Args:
        uri: Without a path, a run's URI means its model's folder.
        folder: Where to put them; a new temporary folder if None.
        store: The tracking URI; if None, the environment's ``MLFLOW_TRACKING_URI``, else the database below ``runs``.

    Raises:
        DataError: The URI is of another form, or nothing lies there.
    """
    from mlflow.artifacts import download_artifacts as download

    if not re.fullmatch(r"(runs|models):/+[^/]+(/.*)?", uri):
        raise DataError(f"{uri!r} is no artifact: write runs:/RUN_ID, runs:/RUN_ID/path or models:/NAME/VERSION.")
    if re.fullmatch(r"runs:/+[^/]+/?", uri):
        uri = f"{uri.rstrip('/')}/{MODEL_ARTIFACTS}"
    store = store or os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri(Path("runs"), None)
    target = folder or Path(tempfile.mkdtemp(prefix="fourm-"))
    target.mkdir(parents=True, exist_ok=True)
    fetch = _translate_errors(store, download)
    return Path(fetch(artifact_uri=uri, dst_path=str(target), tracking_uri=store, registry_uri=store))


def serve_ui(uri: str, host: str, port: int) -> None:
    """Run MLflow's own pages until Ctrl-C.

    Raises:
        DataError: There is no such store, or the port is taken.
    """
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not database.is_file():
        raise DataError(f"There is no tracking store {database}: give the folder of a run by --root.")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(port)]
    # Its helpers for jobs, which are not used here, would take a gigabyte.
    environment = {**child_environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
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
