"""InfoNCE between two modalities, over the samples of all processes.

Source: van den Oord et al. 2018 (arXiv:1807.03748), in the symmetric form of CLIP (arXiv:2103.00020) and ImageBind.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def info_nce(
    one: Float[Tensor, "b d"], other: Float[Tensor, "b d"], scale: Float[Tensor, ""], present: Bool[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Mean of the cross-entropies from one to other and back; row i of the one belongs to row i of the other.

    With several processes, the rows of all are contrasted with each other, and the mean over processes of the gradients
    is the gradient of the loss of the joint batch.

    Args:
        one: Unit vectors.
        scale: Factor on their cosines: one over the temperature.
        present: True for samples that have both; others are neither rows nor columns. All False gives 0.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if _is_distributed() else (0, 1)
    all_one, all_other, all_present = (gather_rows(item) for item in (one, other, present))
    labels = torch.arange(len(one), device=one.device) + rank * len(one)
    columns = torch.where(all_present, 0.0, -torch.inf)
    total = one.sum() * 0.0 + other.sum() * 0.0 + scale * 0.0
    count = int(all_present.sum())
    if not count:
        return total
    for rows, targets in ((one, all_other), (other, all_one)):
        losses = F.cross_entropy(scale * rows[present] @ targets.T + columns, labels[present], reduction="sum")
        total = total + losses / 2
    return total * world / count


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; gradients flow back to each."""
    if not _is_distributed():
        return rows
    if not rows.is_floating_point():
        return _all_gather(rows)
    gathered: Tensor = _GatherRows.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _GatherRows(torch.autograd.Function):
    """All-gather whose backward pass adds up the gradients of all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        return _all_gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        summed = gradient.contiguous()
        dist.all_reduce(summed)
        first = dist.get_rank() * ctx.count
        return summed[first : first + ctx.count]


def _all_gather(rows: Tensor) -> Tensor:
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
