"""What a trained model says of a target, given what its encoder has seen, and how well it does."""

from collections.abc import Sequence
from typing import Any

import torch

from evaluation.chance import END, START
from evaluation.config import EvaluationConfig
from evaluation.crossentropy import Tally, Who
from evaluation.decoding import decode_dense, decode_sequences, decode_soft, is_dense
from evaluation.held_out import Codecs
from evaluation.meter import Meter
from evaluation.records import WELL_FORMED, Score
from evaluation.roundtrip import Baselines
from networks.fourm import Context, FourM
from networks.generation.predict import predict_dense, predict_sequence


class Route:
    """One modality into one other: predictions collected batch by batch."""

    def __init__(self, codecs: Codecs, name: str, target: str, config: EvaluationConfig, num_samples: int) -> None:
        self.codecs, self.name, self.target, self.config = codecs, name, target, config
        self.meter = Meter(codecs.modalities[target])
        self.tally = Tally(num_samples)
        self.well_formed = 0
        self.kept: list[Any] = []

    def add(self, values: Sequence[Any], truth: Sequence[Any], well_formed: Sequence[bool]) -> None:
        """Add predictions beside what is true."""
        self.meter.update(values, truth)
        self.well_formed += sum(well_formed)
        self.kept += values[: max(self.config.num_pictures - len(self.kept), 0)]

    def scores(self, who: Who, baselines: Baselines) -> list[Score]:
        """The target's metrics, how often the grammar was kept, and the cross-entropy."""
        count = self.meter.num_samples
        found = [
            Score(
                arm=who.arm,
                seed=who.seed,
                route=self.name,
                target=self.target,
                metric=metric,
                value=figure.value,
                unit=figure.unit,
                higher_is_better=figure.higher_is_better,
                chance=baselines.chance(self.target, metric),
                bound=baselines.bound(self.target, metric),
                num_samples=count,
            )
            for metric, figure in self.meter.figures().items()
        ]
        if not is_dense(self.codecs, self.target):
            found.append(
                Score(
                    arm=who.arm,
                    seed=who.seed,
                    route=self.name,
                    target=self.target,
                    metric=WELL_FORMED,
                    value=self.well_formed / max(count, 1),
                    unit="share",
                    higher_is_better=True,
                    bound=baselines.bound(self.target, WELL_FORMED),
                    num_samples=count,
                )
            )
        return [*found, self.tally.score(self.target, self.name, who.arm, who.seed)]


def predict_values(
    model: FourM, codecs: Codecs, context: Context, target: str, config: EvaluationConfig
) -> tuple[list[Any], list[bool]]:
    """What the model says of ``target`` given what it has encoded, as values, and which of them are well-formed."""
    if is_dense(codecs, target):
        prediction = predict_dense(model, context, target)
        hard = target in config.argmax
        values = (
            decode_dense(codecs, target, prediction.ids)
            if hard
            else decode_soft(codecs, target, prediction.probabilities)
        )
        return values, [True] * len(values)
    written = predict_sequence(model, context, target, start=START, end=END, max_tokens=config.max_tokens)
    read = decode_sequences(codecs, target, written.ids)
    return read.values, read.well_formed


def rows_of(context: Context, kept: torch.Tensor) -> Context:
    """What the decoder looks at, of some samples."""
    mask = context.mask[kept] if context.mask is not None else None
    return Context(values=context.values[kept], mask=mask)
