"""How the 4M model's weights start."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from networks.fourm.config import Init
from networks.layers.blocks import DecoderBlock

if TYPE_CHECKING:
    from networks.fourm.model import FourM


@torch.no_grad()
def initialize(model: "FourM") -> None:
    """Set every weight as the config says, from torch's global generator."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    local = model.config.init is Init.local
    std = 0.3 if local else 0.02
    for table in dict.fromkeys((model.tokens, model.heads, model.decoder_token_embedding)):
        # Heads read a normed vector: at 0.05 the first loss is that of equal odds.
        nn.init.normal_(table.table, std=0.05 if local and table is model.heads else std)
        table.table[-1].zero_()
    nn.init.normal_(model.position_embedding.stream, std=std)
    nn.init.normal_(model.mask_token, std=std)
    if model.decoder_position_embedding.stream is not model.position_embedding.stream:
        nn.init.normal_(model.decoder_position_embedding.stream, std=std)
    for item in dict.fromkeys((model.position_embedding, model.decoder_position_embedding)):
        if item.learned is not None:
            nn.init.normal_(item.learned, std=std)
            item.learned[0].zero_()
    if model.registers is not None:
        nn.init.normal_(model.registers, std=std)
    if local:
        _initialize_local_attention(model)


def _initialize_local_attention(model: "FourM") -> None:
    """Cross-attention whose queries and keys are nearly equal maps, and whose values pass through.

    Equal places then have the largest products from the first step on. From Xavier weights a model of width 64 takes
    longer to find that than a demo lasts.
    """
    width = model.config.shape[0]
    eye = torch.eye(width)

    def near(weight: Tensor, gain: float) -> None:
        weight.copy_(gain * eye + 0.02 * torch.randn(width, width))

    for block in model.decoder:
        cross = cast(DecoderBlock, block).cross
        near(cross.query.weight, 1.6)
        near(cross.key_value.weight[:width], 1.6)
        near(cross.key_value.weight[width:], 0.8)
        near(cross.out.weight, 0.8)
    near(model.context_projection.weight, 1.0)
