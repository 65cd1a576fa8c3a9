"""Every shipped config runs through the real command: less of everything, but nothing left out."""

import json
from pathlib import Path

import pytest
import torch

from experiments.schema.load import CONFIG_FOLDER, build_modalities, find_config, load_config
from modalities.registry import default_registry
from networks.fourm.model import FourM
from networks.streams import streams_of
from tests.experiments.miniature import partial_files, start_process

FEW = {
    "seeds": "[0]",
    "data.train": "4",
    "data.validation": "2",
    "data.shard": "4",
    "tokenizer_optim.steps": "1",
    "tokenizer_optim.warmup_steps": "0",
    "tokenizer_training.batch_size": "1",
    "tokenizer_training.max_rows": "2",
    "tokenizer_training.val_rows": "1",
    "tokenizer_training.precision": "32-true",
    "optim.total_tokens": "1",
    "optim.warmup_tokens": "0",
    "training.batch_size": "1",
    "training.precision": "32-true",
    "training.compile": "false",
    "training.num_workers": "0",
    "training.pictures_every": "0",
    "evaluation.num_samples": "1",
    "evaluation.num_sequences": "1",
    "evaluation.num_chance": "2",
    "evaluation.max_tokens": "4",
    "evaluation.num_pictures": "1",
    "evaluation.num_generated": "1",
    "evaluation.resamples": "10",
    "executor.accelerator": "cpu",
    "executor.devices": "1",
    "executor.strategy": "auto",
    "executor.workers": "0",
}
"""One step of everything on a CPU."""

# Diffusion decoders at 224 pixels take minutes a tokenizer on a CPU, as published: here all tokenizers are narrow and
# denoise in two steps.
NARROW = {
    "tokenizer.diffusion.channels": "32",
    "tokenizer.diffusion.blocks": "1",
    "tokenizer.diffusion.attention": "[]",
    "tokenizer.diffusion.sampling_steps": "2",
    "tokenizer.width": "96",
    "tokenizer.heads": "2",
    "tokenizer.encoder_depth": "2",
    "tokenizer.decoder_depth": "2",
    "tokenizer.mlp_width": "128",
    "tokenizer.mlp_depth": "2",
    "tokenizer.mlp_latent": "128",
}
LONGER = {f"tokenizer_training.steps.{name}": "1" for name in ("dinov2_global", "imagebind_global")}
"""Tokenizers whose steps the quickstart sets one by one."""
# The quickstart asks every route of both arms and makes every sheet; larger models would take a minute each for both.
FEWER = {"evaluation.routes.rgb": "[depth,caption]", "evaluation.num_generated": "0"}
# Of the published model's 24 blocks a step needs four to prove what 24 prove, in a third of the memory.
SHALLOW = {"model.encoder_depth": "2", "model.decoder_depth": "2"}
EXTRA: dict[str, dict[str, str]] = {
    "quickstart": LONGER,
    "superres": {},
    "lab": FEWER,
    "fourm_7": {**NARROW, **FEWER, **SHALLOW},
    "fourm_21": {**NARROW, **FEWER, **SHALLOW},
}

OWN_DATA = {"photos", "tars"}
"""Configs that read data of a person's own: tests/experiments/sources makes some and runs them."""


def test_every_shipped_config_is_run_here_or_on_data_of_its_own() -> None:
    assert {path.stem for path in CONFIG_FOLDER.glob("*.yaml")} == set(EXTRA) | OWN_DATA


@pytest.mark.parametrize("name", ["fourm_7", "fourm_21"])
def test_a_published_model_has_the_published_size(name: str) -> None:
    """198 million parameters in the blocks of 4M-7 B (arXiv:2312.06647) and 4M-21 B; shapes alone are made."""
    config = load_config(find_config(name))
    modalities = build_modalities(config, default_registry())
    with torch.device("meta"):
        streams = streams_of(modalities, 30_000, shared_text=config.model.shared_text)
        model = FourM(streams, config.model, initialized=False)
    blocks = sum(item.numel() for part in (model.encoder, model.decoder) for item in part.parameters())
    assert 197.5e6 < blocks < 198.5e6


@pytest.mark.parametrize("name", EXTRA)
def test_one_step_of_a_shipped_config(name: str, tmp_path: Path) -> None:
    overrides = [f"{key}={value}" for key, value in {**FEW, **EXTRA[name]}.items()]
    # In a process of its own, whose gigabytes are given back.
    process = start_process(["ablate", name, f"root={tmp_path}", *overrides])
    _, said = process.communicate()
    assert process.returncode == 0, said
    told = json.loads((tmp_path / name / "ablation.json").read_text())
    for folder in told["models"].values():
        card = json.loads((tmp_path / name / folder / "card.json").read_text())
        assert card["steps"] == 1
    assert (tmp_path / name / "report.html").stat().st_size > 50_000
    assert partial_files(tmp_path) == []
