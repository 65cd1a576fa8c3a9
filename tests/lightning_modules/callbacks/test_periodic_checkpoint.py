"""A training that is cut off between any two steps goes on as if it had not been; what cannot be used is refused."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger

from lightning_modules.callbacks.periodic_checkpoint import (
    STAGE_KEY,
    AtomicCheckpointIO,
    PeriodicCheckpoint,
    read_checkpoint,
)
from lightning_modules.data.loading import FourMDataModule
from lightning_modules.data.store import TokenStore, write_tokens
from lightning_modules.fourm import FourMModule
from lightning_modules.optim import FourMOptimConfig
from modalities.errors import CheckpointError
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig
from networks.streams import GridStream
from tests.networks.small import small_config

STREAMS = tuple(
    GridStream(name=name, num_tokens=4, vocabulary=name, vocab_size=50, grid=2) for name in ("depth", "semseg", "edges")
)
STEPS = 13


class CutError(Exception):
    """The end of a process."""


class Notes(Logger):
    """Keeps what is logged, in order."""

    name, version = "notes", "none"

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[int, dict[str, float]]] = []

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Keep them."""
        self.kept.append((step or 0, dict(metrics)))


class Stop(Callback):
    """Ends the process in the middle of a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """End, if it is time."""
        if trainer.global_step == self._step:
            raise CutError


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    """Eleven samples of three grids."""
    drawn = np.random.default_rng(0)
    for name in ("depth", "semseg", "edges"):
        write_tokens(tmp_path / "store", name, [drawn.integers(0, 50, 4).astype(np.uint16) for _ in range(11)], "f")
    return TokenStore([tmp_path / "store"], STREAMS)


def module(**changes: Any) -> FourMModule:
    """A small model, its rate moving, its weights averaged."""
    torch.manual_seed(0)
    optim = FourMOptimConfig(lr=1e-2, warmup_tokens=40, total_tokens=400, clip=1.0, ema_decay=0.8)
    return FourMModule(STREAMS, small_config(**changes), optim)


def fit(
    made: FourMModule,
    store: TokenStore,
    notes: Notes,
    checkpoints: PeriodicCheckpoint,
    *others: Callback,
    found: dict[str, Any] | None = None,
    num_workers: int = 0,
    said: Callable[[str], None] = print,
    **settings: Any,
) -> Trainer:
    """Train, from a checkpoint's content where it is given."""
    given = {"accumulate_grad_batches": 1, "log_every_n_steps": 2, "val_check_interval": 3, **settings}
    trainer = Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        logger=notes,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[checkpoints, *others],
        plugins=AtomicCheckpointIO(said, found),
        **given,
    )
    masker = Masker(STREAMS, MaskingConfig(num_inputs=3, num_targets=2))
    data = FourMDataModule(store, store, masker, batch_size=2, val_batches=2, num_workers=num_workers, seed=3)
    trainer.fit(made, datamodule=data, ckpt_path="read already" if found else None)
    return trainer


def checkpoints(path: Path, notes: Notes, minutes: float = 1e-9) -> PeriodicCheckpoint:
    """One after every step, unless told otherwise."""
    return PeriodicCheckpoint(path, "mine", minutes, lambda: {"kept": notes.kept})


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="plain"),
        # Five batches an epoch: the last step of each is of one batch.
        pytest.param({"accumulate_grad_batches": 2, "val_check_interval": 4}, id="accumulated"),
        pytest.param({"log_every_n_steps": 1, "val_check_interval": 1}, id="always"),
        pytest.param({"log_every_n_steps": 7, "val_check_interval": 5}, id="seldom"),
    ],
)
def test_a_training_that_is_cut_off_ends_as_one_that_is_not(
    settings: dict[str, Any], store: TokenStore, tmp_path: Path
) -> None:
    whole, notes = module(), Notes()
    fit(whole, store, notes, checkpoints(tmp_path / "none", notes, 0), **settings)
    # In the middle of an epoch, at its end and at the beginning of the next, of five steps or of three.
    for stop in (1, 5, 6, 8, 12):
        resumed, again = resume(store, tmp_path, stop, **settings)
        assert resumed.tokens_seen == whole.tokens_seen
        for name, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], value), (stop, name)
        assert again.kept == notes.kept, stop
    assert not (tmp_path / "none").exists()


def resume(store: TokenStore, folder: Path, stop: int, **settings: Any) -> tuple[FourMModule, Notes]:
    """Train until a step, in which the process ends, and go on to the end."""
    notes, place = Notes(), folder / "it.ckpt"
    with pytest.raises(CutError):
        fit(module(), store, notes, checkpoints(place, notes), Stop(stop), **settings)
    resumed, again = module(), Notes()
    found = read_checkpoint(place, "mine", resumed)
    assert found["global_step"] == stop
    again.kept = [(step, values) for step, values in found[STAGE_KEY]["kept"]]
    fit(resumed, store, again, checkpoints(place, again), found=found, **settings)
    return resumed, again


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_loader_processes_go_on_in_the_right_epoch(store: TokenStore, tmp_path: Path) -> None:
    whole, notes = module(), Notes()
    fit(whole, store, notes, checkpoints(tmp_path / "none", notes, 0))
    resumed, again = resume(store, tmp_path, 7, num_workers=1)
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in whole.state_dict().items())
    assert again.kept == notes.kept


