"""Training learns, its rate follows the tokens, its gradients are bounded, its averages are right, and it resumes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_modules.fourm import DivergedError, FourMModule
from lightning_modules.optim import OptimConfig
from modalities.errors import CheckpointError
from networks.batch import PackedInputs, TokenBatch
from networks.streams import Stream
from tests.networks.small import STREAMS, small_batch, small_config

TOKENS = small_batch().num_tokens


def batch(seed: int) -> TokenBatch:
    """A small batch in single precision."""
    made = small_batch(seed)
    return replace(
        made, rows={name: PackedInputs(values=r.values.float(), slots=r.slots) for name, r in made.rows.items()}
    )


def module(streams: tuple[Stream, ...] = STREAMS, width: int = 16, **optim: Any) -> FourMModule:
    """A small module with a constant rate, unless told otherwise."""
    torch.manual_seed(0)
    given = {"lr": 1e-2, "min_lr": 1e-2, "warmup_tokens": 0, "total_tokens": 1e6, "weight_decay": 0.0, **optim}
    return FourMModule(streams, small_config(width=width), OptimConfig(**given))


class Watch(Callback):
    """Notes what each optimizer step did."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.norms: list[float] = []
        self.losses: list[float] = []
        self.weights: list[list[Tensor]] = []
        self.first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what was done before."""
        self.first = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss and the weights."""
        assert isinstance(pl_module, FourMModule)
        if trainer.global_step > len(self.rates) + self.first:
            # Gradients stay until the next step begins.
            found = [p.grad.flatten() for p in pl_module.model.parameters() if p.grad is not None]
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
            self.norms.append(float(torch.cat(found).norm()))
        self.losses.append(float(outputs["loss"]))
        self.weights.append([p.detach().clone() for p in pl_module.model.parameters()])


def fit(
    module: FourMModule, steps: int, folder: Path, *, one: bool = False, accumulate: int = 1, **given: Any
) -> Watch:
    """Train on one batch again and again, or on batches that differ."""
    watch = Watch()
    count = steps * accumulate
    trainer = Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        accelerator="cpu",
        limit_val_batches=0,
        logger=False,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[watch],
    )
    batches: Any = [batch(0 if one else number) for number in range(count)]
    loader: DataLoader[TokenBatch] = DataLoader(batches, batch_size=None)
    trainer.fit(module, loader, loader, **given)
    return watch


def test_it_learns_one_batch_by_heart(tmp_path: Path) -> None:
    watch = fit(module(), 150, tmp_path, one=True)
    assert watch.losses[0] > 1.5
    assert watch.losses[-1] < 0.02


def test_on_one_cpu_gradients_of_tables_stay_where_they_are_and_are_those_of_autograd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping, plain = module(clip=1e6), module(clip=1e6)
    watch = fit(keeping, 5, tmp_path, accumulate=2)
    assert keeping.model.heads.retains_grad
    monkeypatch.setattr(FourMModule, "on_fit_start", lambda self: None)
    expected = fit(plain, 5, tmp_path, accumulate=2)
    assert not plain.model.heads.retains_grad
    assert watch.norms == pytest.approx(expected.norms, rel=1e-4)
    assert watch.losses == pytest.approx(expected.losses, rel=1e-4)
    table = keeping.model.heads.table.grad
    assert table is not None
    assert float(table.abs().sum()) > 0


def test_the_rate_follows_the_tokens_seen(tmp_path: Path) -> None:
    made = module(lr=1.0e-3, min_lr=0.0, warmup_tokens=2 * TOKENS, total_tokens=4 * TOKENS)
    watch = fit(made, 4, tmp_path)
    assert made.tokens_seen == 4 * TOKENS
    assert watch.rates == pytest.approx([0.5e-3, 1e-3, 0.5e-3, 0.0])
    before, after = watch.weights[-2:]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), "a rate of 0 moves nothing"


def test_tokens_of_accumulated_batches_all_count(tmp_path: Path) -> None:
    made = module(lr=1.0e-3, min_lr=0.0, warmup_tokens=4 * TOKENS, total_tokens=4 * TOKENS)
    watch = fit(made, 2, tmp_path, accumulate=2)
    assert made.tokens_seen == 4 * TOKENS
    assert watch.rates == pytest.approx([0.5e-3, 1e-3])


def test_clipping_bounds_the_gradient_and_keeps_its_direction(tmp_path: Path) -> None:
    free = fit(module(), 3, tmp_path)
    assert free.norms[0] > 0.1
    bound = fit(module(clip=0.05), 3, tmp_path)
    assert bound.norms == pytest.approx([0.05] * 3, rel=1e-3)
    loose = fit(module(clip=1e6), 3, tmp_path)
    assert loose.norms == pytest.approx(free.norms, rel=1e-5)


