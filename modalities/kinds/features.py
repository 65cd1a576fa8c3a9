"""Base classes of feature modalities: maps of vectors, and single vectors.

A map's value is (side, side, channels) on the token grid, a vector's (channels,), float32. No vector, or one of length
zero, is missing: metrics leave it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.decoding import DecodingDefaults
from modalities.kinds.arrays import channels_last
from modalities.kinds.dense import ArrayModality, elementwise_mean, stack_arrays
from modalities.layouts import Dense, Vector
from modalities.metrics.features import feature_vector_metrics
from modalities.rendering.colors import render_feature_map, render_vector
from modalities.spec import Crop, Provenance
from modalities.storage.files import crop_and_resize
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, ViTVQ
from modalities.values import FLOAT16_MAX, ValueSpec


@dataclass(frozen=True, kw_only=True)
class FeatureMap(ArrayModality):
    """A network's vector for each patch."""

    provenance: Provenance = Provenance.proxy

    @property
    def file_shape(self) -> tuple[int | None, ...]:
        """Any resolution, all channels."""
        return (None, None, self.dense_layout.channels)

    @property
    def value_spec(self) -> ValueSpec:
        """Finite floats that fit 16 bits."""
        channels = self.dense_layout.channels
        return replace(super().value_spec, shape=f"(h, w, {channels})", low=-FLOAT16_MAX, high=FLOAT16_MAX)

    def coerce(self, value: Any) -> Float32[np.ndarray, "h w c"]:
        """Floats as `check` takes them; channels may come first."""
        channels = self.dense_layout.channels
        return self.check(channels_last(self.name, value, channels, str(self.value_spec)), self.name)

    def transform(self, value: Float32[np.ndarray, "a b c"], crop: Crop) -> Float32[np.ndarray, "h w c"]:
        """The part inside the crop, bilinear. A network would give a mirrored image other features; ours stay."""
        return crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=False).astype(np.float32)

    def render(self, value: Float32[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """Three fixed random projections as a colour, one square for each patch."""
        return render_feature_map(value, self.dense_layout.pixels_per_value)

    def metrics(self) -> MetricCollection:
        """Mean cosine, nearest-neighbour accuracy."""
        return feature_vector_metrics()

    def constant_baseline(self, values: Sequence[NDArray[Any]]) -> Float32[np.ndarray, "h w c"]:
        """The mean vector of each patch."""
        return elementwise_mean(values).astype(np.float32)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "feature vectors as they are, one for each patch"

    def preprocess(self, value: Float32[np.ndarray, "h w c"]) -> Float32[np.ndarray, "1 c h w"]:
        """The vectors as they are, channels first."""
        return np.ascontiguousarray(np.moveaxis(value, -1, 0)[None])

    def postprocess(self, row: Float32[np.ndarray, "c h w"]) -> Float32[np.ndarray, "h w c"]:
        """Channels last."""
        return np.ascontiguousarray(np.moveaxis(row, 0, -1))


@dataclass(frozen=True, kw_only=True)
class FeatureVector(ArrayModality):
    """A network's one vector for the whole image."""

    provenance: Provenance = Provenance.proxy

    @property
    def channels(self) -> int:
        """Length of the vector."""
        assert isinstance(self.layout, Vector)
        return self.layout.channels

    @property
    def file_shape(self) -> tuple[int | None, ...]:
        """All channels."""
        return (self.channels,)

    @property
    def value_spec(self) -> ValueSpec:
        """Finite floats that fit 16 bits."""
        return replace(super().value_spec, low=-FLOAT16_MAX, high=FLOAT16_MAX)

    @property
    def is_flip_invariant(self) -> bool:
        """True: the vector is kept."""
        return True

    def transform(self, value: Float32[np.ndarray, " c"], crop: Crop) -> Float32[np.ndarray, " c"]:
        """The same vector: it is the whole image's."""
        return value

    def render(self, value: Float32[np.ndarray, " c"]) -> UInt8[np.ndarray, "h w 3"]:
        """Bars for some of the channels."""
        return render_vector(value)

    def metrics(self) -> MetricCollection:
        """Mean cosine, nearest-neighbour accuracy."""
        return feature_vector_metrics()

    def constant_baseline(self, values: Sequence[NDArray[Any]]) -> Float32[np.ndarray, " c"]:
        """The mean vector."""
        return elementwise_mean(values).astype(np.float32)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "the feature vector as it is"

    def preprocess(self, value: Float32[np.ndarray, " c"]) -> Float32[np.ndarray, "1 c"]:
        """The vector as it is."""
        return value[None]

    def postprocess(self, row: Float32[np.ndarray, " c"]) -> Float32[np.ndarray, " c"]:
        """The vector as it is."""
        return row

    def collate(self, values: Sequence[NDArray[Any]]) -> Shaped[Tensor, "b c"]:
        """The vectors stacked."""
        return stack_arrays(values)


def feature_map_modality(
    name: str, title: str, labeller: str, *, channels: int, patch: int, decoding: DecodingDefaults | None = None
) -> FeatureMap:
    """A feature map with the published sizes: 8,192 codes, smooth L1."""
    return FeatureMap(
        name=name,
        title=title,
        labeller=labeller,
        layout=Dense(channels=channels, size=224, patch=patch, pixels_per_value=patch),
        tokenizer=ViTVQ(name=name, vocab_size=8192, loss=ReconstructionLoss.smooth_l1),
        decoding=decoding,
    )


def feature_vector_modality(
    name: str, title: str, labeller: str, *, channels: int, decoding: DecodingDefaults | None = None
) -> FeatureVector:
    """A global feature with the published sizes: 16 codes out of 8,192 each, cosine."""
    return FeatureVector(
        name=name,
        title=title,
        labeller=labeller,
        layout=Vector(channels=channels, num_tokens=16),
        tokenizer=ProductMLP(name=name, vocab_size=8192, loss=ReconstructionLoss.cosine),
        decoding=decoding,
    )
