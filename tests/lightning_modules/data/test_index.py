"""Samples are found among the rows that are kept, against a plain list of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.data.index import SampleIndex


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=5), data=st.data())
def test_samples_are_the_kept_rows_in_order(counts: list[int], data: st.DataObject) -> None:
    rows = [(shard, row) for shard, count in enumerate(counts) for row in range(count)]
    omitted = data.draw(st.lists(st.integers(0, max(0, len(rows) - 1)), unique=True)) if rows else []
    index = SampleIndex(counts, omitted)
    expected = [place for number, place in enumerate(rows) if number not in omitted]
    assert len(index) == len(expected)
    shards, found = index.locate(np.arange(len(expected)))
    assert list(zip(shards.tolist(), found.tolist(), strict=True)) == expected
    for shard, count in enumerate(counts):
        kept = np.arange(count)[index.kept_rows(shard)].tolist()
        assert kept == [row for other, row in expected if other == shard]


@pytest.mark.parametrize("sample", [-1, 3])
def test_there_is_no_sample_beyond_the_kept_ones(sample: int) -> None:
    with pytest.raises(IndexError, match="of 3"):
        SampleIndex([2, 2], [1]).locate(np.array([0, sample]))
