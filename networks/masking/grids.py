"""Which places of a grid are seen and which are asked for: disjoint random sets, for many grids at once."""

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from networks.masking.picks import Selection, flag_index, random_nested_subsets


def choose_positions(
    num_visible: Int[ndarray, " r"], num_targets: Int[ndarray, " r"], num_positions: int, rng: np.random.Generator
) -> tuple[Bool[ndarray, "r n"], Bool[ndarray, "r n"]]:
    """Of a random order of each grid's places, the first ``num_seen``, and the ``num_asked`` behind them.

    Nothing is drawn for a grid that is seen or asked for whole.
    """
    some = np.flatnonzero((num_visible < num_positions) & (num_targets < num_positions))
    visible = np.broadcast_to((num_visible >= num_positions)[:, None], (len(num_visible), num_positions))
    targets = np.broadcast_to((num_targets >= num_positions)[:, None], visible.shape)
    if len(some):
        num = np.stack([num_visible[some], num_visible[some] + num_targets[some]], axis=1)
        first, both = random_nested_subsets(num, num_positions, rng)
        visible, targets = visible.copy(), targets.copy()
        visible[some], targets[some] = first, both > first
    return visible, targets


def grid_selection(row: Int[ndarray, " r"], chosen: Bool[ndarray, "r n"], *, is_target: bool) -> Selection:
    """The chosen places of grids, in order of position.

    Args:
        asked: True for the decoder, whose slots hold a mask token; what they are given is not read.
    """
    found = flag_index(chosen)
    token_index = found.flat - found.row * chosen.shape[1]
    return Selection(
        row=row[found.row],
        rank=found.rank,
        position=token_index,
        token_index=token_index,
        decoder_input_index=token_index if is_target else None,
    )
