"""A folder of photographs, most of which lack something, from the command line to report, prediction and evaluation."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.cli.main import main
from tests.experiments.miniature import finished_stages
from tests.experiments.sources.train import train_to_report
from tests.modalities.sources.photographs import make_photographs


def _train(photographs: Path, root: Path) -> str:
    return train_to_report(
        "photos",
        root,
        data__source__path=photographs,
        data__train="null",
        data__validation="null",
        data__shard="64",
        data__crops__count="2",
        arms="{photographs: [rgb, caption], with_depth: [rgb, caption, depth]}",
        evaluation__routes="{rgb: [], caption: [rgb]}",
        evaluation__num_generated="1",
        evaluation__num_pictures="3",
        training__pictures_every="2",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The folder of photographs, the root of the run, and its report."""
    root = tmp_path_factory.mktemp("photos")
    make_photographs(root / "photographs")
    (root / "photographs" / "rgb" / "notes.xmp").write_text("of no use")
    return root / "photographs", root / "runs", _train(root / "photographs", root / "runs")


def test_the_report_speaks_of_the_photographs(trained: tuple[Path, Path, str]) -> None:
    photographs, root, report = trained
    sizes = re.search(r"(\d+) training and (\d+) held-out samples of (\S+) at 32 × 32 pixels", report)
    assert sizes is not None
    assert sizes[3] == str(photographs)
    assert "licence: unknown" in report
    assert "scene" not in report.lower()
    (folder,) = root.glob("stages/model-photographs-0-*")
    card = json.loads((folder / "card.json").read_text())
    assert card["data_settings"]["source"]["path"] == str(photographs)
    assert card["data"].startswith(f"{sizes[1]} samples of {photographs}")


def test_scores_say_how_many_samples_have_both_ends_of_a_route(trained: tuple[Path, Path, str]) -> None:
    _, root, _ = trained
    scores = json.loads((root / "mini" / "scores.json").read_text())["scores"]
    found = {
        (score["source"], score["target"]): score["num_samples"]
        for score in scores
        if score["source"] and score["metric"] in ("rmse", "psnr")
    }
    # Of the first four held-out photographs, those that have a depth map, and those that have a caption.
    assert found.keys() >= {("rgb", "depth"), ("caption", "rgb")}
    assert found["rgb", "rgb"] == 4
    assert all(0 < count <= 4 for count in found.values())
    assert all(np.isfinite(score["value"]) for score in scores if score["num_samples"])


def test_a_photograph_is_predicted_from(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    photographs, root, _ = trained
    picture = str(photographs / "rgb" / "0002.jpg")
    assert (
        main(
            [
                "predict",
                picture,
                "--model",
                str(root / "mini"),
                "--arm",
                "with_depth",
                "--out",
                str(tmp_path),
                "--to",
                "depth,caption",
            ]
        )
        == 0
    )
    assert {path.stem for path in tmp_path.iterdir()} >= {"depth", "caption"}


def test_a_model_is_measured_on_its_own_data_and_on_others(
    trained: tuple[Path, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, root, _ = trained
    make_photographs(tmp_path / "others", 7)
    shutil.rmtree(tmp_path / "others" / "depth")
    few = [
        "evaluation.num_samples=4",
        "evaluation.num_sequences=2",
        "evaluation.max_tokens=8",
        "executor.accelerator=cpu",
    ]
    words = [
        "evaluate",
        *few,
        "evaluation.routes={rgb: [rgb, caption]}",
        "evaluation.probes={}",
        "evaluation.chains=[]",
    ]
    model = ["--model", str(root / "mini"), "--arm", "with_depth", "--out", str(tmp_path / "out")]
    assert main([*words, *model]) == 0
    assert {score["arm"] for score in json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]} >= {
        "with_depth"
    }
    capsys.readouterr()
    assert main([*words, *model, "--data", str(tmp_path / "others"), "--split", "all"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{tmp_path / 'others'} is read as a folder" in said
    assert "depth is left out: folder:" in said
    assert "Chance levels are those of the measured samples: all splits are measured." in said
    assert main([*words, *model, "--data", str(tmp_path / "nowhere")]) == 1
    assert "is no data: there is no such folder" in " ".join(capsys.readouterr().err.split())


def test_what_did_not_change_is_not_made_again(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    shutil.copytree(trained[0], tmp_path / "photographs")
    photographs, root = tmp_path / "photographs", tmp_path / "runs"
    first = _train(photographs, root)
    done = finished_stages(root)
    assert _train(photographs, root) == first
    assert finished_stages(root) == done
    np.save(photographs / "depth" / "0003.npy", np.full((40, 48), 3, np.float32))
    _train(photographs, root)
    made = {name.rsplit("-", 1)[0] for name in finished_stages(root).keys() - done.keys()}
    assert "tokenizer-depth" in made
    assert "model-with_depth-0" in made
    assert not made & {"tokenizer-rgb", "text", "model-photographs-0"}, "these read no depth"
    done = finished_stages(root)
    Image.new("RGB", (48, 40)).save(photographs / "rgb" / "0060.png")
    _train(photographs, root)
    made = {name.rsplit("-", 1)[0] for name in finished_stages(root).keys() - done.keys()}
    assert made >= {"tokenizer-rgb", "model-photographs-0", "model-with_depth-0", "report"}
