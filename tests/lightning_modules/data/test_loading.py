"""Which samples a batch has: every one once, no rank's twice, the same again, and the same after an interruption."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lightning_modules.data.loading import BatchSampler, FourMDataModule, RowDataModule
from lightning_modules.data.store import TokenStore, write_tokens
from modalities.errors import ConfigError
from networks.batch import TokenBatch
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig
from networks.streams import GridStream, SequenceStream

STREAMS = (
    GridStream(name="depth", num_tokens=4, vocabulary="depth", vocab_size=500, grid=2),
    SequenceStream(name="caption", num_tokens=6, vocabulary="text", vocab_size=500),
)


def drawn(sampler: BatchSampler) -> list[list[int]]:
    """The indices of each batch."""
    return [draw.indices.tolist() for draw in sampler]


def seeds(sampler: BatchSampler) -> list[int]:
    """The seed of each batch."""
    return [draw.seed for draw in sampler]


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    sampler = BatchSampler(12, 3, seed=0)
    first = drawn(sampler)
    assert len(first) == len(sampler) == 4
    assert sorted(chain(*first)) == list(range(12))
    assert list(chain(*first)) != list(range(12))
    sampler.set_epoch(1)
    assert drawn(sampler) != first


def test_an_incomplete_last_batch_is_left_out() -> None:
    batches = drawn(BatchSampler(11, 3, seed=0))
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert len(set(chain(*batches))) == 9


def test_the_same_seed_and_epoch_repeat_and_others_do_not() -> None:
    def sampler(seed: int, epoch: int) -> BatchSampler:
        made = BatchSampler(40, 4, seed=seed)
        made.set_epoch(epoch)
        return made

    assert drawn(sampler(1, 2)) == drawn(sampler(1, 2))
    assert seeds(sampler(1, 2)) == seeds(sampler(1, 2))
    assert drawn(sampler(1, 2)) != drawn(sampler(2, 2))
    assert not set(seeds(sampler(1, 2))) & set(seeds(sampler(1, 3)))
    assert not set(seeds(sampler(1, 2))) & set(seeds(sampler(2, 2)))


def test_ranks_share_an_epoch_without_overlap() -> None:
    index_within_row = [BatchSampler(25, 4, seed=3, rank=rank, world_size=3) for rank in range(3)]
    assert [len(rank) for rank in index_within_row] == [2, 2, 2]
    taken = [index for rank in index_within_row for batch in drawn(rank) for index in batch]
    assert len(taken) == len(set(taken)) == 24
    masks = [seed for rank in index_within_row for seed in seeds(rank)]
    assert len(set(masks)) == 6


def test_two_ranks_draw_what_one_draws_in_twice_the_steps() -> None:
    one = list(BatchSampler(24, 3, seed=3))
    two = [list(BatchSampler(24, 3, seed=3, rank=rank, world_size=2)) for rank in range(2)]
    merged = [draw for pair in zip(*two, strict=True) for draw in pair]
    assert [draw.indices.tolist() for draw in merged] == [draw.indices.tolist() for draw in one]
    assert [draw.seed for draw in merged] == [draw.seed for draw in one]


def test_a_start_skips_what_was_done_once() -> None:
    sampler = BatchSampler(24, 3, seed=0)
    whole, masks = drawn(sampler), seeds(sampler)
    sampler.start = 5
    assert drawn(sampler) == whole[5:]
    assert drawn(sampler) == whole
    sampler.start = 5
    assert seeds(sampler) == masks[5:]


@pytest.mark.parametrize(("world", "said"), [(1, "batch size 8 on 1 process."), (2, "batch size 8 on 2 processes.")])
def test_too_few_samples_for_one_step(world: int, said: str) -> None:
    BatchSampler(8 * world, 8, seed=0, world_size=world)
    with pytest.raises(ConfigError) as caught:
        BatchSampler(8 * world - 1, 8, seed=0, world_size=world)
    assert str(caught.value) == (
        f"{8 * world - 1} training samples are fewer than one step takes: {said} "
        "Lower training.batch_size, or raise data.train."
    )


def test_rows_come_shuffled_and_in_smaller_batches_where_they_are_few() -> None:
    rows = torch.arange(10.0)[:, None]
    shuffled = torch.cat(list(RowDataModule(rows, 5).train_dataloader()))
    assert not torch.equal(shuffled, rows)
    assert torch.equal(shuffled.sort(dim=0).values, rows)
    assert [len(part) for part in RowDataModule(rows, 16).train_dataloader()] == [10]
    assert [len(part) for part in RowDataModule(rows, 16, world_size=2).train_dataloader()] == [5, 5]


class Watcher(LightningModule):
    """Keeps the batches that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[TokenBatch] = []

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        """Note the batch."""
        self.seen.append(batch)
        return self.weight * 1.0

    def validation_step(self, batch: TokenBatch, batch_idx: int) -> None:
        """Nothing."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, steps: int, *, keep: int = 0) -> Trainer:
    """One that says nothing, and keeps a checkpoint every so many steps."""
    kept = (
        [ModelCheckpoint(folder / "kept", filename="{step}", every_n_train_steps=keep, save_top_k=-1)] if keep else []
    )
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        limit_val_batches=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=bool(keep),
        callbacks=[*kept],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    """Ten samples whose ids say which sample they are of."""
    write_tokens(tmp_path, "depth", [np.full(4, 10 * i, np.uint16) for i in range(10)], "f")
    write_tokens(tmp_path, "caption", [np.full(1 + i % 5, 10 * i + 1, np.uint16) for i in range(10)], "f")
    return TokenStore([tmp_path], STREAMS)


def module(store: TokenStore, **changes: Any) -> FourMDataModule:
    """Batches of two."""
    masker = Masker(STREAMS, MaskingConfig(num_inputs=6, num_targets=6))
    return FourMDataModule(store, store, masker, batch_size=2, seed=5, **changes)


def same(one: TokenBatch, other: TokenBatch) -> bool:
    """True where samples, masks and targets agree."""
    names = ("ids", "stream", "position", "visible", "decoder_ids", "decoder_stream", "decoder_position", "targets")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.parametrize("stop", [3, 5, 7])
def test_training_goes_on_with_the_batches_that_were_left(stop: int, store: TokenStore, tmp_path: Path) -> None:
    whole = Watcher()
    trainer(tmp_path, 9).fit(whole, datamodule=module(store))
    trainer(tmp_path, 9, keep=stop).fit(Watcher(), datamodule=module(store))
    place = tmp_path / "kept" / f"step={stop}.ckpt"
    rest = Watcher()
    trainer(tmp_path, 9).fit(rest, datamodule=module(store), ckpt_path=place, weights_only=False)
    assert len(whole.seen) == 9
    assert len(rest.seen) == 9 - stop
    assert all(same(one, other) for one, other in zip(whole.seen[stop:], rest.seen, strict=True))
    assert not same(whole.seen[0], rest.seen[0])


def test_validation_is_the_same_every_time(store: TokenStore) -> None:
    first, again = (list(module(store, val_batches=3).val_dataloader()) for _ in range(2))
    assert len(first) == 3
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    # Two samples of two tens each, in order, whatever is masked.
    for number, batch in enumerate(first):
        assert set((batch.targets[batch.targets > 9] // 10).tolist()) <= {2 * number, 2 * number + 1}


def test_a_batch_larger_than_the_validation_split_takes_it_whole(store: TokenStore) -> None:
    data = module(store)
    data.batch_size = 64
    batches = list(data.val_dataloader())
    assert [len(batch.ids) for batch in batches] == [10]
