"""Fixed position embeddings: sines and cosines over one or two axes."""

import torch
from jaxtyping import Float
from torch import Tensor


def sincos_1d(num: int, width: int, max_period: float = 10_000.0, *, stride: float = 1.0) -> Float[Tensor, "num width"]:
    """Sine and cosine embeddings of the positions 0 .. num - 1.

    Args:
        width: Even; the first half holds sines, the second cosines.
        max_period: Longest wavelength over 2 pi; smaller values spend more channels on short distances.
        stride: Positions of the finest grid that one position covers. Positions are the centers in units of that grid.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, with sines and cosines in halves.
    """
    frequency = max_period ** (-torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    middle = (torch.arange(num, dtype=torch.float64) + 0.5) * stride - 0.5
    angle = middle[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def sincos_2d(
    grid: int, width: int, max_period: float = 10_000.0, *, stride: float = 1.0
) -> Float[Tensor, "places width"]:
    """Embeddings of a square grid in row-major order: the first half of the width codes the row, the second the column.

    Source: the fixed positions of MoCo v3 and MAE (arXiv:2111.06377), in the order of the published 4M models.
    """
    axis = sincos_1d(grid, width // 2, max_period, stride=stride)
    rows = axis[:, None, :].expand(grid, grid, -1)
    columns = axis[None, :, :].expand(grid, grid, -1)
    return torch.cat([rows, columns], dim=-1).reshape(grid * grid, -1)
