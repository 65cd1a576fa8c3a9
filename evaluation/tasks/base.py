"""Base of evaluation tasks: the model under test, its data, and the result of a measurement."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int

from evaluation.config import EvaluationConfig
from evaluation.reference_levels import ReferenceLevels
from evaluation.route import Route
from evaluation.samples import EvalSplit
from evaluation.scores import Score
from evaluation.unigram import Unigram
from networks.batch import Samples
from networks.device import module_device
from networks.fourm.model import FourM
from networks.streams import Stream, input_stream_name
from networks.tokenizers.codec import Codec


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """The model that a score belongs to."""

    arm: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """One model and everything it is measured on."""

    model: FourM
    codec: Codec
    held_out: EvalSplit
    reference_levels: ReferenceLevels
    common_inputs: Sequence[str]
    """Streams that every arm has."""
    model_ref: ModelRef
    config: EvaluationConfig

    @property
    def num_samples(self) -> int:
        """Held-out samples that are measured."""
        return min(self.config.num_samples, self.held_out.num_samples)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Modalities that the model predicts and the codec decodes."""
        streams = (stream.name for stream in self.model.streams if stream.is_target)
        return tuple(name for name in streams if name in self.codec.modalities)

    def has_input(self, source: str) -> bool:
        """True if the model can see the modality ``source``."""
        return input_stream(self.model, source) in self.model.index

    def stream(self, name: str) -> Stream:
        """A stream of the model."""
        return self.model.streams[self.model.index[name]]

    def unigram(self, target: str) -> Unigram:
        """The unigram of a target stream."""
        return self.reference_levels.unigrams[target]

    def samples_with(self, stream: str, indices: Int[np.ndarray, " b"]) -> Int[np.ndarray, " p"]:
        """Those of the samples ``indices`` that have tokens of a stream: from others nothing can be predicted."""
        return indices[self.held_out.tokens.read(indices, [stream])[stream].lengths.numpy() > 0]

    def read_tokens(self, indices: Any, streams: Sequence[str]) -> Samples:
        """Token samples on the model's device."""
        return on_device(self.held_out.tokens.read(indices, streams), module_device(self.model))


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """Scores of one model by one task."""

    scores: list[Score]
    predictions: dict[Route, list[Any]] = field(default_factory=dict)
    """Values predicted for the first held-out samples, for pictures."""
    skipped: list[str] = field(default_factory=list)
    """One sentence for each configured measurement that the model cannot take."""


class Task(ABC):
    """One kind of measurement, listed in `evaluation.tasks.measure.TASKS`."""

    name: ClassVar[str]
    section: ClassVar[str]
    """Section of the report (`evaluation.report.page.SECTIONS`) that shows the scores."""

    @abstractmethod
    def run(self, context: TaskContext) -> TaskResult:
        """Measure the model, which is in evaluation mode; called without gradients."""


def input_stream(model: FourM, source: str) -> str:
    """The stream by which a whole modality enters the encoder: its pixels if the model has them, else its tokens."""
    return input_stream_name(source, model.streams)


def on_device(samples: Samples, device: torch.device) -> Samples:
    """The samples on another device."""
    return {name: column.to(device) for name, column in samples.items()}
