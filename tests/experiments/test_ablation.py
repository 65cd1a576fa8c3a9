"""A whole ablation through the command line, from scenes to the report, looked at from all sides."""

import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from experiments.tracking import tracking_uri
from modalities.presets import FOURM_7, FOURM_21
from modalities.spec import UNSPECIFIED_NORMALIZATION
from tests.experiments.miniature import ablate, command_line, finished_stages, partial_files, start_process

INPUT_ONLY = "t5_caption"


def runs(root: Path) -> list[Run]:
    """Every run of the ledger below ``root``."""
    client = MlflowClient(tracking_uri(root, None))
    experiment = client.get_experiment_by_name("fourm-lab")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def scores(root: Path) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads((root / "mini" / "scores.json").read_text())["scores"]
    return told


def test_every_modality_is_measured_by_its_round_trip_its_cross_entropy_and_from_rgb(finished: Path) -> None:
    found = scores(finished)
    bounds = {score["target"] for score in found if score["route"] == "tokenizer"}
    assert bounds == set(FOURM_21) - {INPUT_ONLY}
    for arm, names in (("fourm_7", FOURM_7), ("fourm_21", FOURM_21)):
        own = [score for score in found if score["arm"] == arm]
        assert {score["target"] for score in own if score["route"] == "masked"} == set(names) - {INPUT_ONLY}
        reached = {
            score["target"]
            for score in own
            if score["route"].startswith("rgb->") and score["metric"] != "cross_entropy"
        }
        assert reached == set(names) - {INPUT_ONLY}
        assert {"semseg", "bounding_boxes"} == {
            score["target"] for score in own if score["route"].startswith("caption->")
        }
    assert [score["target"] for score in found if score["route"] == "t5_caption->caption"] == ["caption"]
    measured = [score for score in found if score["arm"]]
    assert all(score["unit"] for score in measured)
    # An answer that guesses nothing is well-formed or not: that has no level of chance.
    assert {score["metric"] for score in measured if score["chance"] is None} == {"well_formed"}


def test_every_tokenizers_card_tells_its_normalisation_and_its_quality(finished: Path) -> None:
    cards = {}
    for path in (finished / "stages").glob("tokenizer-*/card.json"):
        told = json.loads(path.read_text())
        cards[told["name"]] = told["card"]
        assert told["card"]["quality"], told["name"]
        for member in told["members"]:
            assert f"{member}: " in told["card"]["normalization"]
            assert any(name.startswith(f"{member}/") for name in told["card"]["quality"])
        assert UNSPECIFIED_NORMALIZATION not in told["card"]["normalization"]
        assert all(math.isfinite(item["value"]) and item["unit"] for item in told["card"]["quality"].values())
    assert len(cards) == 12
    assert len({card["normalization"] for card in cards.values()}) == len(cards)
    assert cards["rgb"]["normalization"] == "rgb: levels 0..255 / 127.5 - 1, so -1..1"
    assert not cards["body_pose"]["quality"]["human_poses/joint_error"]["higher_is_better"]
    assert cards["body_pose"]["quality"]["human_poses/joint_error"]["unit"] == "mm"
    assert cards["instance_mask"]["quality"]["sam_instances/iou"]["higher_is_better"]
    assert 0 <= cards["instance_mask"]["quality"]["sam_instances/iou"]["value"] <= 1


def test_the_record_says_where_the_models_are(finished: Path) -> None:
    told = json.loads((finished / "mini" / "ablation.json").read_text())
    assert list(told["models"]) == ["fourm_7/0", "fourm_21/0"]
    for folder in told["models"].values():
        assert not Path(folder).is_absolute()
        assert (finished / "mini" / folder / "model.safetensors").stat().st_size > 100_000
    assert {"torch", "lightning", "processor", "cores", "peak memory", "command", "training data"} <= set(
        told["manifest"]
    )
    assert told["config"]["scale"]["size"] == 32


def test_the_report_stands_alone_and_names_every_modality(finished: Path) -> None:
    page = (finished / "mini" / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)[^\"']+", page)
    assert page.count("<svg") >= 2
    assert page.count("data:image/png;base64,") >= 1
    for name in ("Depth", "SAM instances", "Web text", "T5 caption", "ImageBind global", "Colour palette"):
        assert name in page
    assert "under 10 % of" in page.lower()


