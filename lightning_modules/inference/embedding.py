"""Embeddings of samples by a trained model: pooled or per-token encoder outputs, or a global feature that it predicts.

Retrieval by predicted features follows Bachmann et al. 2024 (arXiv:2406.09406), section 4.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lightning_modules.checkpoints.model import WEIGHTS_FILE, file_fingerprint
from lightning_modules.data.store import pad_tokens
from lightning_modules.inference.pipeline import Pipeline
from lightning_modules.inference.request import resolve_alias
from modalities.errors import ConfigError, UnknownNameError
from modalities.layouts import Vector
from modalities.spec import Modality
from networks.batch import Samples, TokenBatch
from networks.device import module_device
from networks.fourm.model import FourM
from networks.generation.predict import encoder_features, predict_grid
from networks.masking.masker import select
from networks.streams import PixelStream, input_stream_name
from networks.tokenizers.codec import Codec

ENCODER_SPACE = "encoder"
"""Space of the encoder's outputs; any other space is named after the global feature that the model predicts."""

SampleValues = Mapping[str, Any]
"""Values of one sample by modality, at the model's scale; None, or no entry, where the sample lacks the modality."""


@dataclass(frozen=True, kw_only=True)
class SampleEmbedding:
    """The embedding of one sample."""

    vector: Float[np.ndarray, " d"]
    """The mean over the visible tokens, or the predicted feature."""
    tokens: Float[np.ndarray, "n d"] | None = None
    """One vector for each visible token, in the order of the model's streams; None of predicted features."""


@runtime_checkable
class Embedder(Protocol):
    """Embeds samples of some modalities into one space."""

    @property
    def space(self) -> str:
        """Name of the space; embeddings of one model and one space can be compared, whatever they were made from."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Digest of the model's weights."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities that are embedded together."""

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The model's modalities, at its scale."""

    def embed(self, samples: Sequence[SampleValues], *, first: int = 0) -> list[SampleEmbedding | None]:
        """The embedding of each sample; None for one that has none of `inputs`.

        Args:
            first: Number of the first sample, which with its modality's name seeds free orders in texts.
        """


class FourMEmbedder:
    """Embeddings by a 4M model: its encoder's outputs, or a global feature that it predicts from the inputs."""

    def __init__(self, pipeline: Pipeline, fingerprint: str, inputs: Sequence[str], space: str = ENCODER_SPACE) -> None:
        """Take a model, the modalities to embed, and the space.

        Raises:
            UnknownNameError: The model has no such modality, or predicts no such global feature.
            ConfigError: There is no input, one cannot be an input, or one is the space itself.
            DataError: The model was imported without a tokenizer that is needed.
        """
        self.model, self.codec, self.fingerprint = pipeline.model, pipeline.codec, fingerprint
        self.modalities = pipeline.modalities
        self.inputs = tuple(dict.fromkeys(resolve_alias(name, self.modalities) for name in inputs))
        self.space = space if space == ENCODER_SPACE else resolve_alias(space, self.modalities)
        self.streams = {name: self._input_stream(name) for name in self.inputs}
        if not self.inputs:
            raise ConfigError(
                f"There is nothing to embed: name a modality of this model ({', '.join(self.modalities)})."
            )
        spaces = embedding_spaces(self.model, self.codec)
        if self.space not in spaces:
            raise UnknownNameError("embedding space of this model", self.space, spaces)
        if self.space in self.inputs:
            raise ConfigError(
                f"{self.space} cannot be embedded by predicting {self.space}: leave it out of the inputs."
            )
        as_tokens = [name for name, stream in self.streams.items() if stream == name]
        for name in [*as_tokens, *([] if self.space == ENCODER_SPACE else [self.space])]:
            pipeline.loaded.require_tokenizers(self.modalities[name])

    @property
    def width(self) -> int:
        """The encoder's width, or the length of the predicted feature."""
        if self.space == ENCODER_SPACE:
            return self.model.config.shape[0]
        layout = self.modalities[self.space].layout
        assert isinstance(layout, Vector)
        return layout.channels

    def embed(self, samples: Sequence[SampleValues], *, first: int = 0) -> list[SampleEmbedding | None]:
        """The embedding of each sample; None for one that has none of `inputs`."""
        tokens = tokenize_samples(self.model, self.codec, self.streams, samples, first=first)
        device = module_device(self.model)
        tokens = {name: column.to(device) for name, column in tokens.items()}
        batch = select(tokens, self.model.streams, inputs=list(tokens), targets=[])
        is_present = batch.visible.any(dim=1).cpu().numpy()
        if self.space != ENCODER_SPACE:
            vectors = predicted_features(self.model, self.codec, batch, self.space)
            return [
                SampleEmbedding(vector=row) if there else None for row, there in zip(vectors, is_present, strict=True)
            ]
        outputs = _encode(self.model, batch)
        features, visible = outputs.cpu().numpy(), batch.visible.cpu().numpy()
        pooled = mean_of_visible(outputs, batch).cpu().numpy()
        return [
            SampleEmbedding(vector=vector, tokens=row[shown]) if there else None
            for vector, row, shown, there in zip(pooled, features, visible, is_present, strict=True)
        ]

    def _input_stream(self, name: str) -> str:
        if name not in self.modalities:
            raise UnknownNameError("modality of this model", name, self.modalities)
        stream = input_stream_name(name, self.model.streams)
        if not self.model.streams[self.model.index[stream]].is_input:
            raise ConfigError(f"{name} is a target only: this model cannot embed it.")
        return stream


