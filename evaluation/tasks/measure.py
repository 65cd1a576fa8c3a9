"""From one whole modality to another, decoded and measured by the target's own metrics.

Dense targets are predicted in one step and decoded from the probability-weighted mean of the code vectors, or from the
most likely codes where `EvaluationConfig.argmax` says so. Sequences are written greedily from left to right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluation.config import EvaluationConfig
from evaluation.references.round_trip import ReferenceLevels
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import Score, route_name
from evaluation.tasks.chains import measure_chains
from evaluation.tasks.cross_entropy import (
    ModelRef,
    common_inputs,
    input_stream,
    masked_cross_entropy,
    on_device,
    token_losses,
    whole_cross_entropy,
)
from evaluation.tasks.routes import RouteEvaluator, predict_target, select_rows
from networks.device import module_device
from networks.fourm.model import FourM
from networks.masking.masker import select
from networks.tokenizers.codec import Codec

__all__ = ["ModelMeasurements", "ModelRef", "RouteEvaluator", "common_inputs", "measure_model"]


@dataclass(frozen=True, kw_only=True)
class ModelMeasurements:
    """Everything that one model is measured by."""

    scores: list[Score]
    predictions: dict[str, list[Any]]
    """The first held-out samples' predictions, by route, for pictures."""


@torch.no_grad()
def measure_model(
    model: FourM,
    codec: Codec,
    held_out: EvalSplit,
    reference_levels: ReferenceLevels,
    common: Sequence[str],
    model_ref: ModelRef,
    config: EvaluationConfig,
) -> ModelMeasurements:
    """Every question of the config asked of one model: routes, masked tokens, and what inputs without tokens are worth.

    ``common`` are the names of the streams that every arm has, from `common_inputs`.
    """
    was_training = model.training
    model.eval()
    scores: list[Score] = []
    predictions: dict[str, list[Any]] = {}
    targets = [stream.name for stream in model.streams if stream.is_target and stream.name in codec.modalities]
    for source, chosen in config.routes.items():
        if input_stream(model, source) not in model.index:
            continue
        selected = [
            target for target in (chosen or targets) if target in targets and _is_measured(model, source, target)
        ]
        for item in measure_routes(model, codec, held_out, reference_levels, source, selected, config):
            scores += item.scores(model_ref, reference_levels)
            predictions[item.name] = item.example_predictions
    for item in measure_chains(model, codec, held_out, reference_levels, config):
        scores += item.scores(model_ref, reference_levels)
        predictions[item.name] = item.example_predictions
    for target in targets:
        scores.append(
            masked_cross_entropy(model, held_out, target, reference_levels.unigrams[target], common, model_ref, config)
        )
    for source, target in config.probes.items():
        if source in model.index and target in targets:
            unigram = reference_levels.unigrams[target]
            scores.append(whole_cross_entropy(model, held_out, source, target, unigram, model_ref, config))
    model.train(was_training)
    return ModelMeasurements(scores=scores, predictions=predictions)


def measure_routes(
    model: FourM,
    codec: Codec,
    held_out: EvalSplit,
    reference_levels: ReferenceLevels,
    source: str,
    targets: Sequence[str],
    config: EvaluationConfig,
) -> list[RouteEvaluator]:
    """One modality into several others. The source is encoded once for all of them."""
    input_name, device = input_stream(model, source), module_device(model)
    count = min(config.num_samples, held_out.num_samples)
    routes = [RouteEvaluator(codec, route_name(source, target), target, config, count) for target in targets]
    for indices in index_batches(count, config.batch_size):
        samples = on_device(held_out.tokens.read(indices, [input_name, *targets]), device)
        input_batch = select({input_name: samples[input_name]}, model.streams, inputs=[input_name], targets=[])
        context = model.encode(input_batch)
        for item in routes:
            column = samples[item.target]
            target_batch = select({item.target: column}, model.streams, inputs=[], targets=[item.target])
            losses = token_losses(model, target_batch, context, item.target, reference_levels.unigrams[item.target])
            item.loss_accumulator.add(losses, int(indices[0]))
            present = (column.lengths > 0).cpu().numpy()
            if not codec.is_dense(item.target):
                present &= indices < config.num_sequences
            if present.any():
                row_mask = torch.from_numpy(present).to(device)
                predicted = predict_target(model, codec, select_rows(context, row_mask), item.target, config)
                truth = [held_out.values[item.target][int(index)] for index in indices[present]]
                item.add(predicted, truth)
    return routes


def _is_measured(model: FourM, source: str, target: str) -> bool:
    """False where the target is what went in."""
    return input_stream(model, source) != target
