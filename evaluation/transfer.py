"""From one whole modality to another, decoded and measured by the target's own metrics.

Dense targets are predicted in one step and decoded from the probability-weighted mean of the code vectors, or from the
most likely codes where `EvaluationConfig.argmax` says so. Sequences are written greedily from left to right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluation.chance import END, START
from evaluation.config import EvaluationConfig
from evaluation.crossentropy import (
    Tally,
    Who,
    common_inputs,
    entrance_of,
    masked_cross_entropy,
    on_device,
    token_losses,
    whole_cross_entropy,
)
from evaluation.decoding import (
    decode_dense,
    decode_sequences,
    decode_soft,
    device_of,
    is_dense,
)
from evaluation.held_out import Codecs, Split, batches
from evaluation.meter import Meter
from evaluation.records import WELL_FORMED, Score, route
from evaluation.roundtrip import Baselines
from networks.fourm import Context, FourM
from networks.generation.predict import predict_dense, predict_sequence
from networks.masking import select

__all__ = ["Measured", "Route", "common_inputs", "measure_model", "predict_values"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that one model is measured by."""

    scores: list[Score]
    predictions: dict[str, list[Any]]
    """The first held-out samples' predictions, by route, for pictures."""


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


@torch.no_grad()
def measure_model(
    model: FourM,
    codecs: Codecs,
    held_out: Split,
    baselines: Baselines,
    common: Sequence[str],
    who: Who,
    config: EvaluationConfig,
) -> Measured:
    """Every question of the config asked of one model: routes, masked tokens, and what inputs without tokens are worth.

    ``common`` are the names of the streams that every arm has, from `common_inputs`.
    """
    was_training = model.training
    model.eval()
    scores: list[Score] = []
    predictions: dict[str, list[Any]] = {}
    targets = [stream.name for stream in model.streams if stream.is_target and stream.name in codecs.modalities]
    for source, chosen in config.routes.items():
        if entrance_of(model, source) not in model.index:
            continue
        wanted = [target for target in (chosen or targets) if target in targets and _is_asked(model, source, target)]
        for item in measure_routes(model, codecs, held_out, baselines, source, wanted, config):
            scores += item.scores(who, baselines)
            predictions[item.name] = item.kept
    for target in targets:
        scores.append(masked_cross_entropy(model, held_out, target, baselines.unigrams[target], common, who, config))
    for source, target in config.probes.items():
        if source in model.index and target in targets:
            unigram = baselines.unigrams[target]
            scores.append(whole_cross_entropy(model, held_out, source, target, unigram, who, config))
    model.train(was_training)
    return Measured(scores=scores, predictions=predictions)


def measure_routes(
    model: FourM,
    codecs: Codecs,
    held_out: Split,
    baselines: Baselines,
    source: str,
    targets: Sequence[str],
    config: EvaluationConfig,
) -> list[Route]:
    """One modality into several others. The source is encoded once for all of them."""
    entrance, device = entrance_of(model, source), device_of(model)
    count = min(config.num_samples, held_out.num_samples)
    routes = [Route(codecs, route(source, target), target, config, count) for target in targets]
    for indices in batches(count, config.batch_size):
        samples = on_device(held_out.tokens.columns(indices, [entrance, *targets]), device)
        given = select({entrance: samples[entrance]}, model.streams, inputs=[entrance], targets=[])
        context = model.encode(given)
        for item in routes:
            column = samples[item.target]
            asked = select({item.target: column}, model.streams, inputs=[], targets=[item.target])
            losses = token_losses(model, asked, context, item.target, baselines.unigrams[item.target])
            item.tally.add(losses, int(indices[0]))
            present = (column.lengths > 0).cpu().numpy()
            if not is_dense(codecs, item.target):
                present &= indices < config.num_sequences
            if present.any():
                kept = torch.from_numpy(present).to(device)
                values, well_formed = predict_values(model, codecs, _rows(context, kept), item.target, config)
                truth = [held_out.values[item.target][int(index)] for index in indices[present]]
                item.add(values, truth, well_formed)
    return routes


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


def _is_asked(model: FourM, source: str, target: str) -> bool:
    """False where the target is what went in."""
    return entrance_of(model, source) != target


def _rows(context: Context, kept: torch.Tensor) -> Context:
    mask = context.mask[kept] if context.mask is not None else None
    return Context(values=context.values[kept], mask=mask)