def load_embedder(
    folder: Path, inputs: Sequence[str], *, space: str = ENCODER_SPACE, device: str | None = None
) -> Embedder:
    """The embedder of a model's folder.

    Raises:
        UserError: The folder is no model's, or an input or the space does not fit the model.
    """
    return FourMEmbedder(Pipeline.load(folder, device=device), file_fingerprint(folder / WEIGHTS_FILE), inputs, space)


def embedding_spaces(model: FourM, codec: Codec) -> list[str]:
    """The encoder's space, and the global features that the model predicts."""
    features = [
        stream.name
        for stream in model.streams
        if stream.is_target and stream.name in codec.modalities and _is_vector(codec, stream.name)
    ]
    return [ENCODER_SPACE, *features]


def tokenize_samples(
    model: FourM, codec: Codec, streams: Mapping[str, str], samples: Sequence[SampleValues], *, first: int = 0
) -> Samples:
    """The tokens of some samples, by stream; length 0 where a sample lacks the modality.

    Args:
        streams: Stream by which each modality enters the model.
        first: Number of the first sample.
    """
    tokens = {}
    for name, stream_name in streams.items():
        stream = model.streams[model.index[stream_name]]
        values = [sample.get(name) for sample in samples]
        rows = values if isinstance(stream, PixelStream) else codec.encode(name, values, first=first)
        tokens[stream_name] = pad_tokens(stream, rows)
    return tokens


@torch.no_grad()
def pooled_features(model: FourM, batch: TokenBatch) -> Float[np.ndarray, "b d"]:
    """The mean of the encoder's outputs over the visible tokens of each sample; 0 where there is none."""
    pooled: Float[np.ndarray, "b d"] = mean_of_visible(_encode(model, batch), batch).cpu().numpy()
    return pooled


@torch.no_grad()
def predicted_features(model: FourM, codec: Codec, batch: TokenBatch, target: str) -> Float[np.ndarray, "b d"]:
    """The global feature ``target`` of each sample: its tokens are predicted at once, the most likely ones decoded."""
    ids = predict_grid(model, model.encode(batch), target).ids
    return np.stack(codec.decode(target, ids).values).astype(np.float32)


def mean_of_visible(outputs: Float[Tensor, "b n d"], batch: TokenBatch) -> Float[Tensor, "b d"]:
    """The mean over the visible slots; 0 where there is none."""
    visible = batch.visible[..., None]
    return torch.where(visible, outputs, 0.0).sum(dim=1) / visible.sum(dim=1).clamp(min=1)


def _encode(model: FourM, batch: TokenBatch) -> Float[Tensor, "b n d"]:
    return encoder_features(model, batch).float()


def _is_vector(codec: Codec, name: str) -> bool:
    return isinstance(codec.modalities[name].layout, Vector)
