"""Training learns, its rate follows the tokens, its gradients are bounded, its averages are right, and it resumes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_modules.callbacks.pictures import PredictionImageCallback
from lightning_modules.fourm import DivergedError, FourMModule
from lightning_modules.optim import FourMOptimConfig, ParamGroup
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
    return FourMModule(streams, small_config(width=width), FourMOptimConfig(**given))


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
    module: FourMModule,
    steps: int,
    folder: Path,
    *others: Callback,
    one: bool = False,
    accumulate: int = 1,
    ckpt_path: Path | None = None,
    **settings: Any,
) -> Watch:
    """Train on one batch again and again, or on batches that differ."""
    watch = Watch()
    count = steps * accumulate
    trainer = Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        accelerator="cpu",
        logger=False,
        log_every_n_steps=1,
        enable_checkpointing=bool(others),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[watch, *others],
        **{"limit_val_batches": 0, **settings},
    )
    batches: Any = [batch(0 if one else number) for number in range(count)]
    loader: DataLoader[TokenBatch] = DataLoader(batches, batch_size=None)
    trainer.fit(module, loader, loader, ckpt_path=ckpt_path)
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
        expected = [torch.lerp(old, new, 1 - 0.7) for old, new in zip(expected, weights, strict=True)]
    found = list(made.model.parameters())
    for own, ours in zip(found, expected, strict=True):
        assert torch.equal(own, ours), "to the last bit"
    assert not all(torch.allclose(a, b) for a, b in zip(found, steps[-1], strict=True))


def test_without_averaging_the_weights_themselves_are_used() -> None:
    assert module().configure_callbacks() == []


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
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
    keep = ModelCheckpoint(tmp_path, "two", every_n_train_steps=2, save_top_k=-1, enable_version_counter=False)
    fit(module(**settings), 3, tmp_path, keep, one=True)
    resumed = module(**settings)
    rest = fit(resumed, 4, tmp_path, one=True, ckpt_path=tmp_path / "two.ckpt")
    assert resumed.tokens_seen == whole.tokens_seen == 4 * TOKENS
    assert rest.rates == pytest.approx(straight.rates[2:])
    assert rest.losses == pytest.approx(straight.losses[2:], rel=1e-5)
    for own, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
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
    return {**checkpoint, "hyper_parameters": dict(made.hparams)}


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
        "The checkpoint is of a 4M model with other settings: "
        "it has the streams ['caption'] that this run lacks, and lacks ['t5']."
    )


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        pytest.param({"width": 32}, "config.width is 32, expected 16", id="width"),
        pytest.param(
            {"streams": (*STREAMS[:-1], replace(STREAMS[-1], channels=10))},
            f"streams[{len(STREAMS) - 1}].channels is 10, expected {STREAMS[-1].channels}",
            id="channels",
        ),
    ],
)
def test_a_checkpoint_of_other_sizes_is_refused(other: dict[str, Any], difference: str) -> None:
    ours = module()
    ours.tokens_seen = 5
    with pytest.raises(CheckpointError, match=f"of a 4M model with other settings: .*{re.escape(difference)}"):
        ours.on_load_checkpoint(saved(module(**other)))
    assert ours.tokens_seen == 5


def test_a_checkpoint_of_something_else_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"^The checkpoint is of something else, expected a 4M model\.$"):
        module().on_load_checkpoint({"state_dict": {}})


def test_validation_uses_the_averaged_weights_and_training_its_own(tmp_path: Path) -> None:
    made, averages = module(ema_decay=0.9), cast(list[list[Tensor]], [])

    class Validation(Callback):
        def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any) -> None:
            averages.append([weight.detach().clone() for weight in made.model.parameters()])

    watch = fit(made, 3, tmp_path, Validation(), limit_val_batches=1, val_check_interval=1)
    expected = watch.weights[0]
    for step, weights in enumerate(watch.weights):
        expected = [torch.lerp(a, b, 1 - 0.9) for a, b in zip(expected, weights, strict=True)] if step else expected
        assert all(torch.equal(a, b) for a, b in zip(averages[step - 3], expected, strict=True)), step
    plain = fit(module(), 3, tmp_path)
    assert watch.losses == plain.losses


def test_pictures_are_drawn_with_the_averaged_weights(tmp_path: Path) -> None:
    made, drawn = module(ema_decay=0.9), cast(list[Tensor], [])
    first = next(iter(made.model.parameters()))
    pictures = PredictionImageCallback(2, lambda given, step: drawn.append(first.detach().clone()))
    watch = fit(made, 3, tmp_path, pictures)
    after = [weights[0] for weights in watch.weights]
    # Callbacks of the Trainer run before the module's own: the average is that of the step before.
    assert torch.equal(drawn[0], after[0])
    assert torch.equal(drawn[1], torch.lerp(after[0], after[1], 1 - 0.9))


def test_a_model_loads_from_its_checkpoint_with_the_path_alone(tmp_path: Path) -> None:
    made = module(ema_decay=0.9, groups=[ParamGroup(pattern="heads", lr=1e-3)])
    keep = ModelCheckpoint(tmp_path, "it", every_n_train_steps=2, enable_version_counter=False)
    watch = fit(made, 2, tmp_path, keep)
    loaded = FourMModule.load_from_checkpoint(tmp_path / "it.ckpt")
    assert (loaded.streams, loaded.config, loaded.optim) == (made.streams, made.config, made.optim)
    assert loaded.tokens_seen == 2 * TOKENS
    for own, first, second in zip(loaded.model.parameters(), *watch.weights, strict=True):
        assert torch.equal(own, torch.lerp(first, second, 1 - 0.9)), "the averaged weights"


def test_a_pattern_that_matches_no_weight_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    module(groups=[ParamGroup(pattern="haeds")]).configure_optimizers()
    assert "optim.groups[0].pattern 'haeds' matches no weight of this model." in caplog.text
