"""The published cases, where they are, and this project's own of the same kinds; a wrong number is told."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.reference.__main__ import main
from tests.reference.cases import run_cases
from tests.reference.own.files import write_files
from tests.reference.own.generation_case import write_generation_case
from tests.reference.own.model_case import write_model_case
from tests.reference.own.tokenizer_case import write_divae, write_mlp, write_vqvae
from tests.reference.own.weights import Grid, Sequence, Setting

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference"

SETTINGS = {
    "swiglu": Setting(
        domains_in={
            "caption": Sequence(vocab_size=30),
            "det": Sequence(vocab_size=30),
            "rgb@224": Grid(side=2, patch=4),
            "tok_rgb@224": Grid(side=3, vocab_size=11),
            "tok_depth@224": Grid(side=3, vocab_size=9),
        },
        domains_out=("caption", "det", "tok_rgb@224", "tok_depth@224"),
        output_only={},
    ),
    "gelu with everything": Setting(
        domains_in={
            "caption": Sequence(vocab_size=30, learned=True),
            "t5_caption": Sequence(channels=6),
            "tok_rgb@224": Grid(side=3, vocab_size=11, learned=True),
            "tok_dinov2_global": Grid(side=2, vocab_size=9, learned=True),
            "metadata": Sequence(vocab_size=30),
        },
        domains_out=("caption", "tok_rgb@224", "tok_dinov2_global", "metadata"),
        output_only={},
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
        domains_in={"tok_rgb@224": Grid(side=2, vocab_size=11), "caption": Sequence(vocab_size=30)},
        domains_out=("tok_rgb@448",),
        output_only={"tok_rgb@448": Grid(side=4, vocab_size=11)},
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


def test_generation_is_what_a_sampler_that_starts_over_for_every_token_does(tmp_path: Path) -> None:
    inputs: dict[str, Grid | Sequence] = {
        "rgb@224": Grid(side=2, patch=4),
        "tok_depth@224": Grid(side=3, vocab_size=9),
        "tok_semseg@224": Grid(side=3, vocab_size=12),
        "caption": Sequence(vocab_size=20),
    }
    outputs = ("tok_depth@224", "tok_semseg@224", "caption")
    write_generation_case(tmp_path / "case", Setting(domains_in=inputs, domains_out=outputs, output_only={}), 6, 1.7)
    assert _passed(tmp_path) == 3


def test_tokenizers_of_any_setting_compute_what_plain_ones_do(tmp_path: Path) -> None:
    write_vqvae(tmp_path / "classes", 0, image_size=32, patch_size=8, n_channels=5, n_labels=7)
    write_vqvae(tmp_path / "map", 1, image_size=56, patch_size=14, n_channels=9, patch_proj=False, norm_codes=False)
    write_vqvae(tmp_path / "mask", 2, image_size=32, patch_size=8, n_channels=1, out_conv=True)
    write_vqvae(tmp_path / "size", 3, shown=48, image_size=32, patch_size=8, n_channels=2, norm_codes=False)
    schedule = {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100}
    write_divae(tmp_path / "divae", 4, prediction_type="v_prediction", **schedule)
    write_mlp(tmp_path / "mlp", 5)
    assert _passed(tmp_path) == 19


def test_files_of_every_kind_are_found_by_what_they_hold(tmp_path: Path) -> None:
    write_files(tmp_path)
    assert _passed(tmp_path) == 10 + 3 + 6 + 3


def _passed(root: Path) -> int:
    """Checks that passed, where all did."""
    checks = list(run_cases(root))
    assert [str(check) for check in checks if not check.passed] == []
    return len(checks)


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
