"""Towers: from the tokens, patches or vectors of one modality to a unit vector."""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from networks.batch import Samples, TokenBatch
from networks.binding.config import BindingConfig
from networks.fourm.embedding import InputProjection, PositionEmbedding, add_projected_inputs
from networks.fourm.init import init_linears
from networks.fourm.model import FourM
from networks.generation.predict import encoder_features
from networks.kernels.packing import key_mask, to_rows, to_slots
from networks.layers.blocks import Block, layer_norm
from networks.masking.masker import select
from networks.streams import EmbeddingStream, PixelStream, Stream, TokenStream

MAX_PERIOD = 10_000.0
"""Longest wavelength of the fixed position embeddings, over 2 pi."""


class Tower(nn.Module):
    """A transformer over one stream; everything about it follows from the stream."""

    def __init__(self, stream: Stream, config: BindingConfig) -> None:
        super().__init__()
        self.streams = (stream,)
        width = config.width
        self.tokens = nn.Embedding(stream.vocab_size, width) if isinstance(stream, TokenStream) else None
        self.input_projections = nn.ModuleDict()
        if isinstance(stream, PixelStream | EmbeddingStream):
            self.input_projections[stream.name] = InputProjection(stream.channels, width, with_mlp=True, bias=True)
        self.position_embedding = PositionEmbedding(
            self.streams, width, scale=1.0, max_period=MAX_PERIOD, learned=False
        )
        self.blocks = nn.ModuleList([Block(config.block) for _ in range(config.num_blocks)])
        self.norm = layer_norm(config.block)
        self.projection = nn.Linear(width, config.dim, bias=False)
        init_linears(self)

    def forward(self, batch: TokenBatch) -> Float[Tensor, "b d"]:
        """The unit vector of each sample; that of one without tokens means nothing."""
        x = self.position_embedding(batch.stream, batch.position)
        if self.tokens is not None:
            x = x + self.tokens(batch.ids)
        x = add_projected_inputs(x, batch, self.input_projections)
        x = torch.where(batch.visible[..., None], x, 0.0)
        mask = key_mask(batch.visible, pack=True)
        x = to_rows(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        return _unit_mean(self.norm(to_slots(x, mask)), batch, self.projection)


class FrozenTower(nn.Module):
    """The encoder of a trained 4M model, which stays as it is, behind one stream, and a trained projection."""

    def __init__(self, stream: Stream, model: FourM, config: BindingConfig) -> None:
        super().__init__()
        self.streams, self.stream_number = model.streams, model.index[stream.name]
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.projection = nn.Linear(model.config.shape[0], config.dim, bias=False)
        init_linears(self.projection)

    def train(self, mode: bool = True) -> "FrozenTower":  # noqa: FBT001, FBT002 - torch's signature
        """Change the mode of the projection; the encoder stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, batch: TokenBatch) -> Float[Tensor, "b d"]:
        """The unit vector of each sample; that of one without tokens means nothing."""
        return _unit_mean(encoder_features(self.model, batch), batch, self.projection)


def tower_batch(tower: nn.Module, name: str, samples: Samples) -> TokenBatch:
    """All tokens of the stream ``name`` as a tower takes them."""
    streams = cast(Tower | FrozenTower, tower).streams
    return select({name: samples[name]}, streams, inputs=[name], targets=[])


def _unit_mean(outputs: Float[Tensor, "b n d"], batch: TokenBatch, projection: nn.Module) -> Float[Tensor, "b e"]:
    visible = batch.visible[..., None]
    pooled = torch.where(visible, outputs, 0.0).sum(dim=1) / visible.sum(dim=1).clamp(min=1)
    return F.normalize(projection(pooled), dim=1)
