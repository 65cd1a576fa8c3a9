"""Tokens, disk and memory of a run on a source, from the samples that were read and the settings."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from experiments.doctor.checks.columns import ColumnSummary
from experiments.doctor.checks.texts import TextSummary
from experiments.schema.experiment import ExperimentConfig
from lightning_modules.data.store import id_dtype
from modalities.layouts import Dense, Embeddings, Text, Vector
from modalities.spec import Modality
from modalities.tokenizer_specs import LearnedTokenizer
from networks.fourm.model import FourM
from networks.streams import streams_of

BYTES_PER_PARAMETER = 16
"""A weight, its gradient and AdamW's two moments, each of 32 bits."""
_HALF = 2
"""Bytes of a stored component of an embedding."""


@dataclass(frozen=True, kw_only=True)
class ModalityEstimate:
    """One modality over all samples of a run."""

    modality: str
    tokens: int
    """Tokens, or vectors of embeddings; pixels not counted."""
    raw_bytes: int
    """Bytes of values on disk."""
    token_bytes: int
    """Bytes of tokens on disk, of the raw pixels that a model reads too."""


@dataclass(frozen=True, kw_only=True)
class ModelEstimate:
    """Training of the models of a run."""

    times_shown: float
    """Times that a training sample is shown to a model on average."""
    parameters: Mapping[str, int]
    """Parameters of the model of each arm."""
    training_bytes: int
    """Memory of the largest model's weights, gradients and optimizer; activations come on top."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run on all its samples takes."""

    samples: Mapping[str, int]
    """Samples of each split that a run uses."""
    modalities: tuple[ModalityEstimate, ...]
    model: ModelEstimate | None = None
    """None where nothing is known of the run but its data."""

    @property
    def tokens(self) -> int:
        """Tokens of all modalities."""
        return sum(item.tokens for item in self.modalities)

    @property
    def raw_bytes(self) -> int:
        """Bytes of raw values on disk."""
        return sum(item.raw_bytes for item in self.modalities)

    @property
    def token_bytes(self) -> int:
        """Bytes of tokens on disk."""
        return sum(item.token_bytes for item in self.modalities)

    @property
    def disk_bytes(self) -> int:
        """Bytes of raw values and tokens."""
        return self.raw_bytes + self.token_bytes


def estimate_data(
    modalities: Mapping[str, Modality],
    samples: Mapping[str, int],
    columns: Mapping[tuple[str, str], ColumnSummary],
    texts: Mapping[tuple[str, str], TextSummary],
    text_vocab_size: int,
) -> tuple[ModalityEstimate, ...]:
    """The tokens and bytes of each modality; samples that were not read are assumed to be like those that were.

    Args:
        samples: Number of samples that a run takes of each split.
        columns: By modality and split.
        texts: By modality and split.
        text_vocab_size: Tokens in the text vocabulary.
    """
    return tuple(_estimate_modality(item, samples, columns, texts, text_vocab_size) for item in modalities.values())


def estimate_model(
    config: ExperimentConfig, modalities: Mapping[str, Modality], num_train: int, text_vocab_size: int
) -> ModelEstimate:
    """The size of each arm's model, and how often it sees each of ``num_train`` samples."""
    per_step = config.training.batch_size * config.training.accumulate * config.executor.devices
    parameters = {arm: _count_parameters(config, arm, modalities, text_vocab_size) for arm in config.arms}
    return ModelEstimate(
        times_shown=config.num_steps * per_step / max(1, num_train),
        parameters=parameters,
        training_bytes=BYTES_PER_PARAMETER * max(parameters.values()),
    )


def _estimate_modality(
    modality: Modality,
    samples: Mapping[str, int],
    columns: Mapping[tuple[str, str], ColumnSummary],
    texts: Mapping[tuple[str, str], TextSummary],
    text_vocab_size: int,
) -> ModalityEstimate:
    tokens = raw_bytes = token_bytes = 0.0
    for split, count in samples.items():
        column = columns.get((modality.name, split))
        if column is None or not column.num_read:
            continue
        present = count * column.present / column.num_read
        per_sample = _tokens_per_sample(modality, texts.get((modality.name, split)))
        tokens += present * per_sample
        raw_bytes += count * column.bytes / column.num_read
        token_bytes += present * per_sample * _bytes_per_token(modality, text_vocab_size)
        token_bytes += count * column.bytes / column.num_read if modality.has_pixel_stream else 0
    return ModalityEstimate(
        modality=modality.name, tokens=round(tokens), raw_bytes=round(raw_bytes), token_bytes=round(token_bytes)
    )


def _tokens_per_sample(modality: Modality, text: TextSummary | None) -> float:
    match modality.layout:
        case Dense() | Vector():
            return modality.num_tokens
        case Text() | Embeddings():
            return text.mean_kept if text else 0.0


def _bytes_per_token(modality: Modality, text_vocab_size: int) -> int:
    match modality.layout:
        case Embeddings(channels=channels):
            return channels * _HALF
        case Text():
            return id_dtype(text_vocab_size).itemsize
        case Dense() | Vector():
            spec = modality.tokenizer
            assert isinstance(spec, LearnedTokenizer)
            return id_dtype(spec.vocab_size).itemsize


def _count_parameters(
    config: ExperimentConfig, arm: str, modalities: Mapping[str, Modality], text_vocab_size: int
) -> int:
    """Parameters of an arm's model, which is built without memory for its weights.

    Heads that the run cuts to the ids that occur are counted whole.
    """
    selected = {name: modalities[name] for name in config.arm_modalities(arm) if name in modalities}
    streams = streams_of(selected, text_vocab_size, shared_text=config.model.shared_text)
    with torch.device("meta"):
        model = FourM(streams, config.model, initialized=False)
    return sum(parameter.numel() for parameter in model.parameters())
