"""Trackers by their URI, and the logger that Lightning writes to."""

from pathlib import Path

import pytest
from PIL import Image

from experiments.schema.sections import NO_TRACKING
from experiments.tracker import NullTracker, RunLogger
from experiments.tracking import connect_tracker, open_tracker, tracking_uri
from tests.experiments.engine.test_recorder import Memory


def test_none_tracks_nothing_and_writes_nothing(tmp_path: Path) -> None:
    tracker = open_tracker(NO_TRACKING, tmp_path / "runs", "x")
    assert isinstance(tracker, NullTracker)
    assert isinstance(connect_tracker(NO_TRACKING), NullTracker)
    with tracker.open_run("a", {}, {}) as run_id:
        assert run_id is None
        tracker.log_metrics(run_id, {"loss": 1.0})
        tracker.log_text(run_id, "a.txt", "a")
        tracker.log_file(run_id, tmp_path)
        tracker.log_image(run_id, "a", Image.new("RGB", (2, 2)), 0)
    assert list(tmp_path.iterdir()) == []


def test_the_store_lies_below_the_root_unless_one_is_named(tmp_path: Path) -> None:
    assert tracking_uri(tmp_path, None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri(tmp_path, "http://a.b:5000") == "http://a.b:5000"


def test_an_exception_closes_the_run_as_failed() -> None:
    tracker = Memory()
    with pytest.raises(KeyboardInterrupt), tracker.open_run("a", {}, {}):
        raise KeyboardInterrupt
    assert tracker.runs["a"]["failed"] is True


def test_a_logger_keeps_all_metrics_and_writes_them_at_the_end() -> None:
    tracker = Memory()
    tracker.start_run("a")
    logger = RunLogger(tracker, "a")
    logger.restore({"loss": [(0, 3.0)]})
    logger.log_metrics({"loss": 2.0, "epoch": 0.0}, step=1)
    assert tracker.runs["a"]["points"] == []
    logger.finalize("success")
    assert tracker.runs["a"]["points"] == [("loss", 3.0, 0), ("loss", 2.0, 1)]
    assert logger.history == {"loss": [(0, 3.0), (1, 2.0)]}


def test_a_logger_without_a_tracker_keeps_them_too() -> None:
    logger = RunLogger(None, None)
    logger.log_metrics({"loss": 2.0}, step=1)
    logger.finalize("success")
    assert logger.history == {"loss": [(1, 2.0)]}
