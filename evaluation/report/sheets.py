"""Contact sheets of predictions: a row for each held-out sample, with ground truth and tokenizer round trip."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from evaluation.config import EvaluationConfig
from evaluation.report.formats import title_without_proxy
from evaluation.route import Route
from evaluation.samples import EvalSplit
from evaluation.tasks.base import input_stream, on_device
from modalities.rendering.sheet import MISSING, ContactSheet, Rendering, render_value
from networks.device import module_device
from networks.fourm.model import FourM
from networks.generation.predict import predict_values
from networks.masking.masker import select
from networks.tokenizers.codec import Codec


def render_predictions(codec: Codec, predictions: Mapping[Route, Sequence[Any]]) -> dict[str, list[Rendering]]:
    """Renderings of predictions, by the route's text."""
    return {
        str(route): [render_value(codec.modalities[route.target], value) for value in values]
        for route, values in predictions.items()
    }


def comparison_sheets(
    codec: Codec,
    held_out: EvalSplit,
    predicted: Mapping[str, Mapping[str, Sequence[Rendering]]],
    config: EvaluationConfig,
) -> list[ContactSheet]:
    """A sheet for each route of any arm: source, ground truth, round trip, and the prediction of each arm.

    Args:
        predicted: By arm, then by route, as `render_predictions` gives them.
    """
    count = min(config.num_pictures, held_out.num_samples)
    names = list(dict.fromkeys(name for arm in predicted.values() for name in arm))
    return [_route_sheet(codec, held_out, predicted, Route.parse(name), count) for name in names if count]


@torch.no_grad()
def validation_sheet(
    model: FourM, codec: Codec, held_out: EvalSplit, targets: Sequence[str], config: EvaluationConfig, source: str
) -> ContactSheet:
    """Predictions of a model during training: the source, then ground truth and prediction of each target.

    The rows are the first held-out samples that have the source, of which there must be one.
    """
    was_training, device = model.training, module_device(model)
    model.eval()
    numbers, input_name = held_out.samples_with(source, config.num_pictures), input_stream(model, source)
    samples = on_device(held_out.tokens.read(np.array(numbers), [input_name]), device)
    context = model.encode(select(samples, model.streams, inputs=[input_name], targets=[]))
    titles, columns = [codec.modalities[source].title], [_render_truth(codec, held_out, source, numbers)]
    for target in targets:
        modality = codec.modalities[target]
        use_argmax, max_tokens = target in config.argmax, config.max_tokens
        values = predict_values(model, codec, context, target, use_argmax=use_argmax, max_tokens=max_tokens).values
        titles += [modality.title, "predicted"]
        columns += [
            _render_truth(codec, held_out, target, numbers),
            [render_value(modality, value) for value in values],
        ]
    model.train(was_training)
    return ContactSheet(title=f"{codec.modalities[source].title} to", columns=tuple(titles), rows=_rows(columns))


def render_round_trip(codec: Codec, held_out: EvalSplit, name: str, count: int) -> list[Rendering]:
    """The first samples, decoded from their own tokens; of those that lack the modality a word that says so."""
    column = held_out.tokens.read(np.arange(count), [name])[name]
    present = [row for row, length in enumerate(column.lengths.tolist()) if length]
    rendered: list[Rendering] = [MISSING] * count
    if not present:
        return rendered
    if codec.is_dense(name):
        decoded = codec.decode(name, column.values[present].flatten(1))
    else:
        decoded = codec.decode(name, [column.values[row, : int(column.lengths[row])].tolist() for row in present])
    for row, value in zip(present, decoded.values, strict=True):
        rendered[row] = render_value(codec.modalities[name], value)
    return rendered


def _route_sheet(
    codec: Codec,
    held_out: EvalSplit,
    predicted: Mapping[str, Mapping[str, Sequence[Rendering]]],
    route: Route,
    count: int,
) -> ContactSheet:
    arms = [arm for arm, found in predicted.items() if found.get(str(route))]
    columns = [
        _render_truth(codec, held_out, item, range(count)) for item in dict.fromkeys((route.source, route.target))
    ]
    titles = [codec.modalities[route.source].title, "truth"][: len(columns)]
    columns.append(render_round_trip(codec, held_out, route.target, count))
    columns += [list(predicted[arm][str(route)]) for arm in arms]
    target_modality = codec.modalities[route.target]
    return ContactSheet(
        title=" to ".join(title_without_proxy(codec.modalities[name]) for name in route.names),
        note="" if target_modality.provenance.value == "exact" else f"({target_modality.provenance.value} labels)",
        columns=(*titles, "tokenizer", *arms),
        rows=_rows(columns),
    )


def _render_truth(codec: Codec, held_out: EvalSplit, name: str, numbers: Iterable[int]) -> list[Rendering]:
    return [render_value(codec.modalities[name], held_out.values[name][number]) for number in numbers]


def _rows(columns: Sequence[Sequence[Rendering]]) -> tuple[tuple[Rendering, ...], ...]:
    return tuple(zip(*columns, strict=False))
