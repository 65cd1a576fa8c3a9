"""What crosses from data to masking, and from masking to the model."""

import pickle

import pytest
import torch

from networks.batch import PaddedTokens
from tests.networks.small import small_batch


def test_a_batch_moves_with_all_its_rows() -> None:
    batch = small_batch()
    moved = batch.to("meta")
    assert {moved.ids.device.type, moved.targets.device.type, moved.visible.device.type} == {"meta"}
    assert {tensor.device.type for rows in moved.rows.values() for tensor in (rows.values, rows.slots)} == {"meta"}
    assert batch.ids.device.type == "cpu"


def test_a_batch_counts_the_slots_of_both_sides() -> None:
    batch = small_batch(padding=2)
    assert batch.num_tokens == batch.visible.numel() + batch.decoder_visible.numel()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_parts_of_a_batch_hold_its_samples_and_their_rows(size: int) -> None:
    batch = small_batch()
    (b, n), first = batch.ids.shape, 0
    places = {name: rows.values.new_zeros(b * n, rows.values.shape[1]) for name, rows in batch.rows.items()}
    whole = {name: places[name].index_copy(0, rows.slots, rows.values) for name, rows in batch.rows.items()}
    for part in batch.split(size):
        last = min(first + size, b)
        assert torch.equal(part.ids, batch.ids[first:last])
        assert torch.equal(part.targets, batch.targets[first:last])
        for name, rows in part.rows.items():
            own = rows.values.new_zeros(len(part.ids) * n, rows.values.shape[1]).index_copy(0, rows.slots, rows.values)
            assert torch.equal(own, whole[name][first * n : last * n])
        first = last
    assert first == b


def test_a_batch_survives_the_way_from_a_worker_process() -> None:
    batch = small_batch()
    again = pickle.loads(pickle.dumps(batch))
    assert torch.equal(again.targets, batch.targets)
    assert torch.equal(again.rows["t5"].slots, batch.rows["t5"].slots)


def test_a_column_moves_with_its_lengths() -> None:
    column = PaddedTokens(values=torch.zeros(2, 3, dtype=torch.int64), lengths=torch.tensor([3, 0])).to("meta")
    assert column.values.device.type == column.lengths.device.type == "meta"
