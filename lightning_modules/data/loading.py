"""Batches for training: which samples, in which order, masked how; resumable in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lightning_modules.data.prefetch import TimedDataLoader
from lightning_modules.data.store import TokenStore
from modalities.errors import ConfigError
from networks.batch import Samples, TokenBatch
from networks.streams import Stream


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """One batch to be made: which samples, and the seed of what is random about it."""

    indices: Tensor
    seed: int


class BatchSampler(Sampler[BatchSpec]):
    """Shuffled batches, disjoint between ranks, the same for the same seed and epoch."""

    def __init__(self, num_samples: int, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Take the sizes.

        Raises:
            ConfigError: There are fewer samples than one batch on every rank takes.
        """
        if num_samples < batch_size * world_size:
            raise ConfigError(
                f"{num_samples} training samples are fewer than one step takes: "
                f"batch size {batch_size} on {world_size} {'process' if world_size == 1 else 'processes'}. "
                "Lower training.batch_size, or raise data.train."
            )
        self.num_samples, self.batch_size = num_samples, batch_size
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.epoch = 0
        self.start = 0
        """Batches of the epoch to skip, once: they were done before an interruption."""

    def __len__(self) -> int:
        return self.num_samples // (self.batch_size * self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order; Lightning calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[BatchSpec]:
        generator = torch.Generator().manual_seed(_mix_seed(self.seed, self.epoch))
        order = torch.randperm(self.num_samples, generator=generator)
        start, self.start = self.start, 0
        for batch_index in range(start, len(self)):
            # Counted over all ranks: two ranks draw what one that accumulates two batches draws.
            global_index = batch_index * self.world_size + self.rank
            first = global_index * self.batch_size
            yield BatchSpec(
                indices=order[first : first + self.batch_size], seed=_mix_seed(self.seed, self.epoch, global_index, 0)
            )


@runtime_checkable
class BatchMaker(Protocol):
    """Makes a batch of whole samples, as `Masker` does."""

    @property
    def streams(self) -> Sequence[Stream]:
        """Streams that are read."""

    def __call__(self, samples: Samples, generator: torch.Generator, /) -> Any:
        """The batch."""


class MaskedTokenDataset(Dataset[Any]):
    """Masked batches from batch specifications: the store is read once and masked once for each batch."""

    def __init__(self, store: TokenStore, masker: BatchMaker) -> None:
        self.store, self.masker = store, masker

    def __getitem__(self, spec: Any) -> Any:
        names = [stream.name for stream in self.masker.streams]
        samples = self.store.read(spec.indices.numpy(), names)
        return self.masker(samples, torch.Generator().manual_seed(spec.seed))


class _ResumableDataModule(LightningDataModule):
    """Shuffled batches that go on, after an interruption, where they were."""

    def __init__(self, num_samples: int, batch_size: int, *, seed: int) -> None:
        super().__init__()
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self._start_batch = self._start_epoch = 0

    def state_dict(self) -> dict[str, Any]:
        """Number of finished batches, and their epoch."""
        if self.trainer is None:
            return {"done": 0, "epoch": 0}
        # `completed` is counted only after checkpoints are written.
        done = cast(Any, self.trainer.fit_loop.epoch_loop.batch_progress.total).processed
        batches_per_epoch = max(1, self.num_samples // (self.batch_size * self.trainer.world_size))
        return {"done": done % batches_per_epoch, "epoch": done // batches_per_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` stood."""
        self._start_batch, self._start_epoch = int(state_dict["done"]), int(state_dict["epoch"])

    def _sampler(self) -> BatchSampler:
        """The batches of this rank that are left."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = BatchSampler(self.num_samples, self.batch_size, seed=self.seed, rank=rank, world_size=world)
        sampler.start, self._start_batch = self._start_batch, 0
        # Loader processes ask for batches before Lightning tells the epoch.
        sampler.set_epoch(self._start_epoch)
        return sampler


class FourMDataModule(_ResumableDataModule):
    """Masked batches of a token store. Validation draws the same samples and the same masks every time."""

    def __init__(
        self,
        train: TokenStore,
        validation: TokenStore,
        masker: BatchMaker,
        *,
        batch_size: int,
        val_batches: int = 8,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(len(train), batch_size, seed=seed)
        self.train, self.validation, self.masker = train, validation, masker
        self.val_batches, self.num_workers = val_batches, num_workers

    def train_dataloader(self) -> DataLoader[TokenBatch]:
        """Shuffled, masked batches of this rank."""
        return self._loader(self.train, self._sampler())

    def val_dataloader(self) -> DataLoader[TokenBatch]:
        """The first samples in order, with fixed masks."""
        size = min(self.batch_size, len(self.validation))
        specs = [
            BatchSpec(
                indices=torch.arange(batch_index * size, (batch_index + 1) * size), seed=_mix_seed(7, batch_index)
            )
            for batch_index in range(min(self.val_batches, len(self.validation) // size))
        ]
        return self._loader(self.validation, specs)

    def _loader(self, store: TokenStore, sampler: Sampler[BatchSpec] | Sequence[BatchSpec]) -> DataLoader[TokenBatch]:
        return TimedDataLoader(
            MaskedTokenDataset(store, self.masker),
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )


@runtime_checkable
class Rows(Protocol):
    """Rows by number: a tensor, or `StreamedRows`."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor, /) -> Tensor: ...


class RowDataset(Dataset[Tensor]):
    """Rows, a batch at a time."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __getitem__(self, spec: Any) -> Tensor:
        return self.rows[spec.indices]


class RowDataModule(_ResumableDataModule):
    """Shuffled rows, for the training of a tokenizer."""

    def __init__(
        self, rows: Rows, batch_size: int, *, world_size: int = 1, num_workers: int = 0, seed: int = 0
    ) -> None:
        """Take the rows; batches are smaller where each of ``world_size`` ranks has fewer than ``batch_size``."""
        super().__init__(len(rows), max(1, min(batch_size, len(rows) // world_size)), seed=seed)
        self.rows, self.num_workers = rows, num_workers

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches of this rank."""
        return TimedDataLoader(
            RowDataset(self.rows),
            batch_size=None,
            sampler=self._sampler(),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )


def _mix_seed(*parts: int) -> int:
    """One seed out of several, so that neighbours are unrelated."""
    value = 0x9E3779B97F4A7C15
    for part in parts:
        value = (value ^ (part + 0x7F4A7C15)) * 0xBF58476D1CE4E5B9 % (1 << 64)
        value ^= value >> 31
    return value >> 1
