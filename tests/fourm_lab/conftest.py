"""A finished ablation of three modalities, small enough to be trained in seconds."""

import os
from pathlib import Path

import pytest
import torch

import fourm_lab as fl

CONFIG = """
name: quickstart
seeds: [0]
scale: {size: 64, patch: 16, max_channels: 8, max_vocab: 32, max_tokens: 40}
arms: {small: [rgb, depth, caption]}
data: {train: 64, validation: 4, shard: 64}
tokenizer: {encoder: patch_mlp, width: 32, heads: 2, decoder_depth: 1, latent: 8}
tokenizer_optim: {steps: 2, warmup_steps: 1}
tokenizer_training: {batch_size: 4}
model: {size: nano}
masking: {num_inputs: 96, num_targets: 96}
optim: {total_tokens: 24576, warmup_tokens: 12288}
training: {batch_size: 64, val_every: 1, val_batches: 1, log_every: 1, pictures_every: 0}
evaluation: {num_samples: 4, num_sequences: 2, num_chance: 16, max_tokens: 8, num_pictures: 1, num_generated: 0,
             resamples: 20, routes: {rgb: []}, probes: {}, chains: []}
executor: {workers: 0, threads: 1, accelerator: cpu}
"""


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the ablation is finished in ``runs/quickstart``; its config, ``quickstart``, comes first."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "quickstart").write_text(CONFIG)
    before = Path.cwd()
    torch.set_num_threads(1)
    os.chdir(folder)
    try:
        fl.ablate("quickstart")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def inside(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, as the working folder."""
    monkeypatch.chdir(workplace)
    return workplace
