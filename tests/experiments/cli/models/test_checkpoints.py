"""Published checkpoints through the command line: imported, used, measured, trained from, and written back."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from experiments.cli.main import main
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import load_model
from tests.experiments.miniature import SMALL_OVERRIDES, ablate
from tests.experiments.published import SCALE, published_setting, text_tokenizer, write_published


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published model, and a photograph."""
    folder = tmp_path_factory.mktemp("published")
    write_published(folder)
    photograph = data.astronaut()  # type: ignore[no-untyped-call]
    Image.fromarray(photograph).save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def imported(published: Path) -> Path:
    """The model's folder that import makes of it."""
    out = published / "imported"
    arguments = ["--text-tokenizer", str(published / "text.json"), "--tokenizer", f"depth={published / 'depth'}"]
    assert main(["import-checkpoint", str(published / "model"), str(out), *arguments]) == 0
    return out


def test_an_imported_model_predicts_from_a_photograph(published: Path, imported: Path, tmp_path: Path) -> None:
    photo, out = str(published / "photo.png"), tmp_path / "out"
    assert main(["predict", photo, "--model", str(imported), "--to", "depth,caption", "--out", str(out)]) == 0
    told = json.loads((out / "prediction.json").read_text())
    assert set(told) == {"depth", "caption"}
    assert (out / told["depth"]["picture"]).stat().st_size > 100


def test_the_card_says_that_the_weights_are_for_non_commercial_use(imported: Path) -> None:
    card = load_model(imported).card
    assert "non-commercial" in card["license"]
    assert "non-commercial" in (imported / "tokenizers" / "depth" / "card.md").read_text()


def test_an_imported_model_is_measured(imported: Path, tmp_path: Path) -> None:
    few = ["data.train=8", "data.validation=4", "evaluation.num_sequences=2", "evaluation.max_tokens=8"]
    assert main(["evaluate", *few, "--model", str(imported), "--out", str(tmp_path / "out")]) == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]
    routes = {(score["route"], score["target"]) for score in scores}
    assert {("tokenizer", "depth"), ("rgb->depth", "depth"), ("masked", "depth"), ("rgb->caption", "caption")} <= routes


def test_a_model_of_an_ablation_is_measured_again_and_on_scenes_that_nobody_has_seen(
    finished: Path, tmp_path: Path
) -> None:
    """On validation scenes the figures are the ablation's own; on test scenes they are others."""
    model = str(next((finished / "stages").glob("model-fourm_7-0-*")))
    settings = [f"{key}={value}" for key, value in SMALL_OVERRIDES.items() if key.startswith(("data.", "evaluation."))]
    found: dict[str, dict[tuple[str, str, str], float]] = {}
    for split in ("validation", "test"):
        out = tmp_path / split
        assert main(["evaluate", *settings, "--split", split, "--model", model, "--out", str(out)]) == 0
        found[split] = figures(json.loads((out / "scores.json").read_text()), "fourm_7")
    before = figures(json.loads((finished / "mini" / "scores.json").read_text()), "fourm_7")
    whole = {key: value for key, value in before.items() if key[0] == "rgb->depth"}
    assert whole
    assert {key: found["validation"][key] for key in whole} == pytest.approx(whole, rel=1e-4)
    assert all(found["test"][key] != value for key, value in whole.items() if value)


def figures(told: Any, arm: str) -> dict[tuple[str, str, str], float]:
    scores = told["scores"] if isinstance(told, dict) else told
    return {(item["route"], item["target"], item["metric"]): item["value"] for item in scores if item["arm"] == arm}


