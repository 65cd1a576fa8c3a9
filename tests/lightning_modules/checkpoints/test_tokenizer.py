"""A tokenizer's folder: what goes in comes out, and what is broken is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_modules.checkpoints.tokenizer import (
    QualityMetric,
    TokenizerCard,
    load_tokenizer,
    save_tokenizer,
    tokenizer_fingerprint,
)
from modalities.errors import CheckpointError, DataError
from modalities.layouts import Dense, Vector
from modalities.storage.atomic import atomic_folder
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import DecoderKind, DiffusionConfig, TokenizerConfig
from networks.tokenizers.tokenizer import CodebookUsage

CONFIG_FILE = replace(
    TokenizerConfig.nano(),
    width=32,
    mlp_width=16,
    mlp_latent=32,
    decoder=DecoderKind.diffusion,
    diffusion=DiffusionConfig(channels=8, multipliers=(1,), blocks=1, attention=(), sampling_steps=2),
)
DEPTH = TokenizerTask(
    name="depth",
    layout=Dense(channels=1, size=16, patch=4),
    tokenizer=ViTVQ(name="depth", vocab_size=32, loss=ReconstructionLoss.smooth_l1, has_diffusion_decoder=True),
    members=("depth",),
)
POSES = TokenizerTask(
    name="poses",
    layout=Vector(channels=9, num_tokens=8),
    tokenizer=ProductMLP(name="poses", vocab_size=16, loss=ReconstructionLoss.smooth_l1),
    members=("human_poses",),
)
CARD_FILE = TokenizerCard(
    normalization="metres, standardised",
    quality={"depth/rmse": QualityMetric(value=0.25, unit="m", higher_is_better=False)},
    usage=CodebookUsage(used=0.05, perplexity=1.5),
    data_fingerprint="scenes-1",
    provenance="exact",
    steps=7,
)


def written(folder: Path, task: TokenizerTask = DEPTH) -> str:
    torch.manual_seed(0)
    return save_tokenizer(folder, build_tokenizer(task, CONFIG_FILE), task, CONFIG_FILE, CARD_FILE)


@pytest.mark.parametrize("task", [DEPTH, POSES])
def test_a_folder_gives_back_what_was_put_in(tmp_path: Path, task: TokenizerTask) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(task, CONFIG_FILE)
    fingerprint = save_tokenizer(tmp_path / "it", tokenizer, task, CONFIG_FILE, CARD_FILE)
    back = load_tokenizer(tmp_path / "it", expected=task)
    assert (back.task, back.config, back.card, back.fingerprint) == (task, CONFIG_FILE, CARD_FILE, fingerprint)
    x = torch.randn(2, 1, 16, 16) if task is DEPTH else torch.randn(2, 9)
    ids = tokenizer.eval().encode(x)
    assert torch.equal(back.tokenizer.encode(x), ids)
    assert torch.equal(back.tokenizer.decode(ids), tokenizer.decode(ids))
    assert not back.tokenizer.training


def test_the_card_can_be_read_by_a_person_and_a_program(tmp_path: Path) -> None:
    written(tmp_path / "it")
    facts = json.loads((tmp_path / "it" / "card.json").read_text())
    assert (facts["vocab"], facts["num_tokens"], facts["low_usage"]) == (32, 16, True)
    text = (tmp_path / "it" / "card.md").read_text()
    for part in ("`depth`", "1 x 16 x 16", "metres, standardised", "| depth/rmse | 0.25 | m | lower |", "under 10 %"):
        assert part in text


def test_equal_weights_have_equal_fingerprints_and_others_do_not(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    torch.manual_seed(1)
    third = save_tokenizer(tmp_path / "c", build_tokenizer(DEPTH, CONFIG_FILE), DEPTH, CONFIG_FILE, CARD_FILE)
    assert first == second == tokenizer_fingerprint(tmp_path / "b") != third


def test_an_atomic_folder_replaces_all_and_leaves_nothing_else(tmp_path: Path) -> None:
    written(tmp_path / "it")
    (tmp_path / "it" / "stale").write_text("")
    with atomic_folder(tmp_path / "it") as partial:
        written(partial)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert not (tmp_path / "it" / "stale").exists()


def test_a_failed_write_leaves_the_old_folder_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(tmp_path / "it")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lightning_modules.checkpoints.tokenizer.write_safetensors", full)
    expected = pytest.raises(DataError, match=r"it cannot be written: No space left on device")
    with expected, atomic_folder(tmp_path / "it") as partial:
        written(partial)
    assert tokenizer_fingerprint(tmp_path / "it") == before
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "card.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    written(tmp_path / "it")
    (tmp_path / "it" / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_tokenizer(tmp_path / "it")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "card.json"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    written(tmp_path / "it")
    path = tmp_path / "it" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
        load_tokenizer(tmp_path / "it")


def test_a_tokenizer_of_another_task_is_refused_with_the_difference(tmp_path: Path) -> None:
    written(tmp_path / "it")
    other = replace(DEPTH, layout=Dense(channels=1, size=32, patch=4))
    with pytest.raises(CheckpointError, match=r"layout.size is 16, expected 32"):
        load_tokenizer(tmp_path / "it", expected=other)


def test_who_shares_a_tokenizer_does_not_matter(tmp_path: Path) -> None:
    written(tmp_path / "it")
    load_tokenizer(tmp_path / "it", expected=replace(DEPTH, members=("depth", "disparity")))


def test_weights_that_do_not_fit_their_config_are_refused_with_the_difference(tmp_path: Path) -> None:
    written(tmp_path / "it")
    path = tmp_path / "it" / "config.json"
    stored = json.loads(path.read_text())
    stored["task"]["tokenizer"]["vocab_size"] = 64
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"does not fit its config: codebook.*expected \[1, 64, 16\]"):
        load_tokenizer(tmp_path / "it")


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    written(tmp_path / "it")
    path = tmp_path / "it" / "config.json"
    stored = json.loads(path.read_text())
    stored["config"]["wdith"] = 3
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"TokenizerConfig: unknown \['wdith'\]"):
        load_tokenizer(tmp_path / "it")