@pytest.mark.parametrize("clip", [0.0, 1e6])
def test_the_rate_is_logged_with_and_without_clipping(clip: float, tmp_path: Path) -> None:
    made = module(clip=clip)
    watch = fit(made, 2, tmp_path)
    logged = made.trainer.callback_metrics
    assert float(logged["train/lr"]) == pytest.approx(watch.rates[-1])
    assert float(logged["train/tokens"]) == 2 * TOKENS
    assert float(logged["train/loss"]) == pytest.approx(watch.losses[-1])
    assert ("train/grad_norm" in logged) is bool(clip)
    if clip:
        assert float(logged["train/grad_norm"]) == pytest.approx(watch.norms[-1], rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_averaged_weights_move_once_for_each_step(accumulate: int, tmp_path: Path) -> None:
    made = module(ema_decay=0.7)
    watch = fit(made, 4, tmp_path, accumulate=accumulate)
    assert watch.weights[0][0].shape == next(iter(made.model.parameters())).shape
    steps = watch.weights[accumulate - 1 :: accumulate]
    assert len(steps) == 4
    expected = steps[0]
    for weights in steps[1:]:
        expected = [0.7 * old + 0.3 * new for old, new in zip(expected, weights, strict=True)]
    found = list(made.inference_model.parameters())
    assert made.inference_model is not made.model
    for own, ours in zip(found, expected, strict=True):
        torch.testing.assert_close(own, ours)
    assert not all(torch.allclose(a, b) for a, b in zip(found, steps[-1], strict=True))
    assert int(made.ema_model.n_averaged) == 4  # type: ignore[union-attr]


def test_without_averaging_the_weights_themselves_are_used() -> None:
    made = module()
    assert made.ema_model is None
    assert made.inference_model is made.model


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "lr": 1e-2,
        "min_lr": 0.0,
        "warmup_tokens": 3 * TOKENS,
        "total_tokens": 6 * TOKENS,
        "ema_decay": 0.5,
    }
    whole = module(**settings)
    straight = fit(whole, 4, tmp_path, one=True)
    first = module(**settings)
    fit(first, 2, tmp_path, one=True)
    first.trainer.save_checkpoint(tmp_path / "two.ckpt")
    resumed = module(**settings)
    rest = fit(resumed, 4, tmp_path, one=True, ckpt_path=tmp_path / "two.ckpt", weights_only=False)
    assert resumed.tokens_seen == whole.tokens_seen == 4 * TOKENS
    assert rest.rates == pytest.approx(straight.rates[2:])
    assert rest.losses == pytest.approx(straight.losses[2:], rel=1e-5)
    for own, other in zip(resumed.inference_model.parameters(), whole.inference_model.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    made = module()
    with torch.no_grad():
        next(iter(made.model.parameters())).fill_(float("nan"))
    with pytest.raises(DivergedError, match=re.escape("The loss is nan at step 0. Lower optim.lr, or set optim.clip.")):
        fit(made, 1, tmp_path)


def saved(made: FourMModule) -> dict[str, Any]:
    """What it puts in its checkpoint."""
    checkpoint: dict[str, Any] = {}
    made.on_save_checkpoint(checkpoint)
    return checkpoint


def test_a_checkpoint_of_its_own_is_taken() -> None:
    made, other = module(), module()
    made.tokens_seen = 77
    other.on_load_checkpoint(saved(made))
    assert other.tokens_seen == 77


def test_a_checkpoint_of_other_streams_is_refused() -> None:
    theirs = module(streams=STREAMS[:-2])
    ours = module(streams=(*STREAMS[:-3], STREAMS[-1]))
    with pytest.raises(CheckpointError) as caught:
        ours.on_load_checkpoint(saved(theirs))
    assert str(caught.value) == (
        "The checkpoint is of other modalities: it has ['caption'] that this run lacks, and lacks ['t5']."
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"width": 32}, id="width"),
        pytest.param({"streams": (*STREAMS[:-1], replace(STREAMS[-1], channels=10))}, id="channels"),
    ],
)
def test_a_checkpoint_of_other_sizes_is_refused(other: dict[str, Any]) -> None:
    ours = module()
    ours.tokens_seen = 5
    with pytest.raises(CheckpointError, match="of another model size or vocabulary than this run's config"):
        ours.on_load_checkpoint(saved(module(**other)))
    assert ours.tokens_seen == 5


def test_a_checkpoint_of_something_else_is_refused() -> None:
    with pytest.raises(CheckpointError, match="This checkpoint is not of a 4M model"):
        module().on_load_checkpoint({"state_dict": {}})


def test_validation_is_by_the_averaged_weights(tmp_path: Path) -> None:
    made = module(ema_decay=0.9)
    fit(made, 3, tmp_path)
    loader: DataLoader[TokenBatch] = DataLoader(cast(Any, [batch(9)]), batch_size=None)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, barebones=False, default_root_dir=tmp_path
    )
    found = trainer.validate(made, loader, verbose=False)[0]
    made.eval()
    with torch.no_grad():
        output = made.inference_model(batch(9))
        plain = made.model(batch(9))
    assert found["val/loss"] == pytest.approx(float(output.loss), rel=1e-5)
    assert float(plain.loss) != pytest.approx(float(output.loss), rel=1e-4)
    assert {name for name in found if name != "val/loss"} == {f"val/{name}/loss" for name in output.losses}
