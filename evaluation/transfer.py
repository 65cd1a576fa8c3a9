"""From one whole modality to another, decoded and measured by the target's own metrics.

Dense targets are predicted in one step and decoded from the probability-weighted mean of the code vectors, or from the
most likely codes where `EvaluationConfig.argmax` says so. Sequences are written greedily from left to right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluation.chains import measure_chains
from evaluation.config import EvaluationConfig
from evaluation.crossentropy import (
    Who,
    common_inputs,
    entrance_of,
    masked_cross_entropy,
    on_device,
    token_losses,
    whole_cross_entropy,
)
from evaluation.decoding import is_dense
from evaluation.held_out import Codecs, Split, batches
from evaluation.records import Score, route
from evaluation.roundtrip import Baselines
from evaluation.routes import Route, predict_values, rows_of
from networks.devices import device_of
from networks.fourm import FourM
from networks.masking import select

__all__ = ["Measured", "Route", "Who", "common_inputs", "measure_model", "predict_values"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that one model is measured by."""

    scores: list[Score]
    predictions: dict[str, list[Any]]
    """The first held-out samples' predictions, by route, for pictures."""


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
    for item in measure_chains(model, codecs, held_out, baselines, config):
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
                values, well_formed = predict_values(model, codecs, rows_of(context, kept), item.target, config)
                truth = [held_out.values[item.target][int(index)] for index in indices[present]]
                item.add(values, truth, well_formed)
    return routes


def _is_asked(model: FourM, source: str, target: str) -> bool:
    """False where the target is what went in."""
    return entrance_of(model, source) != target