def test_a_loss_is_logged_under_its_own_step_and_only_where_there_is_one(store: TokenStore, tmp_path: Path) -> None:
    seen: dict[int, set[str]] = {}

    class Targets(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any) -> None:
            streams = given[1].decoder_stream[given[1].targets >= 0].unique().tolist()
            seen[trainer.global_step - 1] = {f"train/{STREAMS[number].name}/loss" for number in streams}

    notes = Notes()
    fit(module(), store, notes, checkpoints(tmp_path / "none", notes, 0), Targets(), limit_val_batches=0)
    told = {step: {name for name in values if name.count("/") == 2} for step, values in notes.kept}
    assert told == {step: names for step, names in seen.items() if step % 2 == 1}
    assert {len(names) for names in told.values()} > {3}, "some steps should lack a modality"


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, CutError)])
def test_a_signal_waits_for_a_step_and_a_checkpoint(
    number: signal.Signals, raised: type[BaseException], store: TokenStore, tmp_path: Path
) -> None:
    notes, place, finished = Notes(), tmp_path / "it.ckpt", []

    class Signalled(Callback):
        def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
            if trainer.global_step == 4:
                signal.raise_signal(number)

        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any) -> None:
            finished.append(trainer.global_step)

    with handled(signal.SIGTERM, terminate), pytest.raises((raised, SystemExit)) as caught:
        fit(module(), store, notes, checkpoints(place, notes, 1e9), Signalled())
    # Lightning makes an exit of Ctrl-C.
    assert raised in (caught.type, type(caught.value.__context__))
    assert finished[-1] == 5
    assert read_checkpoint(place, "mine", module())["global_step"] == 5


def test_a_signal_waits_for_a_gradient_that_is_being_accumulated(store: TokenStore, tmp_path: Path) -> None:
    notes, place = Notes(), tmp_path / "it.ckpt"

    class Signalled(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any) -> None:
            if trainer.fit_loop.total_batch_idx == 2:
                assert trainer.global_step == 1
                signal.raise_signal(signal.SIGTERM)

    with handled(signal.SIGTERM, terminate), pytest.raises(CutError):
        fit(module(), store, notes, checkpoints(place, notes, 1e9), Signalled(), accumulate_grad_batches=2)
    found = read_checkpoint(place, "mine", module())
    assert found["global_step"] == 2
    assert found["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] == 4


@pytest.mark.parametrize(("second", "is_waiting"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_second_ctrl_c_does_not_wait_and_a_second_sigterm_does(
    second: signal.Signals, is_waiting: bool, store: TokenStore, tmp_path: Path
) -> None:
    notes, place, finished = Notes(), tmp_path / "it.ckpt", []

    class Signalled(Callback):
        def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(second)
            finished.append(trainer.global_step)

    with handled(signal.SIGTERM, terminate), pytest.raises(CutError):
        fit(module(), store, notes, checkpoints(place, notes, 1e9), Signalled())
    assert bool(finished) == is_waiting
    assert place.exists() == is_waiting


@contextmanager
def handled(number: signal.Signals, handler: Callable[..., Any]) -> Iterator[None]:
    """Has a handler for a signal, for a while."""
    before = signal.signal(number, handler)
    yield
    assert signal.getsignal(number) is handler, "training has not put it back"
    signal.signal(number, before)


def terminate(*_: object) -> None:
    """What a command line does on SIGTERM."""
    raise CutError


def test_a_checkpoint_that_cannot_be_written_does_not_stop_a_training(store: TokenStore, tmp_path: Path) -> None:
    notes, said = Notes(), cast(list[str], [])
    place = tmp_path / "gone" / "it.ckpt"
    trainer = fit(module(), store, notes, checkpoints(place, notes), said=said.append)
    assert trainer.global_step == STEPS
    assert len(said) == STEPS - 1
    assert re.match(
        rf"Training continues without a checkpoint: {place} cannot be written: No such file or directory\.", said[0]
    )


@pytest.fixture
def written(store: TokenStore, tmp_path: Path) -> Path:
    """A checkpoint."""
    notes, place = Notes(), tmp_path / "it.ckpt"
    with pytest.raises(CutError):
        fit(module(), store, notes, checkpoints(place, notes), Stop(3))
    return place


@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
def test_a_checkpoint_that_was_cut_short_is_refused(part: float, written: Path) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CheckpointError, match=r"^it is damaged: File is not a zip file$"):
        read_checkpoint(written, "mine", module())


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_one_bit_that_is_another_one_is_found(part: float, written: Path) -> None:
    changed = bytearray(written.read_bytes())
    changed[int(len(changed) * part)] ^= 1
    written.write_bytes(bytes(changed))
    with pytest.raises(CheckpointError, match=r"checksum|damaged"):
        read_checkpoint(written, "mine", module())


def test_a_checkpoint_of_something_else_is_refused(written: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^it is of mine, not of another$"):
        read_checkpoint(written, "another", module())
    with pytest.raises(CheckpointError, match=r"^it was written by other code: model\..* differs$"):
        read_checkpoint(written, "mine", module(width=32))
    torch.save({"weights": torch.ones(3)}, written)
    with pytest.raises(CheckpointError, match=r"^it is no checkpoint of a stage$"):
        read_checkpoint(written, "mine", module())
    torch.save({STAGE_KEY: CutError}, written)
    with pytest.raises(CheckpointError, match=r"^it is damaged: "):
        read_checkpoint(written, "mine", module())