def test_training_starts_from_an_imported_model(imported: Path, tmp_path: Path) -> None:
    changes = {
        "arms": "{small: [rgb, depth, caption]}",
        "scale.max_vocab": SCALE.max_vocab,
        "scale.max_tokens": SCALE.max_tokens,
        "optim.lr": 1e-12,
        "optim.weight_decay": 0.0,
        "model.init": "published",
        "model.deep_stem": "false",
        "model.position_scale": 1.0,
        "model.max_period": 10000.0,
        "training.start_from": imported,
        "model.shared_text": "false",
    }
    assert ablate(tmp_path, **{key.replace(".", "__"): value for key, value in changes.items()}) == 0
    trained = load_model(find_model(tmp_path / "mini"))
    start = load_model(imported)
    for name in (
        "encoder.0.attention.qkv.weight",
        "decoder.1.cross.out.weight",
        "input_projections.rgb_pixels.linear.weight",
    ):
        torch.testing.assert_close(
            trained.model.get_parameter(name), start.model.get_parameter(name), atol=1e-6, rtol=0
        )
    assert trained.text_tokenizer is not None
    assert start.text_tokenizer is not None
    assert trained.text_tokenizer.to_json() == start.text_tokenizer.to_json()
    depth = [model.model.tokens.vocabulary_rows(name) for model, name in ((trained, "depth"), (start, "depth"))]
    torch.testing.assert_close(*depth, atol=1e-6, rtol=0)


def test_what_is_exported_comes_back_as_it_was(imported: Path, tmp_path: Path) -> None:
    assert main(["export-checkpoint", str(imported), str(tmp_path / "published")]) == 0
    assert main(["import-checkpoint", str(tmp_path / "published"), str(tmp_path / "again")]) == 0
    for name in ("model.safetensors", "config.json", "text_tokenizer.json", "tokenizers/depth/config.json"):
        if name == "config.json":
            first, second = (json.loads((folder / name).read_text()) for folder in (imported, tmp_path / "again"))
            assert first | {"fingerprints": 0} == second | {"fingerprints": 0}
        else:
            assert (tmp_path / "again" / name).read_bytes() == (imported / name).read_bytes()


Change = Callable[[dict[str, torch.Tensor]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("decoder.0.cross_attn.kv.weight"), "lacks the tensor 'decoder.0.cross_attn.kv.weight'"),
        (lambda t: t.update({"encoder.7.norm1.weight": torch.ones(64)}), "has the tensor 'encoder.7.norm1.weight'"),
        (lambda t: t.update({"mask_token": torch.ones(1, 1, 60)}), r"'mask_token' has shape \(1, 1, 60\), expected"),
        (lambda t: t.update({"encoder_norm.bias": torch.ones(64)}), "'encoder_norm.bias' differs by 1 from what"),
    ],
)
def test_a_damaged_checkpoint_is_one_line(
    change: Change, message: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(published / "model" / "model.safetensors")
    change(tensors)
    stated = published_setting(text_tokenizer().vocab_size).config()
    save_file(tensors, tmp_path / "model.safetensors", {"config": json.dumps(stated)})
    assert main(["import-checkpoint", str(tmp_path), str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert re.search(message, told)
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickle = tmp_path / "model.pth"
    pickle.write_bytes(b"\x80\x04N.")
    text = tmp_path / "text.safetensors"
    text.write_text("no")
    for place, message in (
        (pickle, "is a pickle, which could run any code"),
        (text, "cannot be read as safetensors"),
        (tmp_path / "nothing", "There is no file or folder"),
        (tmp_path, "has no model.safetensors"),
    ):
        assert main(["import-checkpoint", str(place), str(tmp_path / "out")]) == 1
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1


def test_what_needs_a_tokenizer_says_how_to_bring_it(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bare"
    assert main(["import-checkpoint", str(published / "model"), str(out)]) == 0
    photo = str(published / "photo.png")
    for target, option in (("depth", "--tokenizer depth=PATH"), ("caption", "--text-tokenizer FILE")):
        capsys.readouterr()
        assert main(["predict", photo, "--model", str(out), "--to", target, "--out", str(tmp_path / "no")]) == 1
        assert option in capsys.readouterr().err
    assert main(["evaluate", "--model", str(out), "--out", str(tmp_path / "no")]) == 1
    assert "Nothing of this model can be measured" in capsys.readouterr().err
