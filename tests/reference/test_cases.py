"""The published cases, where they are, and this project's own of the same kinds; a wrong number is told."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.reference.__main__ import main
from tests.reference.cases import run_cases
from tests.reference.own.model_case import write_model_case
from tests.reference.own.weights import Grid, Sequence, Setting

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference"

SETTINGS = {
    "swiglu": Setting(
        domains_in={
            "caption": Sequence(vocab=30),
            "det": Sequence(vocab=30),
            "rgb@224": Grid(side=2, patch=4),
            "tok_rgb@224": Grid(side=3, vocab=11),
            "tok_depth@224": Grid(side=3, vocab=9),
        },
        domains_out=("caption", "det", "tok_rgb@224", "tok_depth@224"),
        more={},
    ),
    "gelu with everything": Setting(
        domains_in={
            "caption": Sequence(vocab=30, learnt=True),
            "t5_caption": Sequence(channels=6),
            "tok_rgb@224": Grid(side=3, vocab=11, learnt=True),
            "tok_dinov2_global": Grid(side=2, vocab=9, learnt=True),
            "metadata": Sequence(vocab=30),
        },
        domains_out=("caption", "tok_rgb@224", "tok_dinov2_global", "metadata"),
        more={},
        gated=False,
        norm_bias=True,
        qkv_bias=True,
        proj_bias=True,
        mlp_bias=True,
        qk_norm=True,
        tied=True,
        registers=3,
    ),
    "super-resolution": Setting(
        domains_in={"tok_rgb@224": Grid(side=2, vocab=11), "caption": Sequence(vocab=30)},
        domains_out=("tok_rgb@448",),
        more={"tok_rgb@448": Grid(side=4, vocab=11)},
        heads=4,
        encoder_depth=1,
        decoder_depth=3,
        qkv_bias=True,
        qk_norm=True,
    ),
}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published cases (../shared/reference) are not here")
def test_every_published_case_passes() -> None:
    checks = list(run_cases(PUBLISHED))
    assert len(checks) > 250
    assert [str(check) for check in checks if not check.passed] == []


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("seed", [0, 3])
def test_models_of_any_setting_compute_what_a_plain_one_does(name: str, seed: int, tmp_path: Path) -> None:
    write_model_case(tmp_path / "any name", SETTINGS[name], seed)
    checks = list(run_cases(tmp_path))
    assert [str(check) for check in checks if not check.passed] == []
    quantities = {check.quantity for check in checks}
    assert {"encoder", "context", "decoder", "loss_mod", "loss_token"} <= quantities
    assert sum(quantity.startswith("grad_norm/") for quantity in quantities) > 40


def test_a_wrong_weight_fails_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model_case(tmp_path / "case", SETTINGS["swiglu"], 1)
    assert main(tmp_path) == 0
    assert capsys.readouterr().out.endswith(" passed, 0 failed\n")
    path = tmp_path / "case" / "model.safetensors"
    weights = load_file(path)
    weights["encoder.1.mlp.fc3.weight"][0, 0] += 0.1
    save_file(weights, path, {"config": json.dumps(SETTINGS["swiglu"].config())})
    assert main(tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAIL  case  encoder  ") for line in lines)
    del weights["encoder.1.mlp.fc3.weight"]
    save_file(weights, path, {"config": json.dumps(SETTINGS["swiglu"].config())})
    assert main(tmp_path) == 1
    assert "lacks the tensor 'encoder.1.mlp.fc3.weight'" in capsys.readouterr().out


def test_a_folder_without_cases_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text("[1, 2]")
    assert main(tmp_path) == 1
    assert "0 passed, 0 failed" in capsys.readouterr().out
