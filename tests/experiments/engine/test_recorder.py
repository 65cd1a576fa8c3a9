"""Each stage becomes a run of the tracker, with what its kind wants to be kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from evaluation.route import Route
from evaluation.scores import Score, write_scores
from experiments.engine.observer import SilentObserver
from experiments.engine.recorder import RunRecorder
from experiments.stages.plan import Stage, StagePlan
from experiments.tracker import Tracker


class Memory(Tracker):
    """A tracker that keeps everything in lists: all that another tracker has to write."""

    uri = "memory"

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}

    def start_run(
        self,
        name: str,
        *,
        parent_run: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        self.runs[name] = {
            "parent": parent_run,
            "tags": tags,
            "params": params,
            "files": [],
            "points": [],
            "images": [],
        }
        return name

    def finish_run(self, run_id: str | None, *, failed: bool = False) -> None:
        self.runs[str(run_id)]["failed"] = failed

    def log_points(self, run_id: str | None, points: Sequence[tuple[str, float, int]]) -> None:
        self.runs[str(run_id)]["points"] += points

    def log_text(self, run_id: str | None, name: str, content: str) -> None:
        self.runs[str(run_id)]["files"].append(name)

    def log_file(self, run_id: str | None, path: Path, folder: str = "") -> None:
        self.runs[str(run_id)]["files"].append(f"{folder}/{path.name}")

    def log_image(self, run_id: str | None, name: str, image: Image.Image, step: int) -> None:
        self.runs[str(run_id)]["images"].append((name, step))


def recorded(tmp_path: Path, stage: Stage, error: str | None = None) -> dict[str, Any]:
    """The run of a stage whose result lies in ``tmp_path``."""
    tracker = Memory()
    plan = StagePlan(tmp_path, [stage])
    recorder = RunRecorder(tracker=tracker, parent_run="whole", plan=plan, observer=SilentObserver())
    run_id = recorder.on_stage_start(stage)
    recorder.on_stage_end(stage, tmp_path, run_id, error)
    found: dict[str, Any] = tracker.runs[stage.name]
    assert found["tags"] == {"fourm.signature": plan.signatures[stage.name], "fourm.stage": stage.kind}
    assert found["parent"] == "whole"
    return found


def test_a_model_run_keeps_the_models_whole_folder(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "card.json", "text_tokenizer.json", "history.json", "done.json"):
        (tmp_path / name).touch()
    (tmp_path / "tokenizers").mkdir()
    run = recorded(tmp_path, Stage(kind="model", name="model/a/0", params={}, run_args={"arm": "a", "seed": 0}))
    names = ("model.safetensors", "config.json", "card.json", "text_tokenizer.json", "tokenizers")
    assert run["files"] == [f"model/{name}" for name in names]
    assert run["params"] == {"arm": "a", "seed": 0}
    assert [name for name, _, _ in run["points"]] == ["seconds"]
    assert run["failed"] is False


def test_sheets_are_pictures_and_a_failed_stage_keeps_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "example.png")
    stage = Stage(kind="generation", name="generation/a", params={})
    assert recorded(tmp_path, stage)["images"] == [("example", 0)]
    failed = recorded(tmp_path, stage, "no more paper")
    assert (failed["images"], failed["points"], failed["failed"]) == ([], [], True)


def test_scores_are_metrics_of_the_evaluations_run(tmp_path: Path) -> None:
    score = Score(
        route=Route(source="rgb", target="depth"),
        metric="rmse",
        metric_title="RMSE",
        value=0.5,
        unit="m",
        higher_is_better=False,
    )
    write_scores(tmp_path / "scores.json", [score])
    run = recorded(tmp_path, Stage(kind="evaluation", name="evaluation/a/0", params={}))
    assert run["files"] == ["/scores.json"]
    assert run["points"][1:] == [("rgb-to-depth/depth/rmse", 0.5, 0)]
