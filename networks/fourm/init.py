"""Initial weights of the 4M model: functions that draw from torch's global generator, in a fixed order."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from networks.fourm.config import Init
from networks.layers.blocks import CrossAttention

TABLE_STD = {Init.published: 0.02, Init.local: 0.3}
"""Standard deviation of embeddings."""

LOCAL_HEAD_STD = 0.05
"""Standard deviation of a head's table of its own with `Init.local`: heads read a normed vector, and the first loss is
then that of equal odds."""


@torch.no_grad()
def init_linears(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for all linear layers of ``module``, in the order of its modules."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@torch.no_grad()
def init_tables(tables: Iterable[Tensor], head: Tensor, init: Init) -> None:
    """Normal token tables; the last row of each stays zero.

    Args:
        head: The one of ``tables`` that the heads use.
    """
    for table in tables:
        nn.init.normal_(table, std=LOCAL_HEAD_STD if init is Init.local and table is head else TABLE_STD[init])
        table[-1].zero_()


@torch.no_grad()
def init_vectors(vectors: Iterable[Tensor], init: Init) -> None:
    """Normal embeddings."""
    for vector in vectors:
        nn.init.normal_(vector, std=TABLE_STD[init])


@torch.no_grad()
def init_positions(tables: Iterable[Tensor], init: Init) -> None:
    """Normal tables of learned positions; row 0, which stands for fixed positions, stays zero."""
    for table in tables:
        nn.init.normal_(table, std=TABLE_STD[init])
        table[0].zero_()


@torch.no_grad()
def init_local_attention(blocks: Iterable[CrossAttention], context_projection: nn.Linear) -> None:
    """Cross-attention whose queries and keys are nearly equal maps and whose values pass through.

    Equal positions then have the largest products from the first step on. From Xavier weights, a model of width 64
    needs longer to find that than a demo lasts.
    """
    width = context_projection.in_features
    eye = torch.eye(width)

    def set_near_identity(weight: Tensor, gain: float) -> None:
        weight.copy_(gain * eye + 0.02 * torch.randn(width, width))

    for cross in blocks:
        set_near_identity(cross.query.weight, 1.6)
        set_near_identity(cross.key_value.weight[:width], 1.6)
        set_near_identity(cross.key_value.weight[width:], 0.8)
        set_near_identity(cross.out.weight, 0.8)
    set_near_identity(context_projection.weight, 1.0)