def test_the_ledger_holds_one_parent_and_a_child_for_each_stage_but_data_and_tokens(finished: Path) -> None:
    everything = runs(finished)
    parents = [run for run in everything if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in everything if "mlflow.parentRunId" in run.data.tags]
    first = min(parents, key=lambda run: run.info.start_time)
    own = [run for run in children if run.data.tags["mlflow.parentRunId"] == first.info.run_id]
    names = {run.info.run_name for run in own}
    untracked = ("data-train-", "data-validation-", "tokens-train-", "tokens-validation-")
    tracked = [name for name in finished_stages(finished) if not name.startswith(untracked)]
    assert len(own) == len(names) == len(tracked)
    assert not [name for name in names if name.startswith(("data", "tokens"))]
    # Other tests may have failed on purpose in the same store.
    assert {run.info.status for run in (first, *own)} == {"FINISHED"}
    assert first.data.params["optim.total_tokens"] == "1920.0"
    assert len(first.data.params) > 100
    assert sum(run.data.tags["fourm.stage"] == "tokenizer" for run in own) == 12


def test_the_ledger_holds_metrics_by_step_pictures_and_files(finished: Path) -> None:
    client = MlflowClient(tracking_uri(finished, None))
    run = next(run for run in runs(finished) if run.info.run_name == "model/fourm_21/0")
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [item.step for item in losses] == [0, 1, 2]
    assert {"val/loss", "train/depth/loss", "train/caption/loss", "train/lr", "seconds"} <= set(run.data.metrics)
    pictures = [item.path for item in client.list_artifacts(run.info.run_id, "images")]
    assert any("validation" in path and "step" in path for path in pictures)
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert "model" in names
    kept = {item.path for item in client.list_artifacts(run.info.run_id, "model")}
    files = ("model.safetensors", "config.json", "card.json", "text_tokenizer.json", "tokenizers")
    assert kept == {f"model/{name}" for name in files}
    tokenizer = next(run for run in runs(finished) if run.info.run_name == "tokenizer/depth")
    assert {"card.md", "card.json"} <= {item.path for item in client.list_artifacts(tokenizer.info.run_id)}
    named = [run for run in runs(finished) if run.info.run_name == "mini"]
    parent = min(named, key=lambda run: run.info.start_time)
    kept = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "scores.json", "manifest.json", "ablation.json"} <= kept


def test_pictures_of_validation_predictions_lie_with_the_model(finished: Path) -> None:
    folder = next((finished / "stages").glob("model-fourm_7-0-*"))
    pictures = sorted((folder / "pictures").glob("*.png"))
    assert [path.stem for path in pictures] == ["step-0000002", "step-0000003"]
    assert len(Image.open(pictures[-1]).convert("RGB").getcolors(1 << 20) or []) > 50


def test_nothing_half_written_is_left(finished: Path) -> None:
    assert partial_files(finished) == []


def test_the_same_command_runs_nothing_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, report = finished_stages(finished), scores(finished)
    assert ablate(finished) == 0
    assert finished_stages(finished) == before
    assert scores(finished) == report
    assert f"{len(before)} of {len(before)} stages are done already" in capsys.readouterr().out


def test_without_a_ledger_nothing_of_mlflow_is_needed(tmp_path: Path) -> None:
    (tmp_path / "mlflow.py").write_text("raise ImportError('there is no mlflow')")
    place = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    arguments = command_line(tmp_path / "runs", tracking__uri="none", arms__fourm_21="[fourm_7]", name="bare")
    process = start_process(arguments, env={"PYTHONPATH": place})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "tracking.uri=none" in out
    assert (tmp_path / "runs" / "bare" / "report.html").is_file()
    assert not (tmp_path / "runs" / "mlflow.db").exists()


def test_fewer_modalities_take_the_tokenizers_and_models_that_are_there(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "stages", tmp_path / "stages")
    before = set(finished_stages(tmp_path))
    arms = {"arms__fourm_7": "[fourm_7]", "arms__fourm_21": "[fourm_7,t5_caption,web_text]"}
    assert ablate(tmp_path, **arms, name="fewer") == 0
    made = {name.rsplit("-", 1)[0] for name in set(finished_stages(tmp_path)) - before}
    assert {name for name in made if name.startswith(("model", "tokenizer", "text", "generation"))} == {
        "model-fourm_21-0",
        "generation-fourm_21",
    }


def test_another_arm_takes_the_tokenizers_that_are_there(finished: Path) -> None:
    before = set(finished_stages(finished))
    arms = {"arms__fourm_7": "[fourm_7]", "arms__fourm_21": "[fourm_21]", "arms__no_depth": "[rgb,semseg,normals]"}
    assert ablate(finished, **arms, name="three") == 0
    made = {name.rsplit("-", 1)[0] for name in set(finished_stages(finished)) - before}
    # Three arms have less in common than two, and so the evaluations ask another common question.
    new = {"model-no_depth-0", "evaluation-no_depth-0", "generation-no_depth"}
    assert made <= {*new, "evaluation-fourm_7-0", "evaluation-fourm_21-0", "report"}
    assert new <= made
    log = next((finished / "stages").glob("generation-no_depth-*")) / "log.txt"
    assert "No sheet from_caption: the model cannot predict caption." in log.read_text()
