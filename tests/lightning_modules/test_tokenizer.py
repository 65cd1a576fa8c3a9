"""Training a tokenizer with a Trainer: in one process, in two, and again from a checkpoint."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.optim import TokenizerOptimConfig
from lightning_modules.tokenizer import TokenizerModule
from modalities.errors import CheckpointError, ConfigError
from modalities.layouts import Dense, Vector
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.config import TokenizerConfig

ROOT = Path(__file__).parents[2]
TASK = TokenizerTask(
    name="depth",
    layout=Dense(channels=1, size=16, patch=4),
    tokenizer=ViTVQ(name="depth", vocab_size=32, loss=ReconstructionLoss.mse),
)
OPTIM = TokenizerOptimConfig.nano(steps=30)


def loader(batch: int = 8) -> DataLoader[Any]:
    values = torch.randn(32, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(values.repeat_interleave(4, 2).repeat_interleave(4, 3)), batch_size=batch)


def trainer(**settings: Any) -> Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "limit_val_batches": 4,
        "max_steps": 30,
    }
    return Trainer(**{**quiet, **settings})


def module(task: TokenizerTask = TASK, optim: TokenizerOptimConfig = OPTIM) -> TokenizerModule:
    torch.manual_seed(0)
    return TokenizerModule(task, TokenizerConfig.nano(), optim)


def test_training_lowers_the_loss_on_held_out_data_and_tells_code_usage() -> None:
    model, run = module(), trainer()
    before = run.validate(model, loader(), verbose=False)[0]
    run.fit(model, loader(), loader())
    after = run.callback_metrics
    assert float(after["val/reconstruction_loss"]) < 0.7 * before["val/reconstruction_loss"]
    assert {"train/loss", "train/reconstruction_loss", "train/commitment", "train/perplexity"} <= set(after)
    assert model.usage is not None
    assert float(after["val/perplexity"]) == pytest.approx(model.usage.perplexity, rel=1e-5)


def test_the_trained_tokenizer_has_the_average_of_the_weights_after_each_step_and_the_last_codebook() -> None:
    """Held against the averaging by hand that trained the published figures, to the last bit."""
    model, steps = module(optim=replace(OPTIM, ema_decay=0.5)), cast(list[dict[str, Tensor]], [])
    average: dict[str, Tensor] = {}

    class ByHand(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any) -> None:
            now = {name: weight.detach().clone() for name, weight in model.tokenizer.named_parameters()}
            for name, weight in now.items():
                average[name] = torch.lerp(average[name], weight, 0.5) if steps else weight
            steps.append({name: value.clone() for name, value in model.tokenizer.state_dict().items()})

    trainer(max_steps=5, callbacks=[ByHand()]).fit(model, loader(), loader())
    assert len(steps) == 5
    ended = model.tokenizer.state_dict()
    for name in ended:
        assert torch.equal(ended[name], average.get(name, steps[-1][name])), name
    book = next(name for name in ended if name.endswith("_codebook.embed"))
    assert book not in average
    assert not torch.equal(ended["to_latents.weight"], steps[-1]["to_latents.weight"])


def test_without_averaging_the_trained_weights_are_the_last_ones() -> None:
    assert module(optim=replace(OPTIM, ema_decay=0.0)).configure_callbacks() == []


def test_product_codes_have_a_rate_of_their_own_by_the_kind_of_their_tokenizer() -> None:
    task = TokenizerTask(
        name="poses",
        layout=Vector(channels=9, num_tokens=8),
        tokenizer=ProductMLP(name="poses", vocab_size=16, loss=ReconstructionLoss.smooth_l1),
    )
    rates = {group["initial_lr"] for group in module(task).configure_optimizers().param_groups}
    assert rates == {1e-3}
    assert {group["initial_lr"] for group in module().configure_optimizers().param_groups} == {8e-3}


def test_a_tokenizer_loads_from_its_checkpoint_with_the_path_alone(tmp_path: Path) -> None:
    model, run = module(), trainer(max_steps=3)
    run.fit(model, loader(), loader())
    run.save_checkpoint(tmp_path / "it.ckpt")
    loaded = TokenizerModule.load_from_checkpoint(tmp_path / "it.ckpt")
    assert (loaded.task, loaded.config, loaded.optim) == (model.task, model.config, model.optim)
    for name, value in model.tokenizer.state_dict().items():
        assert torch.equal(loaded.tokenizer.state_dict()[name], value), name


def test_product_codes_train_too() -> None:
    task = TokenizerTask(
        name="poses",
        layout=Vector(channels=9, num_tokens=8),
        tokenizer=ProductMLP(name="poses", vocab_size=16, loss=ReconstructionLoss.smooth_l1),
    )
    run = trainer(max_steps=3)
    vectors = DataLoader(TensorDataset(torch.randn(8, 9)), batch_size=4)
    run.fit(module(task), vectors, vectors)
    assert float(run.callback_metrics["train/commitment"]) == 0


def test_a_codebook_that_is_hardly_used_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    model = module(replace(TASK, tokenizer=ViTVQ(name="depth", vocab_size=500, loss=ReconstructionLoss.mse)))
    constant = DataLoader(TensorDataset(torch.zeros(8, 1, 16, 16)), batch_size=8)
    with caplog.at_level(logging.WARNING, logger="lightning_modules.tokenizer"):
        trainer().validate(model, constant, verbose=False)
    assert "Tokenizer 'depth' uses 0.2 % of its 500 codes" in caplog.text


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    optim = TokenizerOptimConfig(steps=100, warmup_steps=10)
    shares = [optim.lr_factor(step) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == 1
    assert shares[55] == pytest.approx(0.5)
    assert shares[100] == pytest.approx(0)


@pytest.mark.parametrize("changes", [{"lr": 0.0}, {"steps": 3, "warmup_steps": 4}, {"ema_decay": 1.0}])
def test_a_setting_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="tokenizer_optim"):
        TokenizerOptimConfig(**changes)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = module()
    trainer(max_steps=8).fit(whole, loader(32), loader())
    first = module()
    checkpoint = ModelCheckpoint(tmp_path, "half", every_n_train_steps=4, enable_version_counter=False)
    trainer(max_steps=5, callbacks=[checkpoint], enable_checkpointing=True).fit(first, loader(32), loader())
    torch.manual_seed(5)
    second = module()
    trainer(max_steps=8).fit(second, loader(32), loader(), ckpt_path=tmp_path / "half.ckpt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, msg=name)


def test_a_checkpoint_of_another_tokenizer_is_refused_with_the_difference(tmp_path: Path) -> None:
    run = trainer(max_steps=1)
    run.fit(module(), loader(), loader())
    run.save_checkpoint(tmp_path / "it.ckpt")
    other = module(replace(TASK, tokenizer=ViTVQ(name="depth", vocab_size=16, loss=ReconstructionLoss.mse)))
    with pytest.raises(CheckpointError, match=r"task.tokenizer.vocab_size is 32, expected 16"):
        trainer(max_steps=2).fit(other, loader(), loader(), ckpt_path=tmp_path / "it.ckpt")


def test_two_processes_end_with_one_codebook(tmp_path: Path) -> None:
    """Codebooks built before the process group drift apart silently if they are not told of it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    script = Path(__file__).with_name("two_processes.py")
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["counts"] == second["counts"]
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
