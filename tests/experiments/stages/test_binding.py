"""A miniature with binding: its scores are in the table and the report; settings that do not fit are refused."""

from pathlib import Path

import pytest

from evaluation.scores import read_scores
from experiments.cli.main import main
from experiments.schema.load import load_config
from modalities.errors import ConfigError
from tests.experiments.miniature import command_line

SETTINGS = {
    "arms": "{few: [rgb, depth, semseg, caption, dinov2_global]}",
    "binding__enabled": "true",
    "binding__batch_size": "8",
    "binding_optim__steps": "3",
    "binding_optim__warmup_steps": "1",
    "tracking__uri": "none",
    "evaluation__routes": "{rgb: [depth]}",
    "evaluation__chains": "[]",
    "evaluation__probes": "{}",
    "evaluation__num_generated": "0",
}


def test_binding_stands_beside_the_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        word for word in command_line(tmp_path, **SETTINGS) if not word.startswith("tokenizer_training.steps.imagebind")
    ]
    assert main(words) == 0, capsys.readouterr().err
    scores = [
        item for item in read_scores(tmp_path / "mini" / "scores.json") if str(item.route).startswith("retrieval")
    ]
    spaces = {(item.arm, str(item.route).split(":")[1]) for item in scores}
    assert spaces >= {
        ("few", "encoder"),
        ("few", "dinov2_global"),
        ("binding", "binding"),
        ("binding", "binding arithmetic"),
    }
    emergent = [item for item in scores if str(item.route) == "retrieval:binding:caption->depth"]
    assert {item.metric for item in emergent} == {"recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "map"}
    assert {item.num_samples for item in emergent} == {4}
    page = (tmp_path / "mini" / "report.html").read_text()
    assert "<h2>Retrieval</h2>" in page
    assert "Caption → Depth" in page


def test_settings_of_binding_that_do_not_fit() -> None:
    for words, message in (
        (["binding.dim=8"], "binding.dim has no effect: binding.enabled=false"),
        (["binding_optim.lr=1e-3"], "binding_optim.lr has no effect: binding.enabled=false"),
        (["binding.enabled=true", "arms={a: [rgb, depth]}", "binding.modalities=[caption]"], "binding needs caption"),
        (["binding.enabled=true", "arms={a: [rgb, clip]}"], "name some"),
        (["binding.enabled=true", "binding.modalities=[rgb]", "binding.image=rgb"], "which is binding.image"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(None, words)


def test_without_binding_and_pairs_nothing_is_retrieved() -> None:
    assert load_config(None, []).retrieval == []
    pairs = load_config(None, ["binding.enabled=true"]).retrieval
    assert len(pairs) == 5 * 4
