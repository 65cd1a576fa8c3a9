"""Which places of a grid are seen and which are asked for: disjoint random sets, for many grids at once."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from networks.picks import Picks, marks, random_splits, take


def choose_places(
    num_seen: Int[Tensor, " r"], num_asked: Int[Tensor, " r"], num_places: int, generator: torch.Generator
) -> tuple[Bool[Tensor, "r n"], Bool[Tensor, "r n"]]:
    """Of a random order of each grid's places, the first ``num_seen``, and the ``num_asked`` behind them."""
    seen = (num_seen >= num_places)[:, None].repeat(1, num_places)
    asked = (num_asked >= num_places)[:, None].repeat(1, num_places)
    (some,) = ((num_seen + num_asked > 0) & ~seen[:, 0] & ~asked[:, 0]).nonzero(as_tuple=True)
    if some.numel():
        num = torch.stack([num_seen[some], num_seen[some] + num_asked[some]], dim=1)
        places = torch.full_like(some, num_places)
        seen[some], both = random_splits(num, places, num_places, generator)
        asked[some] = both & ~seen[some]
    return seen, asked


def grid_picks(
    ids: Int[Tensor, "all n"],
    source: Int[Tensor, " r"],
    row: Int[Tensor, " r"],
    chosen: Bool[Tensor, "r n"],
    *,
    asked: bool,
) -> Picks:
    """The chosen places of grids, in order of position.

    Args:
        source: Where each grid lies in ``ids``.
        asked: True for the decoder, whose slots hold a mask token and are given no id.
    """
    found = marks(chosen)
    values = take(ids, source.index_select(0, found.row) * ids.shape[1] + found.column)
    return Picks(
        row=row.index_select(0, found.row),
        rank=found.rank,
        position=found.column,
        ids=values,
        given=torch.zeros_like(values) if asked else None,
    )
