"""Pictures of what a model says: a row for each held-out sample, beside it the truth and what its tokens can say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from evaluation.config import EvaluationConfig
from evaluation.report.tables import title_without_proxy
from evaluation.samples import EvalSplit
from evaluation.tasks.cross_entropy import input_stream, on_device
from evaluation.tasks.routes import predict_target
from modalities.rendering.sheet import ContactSheet, Rendering, render_value
from networks.device import module_device
from networks.fourm.model import FourM
from networks.masking.masker import select
from networks.tokenizers.codec import Codec


def render_predictions(codec: Codec, predictions: Mapping[str, Sequence[Any]]) -> dict[str, list[Rendering]]:
    """Predictions by route, as drawings."""
    return {
        name: [render_value(codec.modalities[name.rpartition("->")[2]], value) for value in values]
        for name, values in predictions.items()
    }


def comparison_sheets(
    codec: Codec,
    held_out: EvalSplit,
    predicted: Mapping[str, Mapping[str, Sequence[Rendering]]],
    config: EvaluationConfig,
) -> list[ContactSheet]:
    """A sheet for each route that some arm was asked: the source, the truth, the round trip, and each arm's prediction.

    Predictions come by arm, then by route, as `drawn` gives them.
    """
    count = min(config.num_pictures, held_out.num_samples)
    names = list(dict.fromkeys(name for arm in predicted.values() for name in arm))
    return [_route_sheet(codec, held_out, predicted, name, count) for name in names if count]


@torch.no_grad()
def validation_sheet(
    model: FourM, codec: Codec, held_out: EvalSplit, targets: Sequence[str], config: EvaluationConfig, source: str
) -> ContactSheet:
    """What a model says in the middle of its training: the source, then truth and prediction of each target."""
    was_training, device = model.training, module_device(model)
    model.eval()
    count, input_name = min(config.num_pictures, held_out.num_samples), input_stream(model, source)
    samples = on_device(held_out.tokens.read(np.arange(count), [input_name]), device)
    context = model.encode(select(samples, model.streams, inputs=[input_name], targets=[]))
    titles, columns = [codec.modalities[source].title], [_render_truth(codec, held_out, source, count)]
    for target in targets:
        modality = codec.modalities[target]
        values = predict_target(model, codec, context, target, config).values
        titles += [modality.title, "predicted"]
        columns += [_render_truth(codec, held_out, target, count), [render_value(modality, value) for value in values]]
    model.train(was_training)
    return ContactSheet(title=f"{codec.modalities[source].title} to", columns=tuple(titles), rows=_rows(columns))


def render_round_trip(codec: Codec, held_out: EvalSplit, name: str, count: int) -> list[Rendering]:
    """The first samples as their own tokens tell them."""
    column = held_out.tokens.read(np.arange(count), [name])[name]
    if codec.is_dense(name):
        decoded = codec.decode(name, column.values.flatten(1))
    else:
        ids = [row[:length].tolist() for row, length in zip(column.values, column.lengths.tolist(), strict=True)]
        decoded = codec.decode(name, ids)
    return [render_value(codec.modalities[name], value) for value in decoded.values]


def _route_sheet(
    codec: Codec,
    held_out: EvalSplit,
    predicted: Mapping[str, Mapping[str, Sequence[Rendering]]],
    name: str,
    count: int,
) -> ContactSheet:
    source, *intermediate, target = name.split("->")
    arms = [arm for arm, found in predicted.items() if found.get(name)]
    columns = [_render_truth(codec, held_out, item, count) for item in dict.fromkeys((source, target))]
    titles = [codec.modalities[source].title, "truth"][: len(columns)]
    columns.append(render_round_trip(codec, held_out, target, count))
    columns += [list(predicted[arm][name]) for arm in arms]
    target_modality = codec.modalities[target]
    return ContactSheet(
        title=" to ".join(title_without_proxy(codec.modalities[item]) for item in (source, *intermediate, target)),
        note="" if target_modality.provenance.value == "exact" else f"({target_modality.provenance.value} labels)",
        columns=(*titles, "tokenizer", *arms),
        rows=_rows(columns),
    )


def _render_truth(codec: Codec, held_out: EvalSplit, name: str, count: int) -> list[Rendering]:
    return [render_value(codec.modalities[name], value) for value in held_out.first_values(name, count)]


def _rows(columns: Sequence[Sequence[Rendering]]) -> tuple[tuple[Rendering, ...], ...]:
    return tuple(zip(*columns, strict=False))
