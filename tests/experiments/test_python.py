"""An ablation from Python: no terminal, a modality added by hand, own callbacks, in workers of their own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from experiments.ablation import AblationResult, run_ablation
from experiments.engine.observer import StageProgress
from experiments.schema.load import CONFIG_FOLDER, load_config
from experiments.stages.plan import Stage, StagePlan
from experiments.tracking import download_artifacts, tracking_uri
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import load_model
from modalities.errors import DataError
from tests.experiments.handmade import StepsFile, handmade_registry
from tests.experiments.miniature import command_line


class Observer:
    """Notes the events of a run."""

    def __init__(self) -> None:
        self.planned: list[str] = []
        self.ended: list[str] = []
        self.last = (0, 0)

    def on_plan(self, plan: StagePlan, reused: Sequence[str]) -> None:
        assert not reused
        self.planned = list(plan.stages)

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        self.last = (done, total)

    def on_stage_end(self, stage: Stage, seconds: float, error: str | None) -> None:
        assert error is None
        self.ended.append(stage.name)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AblationResult, Observer]:
    """The folder of a finished run in one worker, its result, and what its observer saw."""
    folder = tmp_path_factory.mktemp("python")
    changes = {
        "arms__fourm_7": "[rgb,distance]",
        "arms__fourm_21": "[rgb]",
        "executor__workers": 1,
        "evaluation__routes": "{rgb: [distance]}",
        "evaluation__chains": "[]",
        "evaluation__num_generated": 0,
        "masking__mixtures": "[]",
    }
    _, _, *overrides = command_line(folder / "runs", **changes)
    config = load_config(CONFIG_FOLDER / "quickstart.yaml", overrides)
    observer = Observer()
    result = run_ablation(
        config, registry=handmade_registry(), callbacks=[StepsFile(folder / "steps")], observer=observer
    )
    return folder, result, observer


def test_workers_know_the_modality_that_was_added_by_hand(run: tuple[Path, AblationResult, Observer]) -> None:
    _, result, _ = run
    assert "distance" in result.modalities
    assert {score.target for score in result.scores if score.arm == "fourm_7"} >= {"distance"}
    rows = json.loads((result.folder / "scores.json").read_text())["scores"]
    assert len(rows) == len(result.scores)


def test_the_models_trainer_has_the_callbacks(run: tuple[Path, AblationResult, Observer]) -> None:
    folder, _, _ = run
    assert (folder / "steps").read_text().splitlines() == ["FourMModule 3", "FourMModule 3"]


def test_the_observer_hears_of_every_stage(run: tuple[Path, AblationResult, Observer]) -> None:
    _, _, observer = run
    assert sorted(observer.ended) == sorted(observer.planned)
    assert observer.ended[-1] == "report"
    assert observer.last == (len(observer.planned), len(observer.planned))


def test_a_model_comes_back_from_the_tracker_when_its_run_is_gone(
    run: tuple[Path, AblationResult, Observer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = run
    runs, store = folder / "runs", tracking_uri(folder / "runs", None)
    weights = load_file(find_model(runs / "mini", "fourm_7", 0) / "model.safetensors")
    # The ablation's folder and the stages, but not the store, move to another place.
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("mini", "stages"):
        (runs / name).rename(moved / name)
    try:
        client = MlflowClient(store)
        (found,) = client.search_runs(["1"], "attributes.run_name = 'model/fourm_7/0'")
        version = client.create_model_version(
            client.create_registered_model("distance").name, f"{found.info.artifact_uri}/model", found.info.run_id
        )
        run_uri = f"runs:/{found.info.run_id}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        for number, uri in enumerate((run_uri, f"{run_uri}/model", f"models:/distance/{version.version}")):
            copy = download_artifacts(uri, tmp_path / str(number))
            loaded = load_model(copy)
            assert loaded.modalities == ("rgb", "distance")
            assert set(loaded.tokenizers) == {"rgb", "depth"}
            assert loaded.text_tokenizer is not None
            assert load_file(copy / "model.safetensors").keys() == weights.keys()
            assert all((value == weights[name]).all() for name, value in load_file(copy / "model.safetensors").items())
        # The record's paths are relative, so the moved copy works too.
        assert load_model(find_model(moved / "mini", "fourm_7", 0)).modalities == ("rgb", "distance")
        with pytest.raises(DataError, match="cannot be used"):
            download_artifacts("runs:/0123456789abcdef0123456789abcdef", tmp_path / "none", store=store)
        with pytest.raises(DataError, match=r"^'run:/x' is no artifact: write runs:/RUN_ID"):
            download_artifacts("run:/x")
    finally:
        for name in ("mini", "stages"):
            (moved / name).rename(runs / name)
