"""Tiles lie inside their blocks, and blocks do not overlap."""

import re
from itertools import pairwise

import pytest

from fourm_earth.tiles import TILE, block_name, block_tiles


@pytest.mark.parametrize("per_side", [1, 2, 5])
def test_tiles_fill_their_block_and_do_not_leave_it(per_side: int) -> None:
    tiles = list(block_tiles(40, -10, per_side))
    tops, lefts = sorted({tile.top for tile in tiles}), sorted({tile.left for tile in tiles})
    assert len(tiles) == per_side**2 == len(tops) * len(lefts)
    # 50 north is 40 degrees from the pole, 10 west 170 degrees from 180 west, at 15 pixels a degree.
    assert tops[0] >= 600
    assert tops[-1] + TILE <= 750
    assert lefts[0] >= 2550
    assert lefts[-1] + TILE <= 2700
    if per_side > 1:
        assert (tops[0], tops[-1] + TILE, lefts[0], lefts[-1] + TILE) == (600, 750, 2550, 2700)
        assert max(b - a for a, b in pairwise(tops)) - min(b - a for a, b in pairwise(tops)) <= 1


def test_tiles_of_different_blocks_share_no_pixel() -> None:
    (one,), (other,) = block_tiles(0, 0, 1), block_tiles(0, 10, 1)
    assert abs(one.left - other.left) >= TILE


def test_keys_name_the_block_that_splits_go_by() -> None:
    keys = [tile.key for tile in block_tiles(-60, -180, 2)]
    assert keys == ["s60w180_r0c0", "s60w180_r0c1", "s60w180_r1c0", "s60w180_r1c1"]
    assert {re.search(r"^(.+)_r\d+c\d+$", key)[1] for key in keys} == {block_name(-60, -180)}  # type: ignore[index]


def test_a_block_without_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tile a side, got 0"):
        list(block_tiles(0, 0, 0))
