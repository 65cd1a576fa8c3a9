"""Which places of a grid are seen and which are asked for: disjoint random sets, for many grids at once."""

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from networks.picks import Picks, marks, random_splits


def choose_places(
    num_seen: Int[ndarray, " r"], num_asked: Int[ndarray, " r"], num_places: int, rng: np.random.Generator
) -> tuple[Bool[ndarray, "r n"], Bool[ndarray, "r n"]]:
    """Of a random order of each grid's places, the first ``num_seen``, and the ``num_asked`` behind them.

    Nothing is drawn for a grid that is seen or asked for whole.
    """
    some = np.flatnonzero((num_seen < num_places) & (num_asked < num_places))
    seen = np.broadcast_to((num_seen >= num_places)[:, None], (len(num_seen), num_places))
    asked = np.broadcast_to((num_asked >= num_places)[:, None], seen.shape)
    if len(some):
        num = np.stack([num_seen[some], num_seen[some] + num_asked[some]], axis=1)
        first, both = random_splits(num, num_places, rng)
        seen, asked = seen.copy(), asked.copy()
        seen[some], asked[some] = first, both > first
    return seen, asked


def grid_picks(row: Int[ndarray, " r"], chosen: Bool[ndarray, "r n"], *, asked: bool) -> Picks:
    """The chosen places of grids, in order of position.

    Args:
        asked: True for the decoder, whose slots hold a mask token; what they are given is not read.
    """
    found = marks(chosen)
    column = found.flat - found.row * chosen.shape[1]
    return Picks(row=row[found.row], rank=found.rank, position=column, column=column, given=column if asked else None)
