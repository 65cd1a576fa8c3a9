"""The binding model: a tower for the image, one for each modality that is paired with it, and their temperatures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from networks.batch import TokenBatch
from networks.binding.config import BindingConfig
from networks.binding.loss import info_nce
from networks.binding.tower import FrozenTower, Tower
from networks.fourm.model import FourM
from networks.streams import Stream

MAX_SCALE = 100.0
"""Largest factor on cosines, as in CLIP: a learned temperature does not fall below 0.01."""


@dataclass(frozen=True, kw_only=True)
class BindingOutput:
    """Loss of a batch and its parts."""

    loss: Float[Tensor, ""]
    losses: dict[str, Tensor]
    """InfoNCE of the image with each modality, in nats."""


class BindingModel(nn.Module):
    """Towers whose embeddings of one sample agree; only pairs with the image are trained.

    Source: Girdhar et al. 2023 (arXiv:2305.05665), section 3.2.
    """

    scales: Tensor

    def __init__(self, streams: Sequence[Stream], config: BindingConfig, frozen: FourM | None = None) -> None:
        """Build the towers.

        Args:
            streams: The image's stream first, then one for each modality that is paired with it.
            frozen: A trained model whose encoder is the image's tower.
        """
        super().__init__()
        self.streams, self.config = tuple(streams), config
        first = self.streams[0]
        towers: dict[str, nn.Module] = {item.modality: Tower(item, config) for item in self.streams[1:]}
        self.image = first.modality
        image = Tower(first, config) if frozen is None else FrozenTower(first, frozen, config)
        self.towers = nn.ModuleDict({self.image: image, **towers})
        self.bound = tuple(towers)
        scales = torch.full((len(self.bound),), math.log(1 / config.temperature))
        if config.learn_temperature:
            self.scales = nn.Parameter(scales)
        else:
            self.register_buffer("scales", scales)

    def embed(self, name: str, batch: TokenBatch) -> Float[Tensor, "b d"]:
        """The unit vectors of the modality ``name``."""
        vectors: Tensor = self.towers[name](batch)
        return vectors

    def forward(self, batches: Mapping[str, TokenBatch]) -> BindingOutput:
        """InfoNCE of the image with every other modality, over the samples that have both; their mean.

        Args:
            batches: By modality, of the same samples.
        """
        image, has_image = self.embed(self.image, batches[self.image]), batches[self.image].visible.any(dim=1)
        scales = self.scales.exp().clamp(max=MAX_SCALE)
        losses = {
            name: info_nce(
                image, self.embed(name, batches[name]), scales[number], has_image & batches[name].visible.any(dim=1)
            )
            for number, name in enumerate(self.bound)
        }
        return BindingOutput(loss=torch.stack(list(losses.values())).mean(), losses=losses)
