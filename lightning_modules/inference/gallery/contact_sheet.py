"""The contact sheet of a request: what was given, what was hidden of it, and each variation of what was made."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.inference.inputs import PreparedInputs
from lightning_modules.inference.request import GenerationResult
from modalities.rendering.sheet import ContactSheet, Rendering, render_value
from networks.streams import pixel_stream_name
from networks.tokenizers.codec import Codec

MAX_SAMPLES = 16
"""Most samples on the contact sheet."""
TRUTH_LABEL = "what the sample itself has"
"""Stands at the start of the row of the truth."""


def contact_sheet(
    codec: Codec,
    outcomes: Mapping[str, GenerationResult],
    title: str = "Generated",
    truth: Mapping[str, Any] | None = None,
) -> ContactSheet:
    """Inputs, then targets, a row for each variation; texts that had gaps also as they are completed.

    Args:
        outcomes: Of the same inputs, by what their columns say beside the target's title; empty for nothing.
        truth: The targets' values in a sample that the inputs are of, for a last row.
    """
    titles: list[str] = []
    columns: list[list[Rendering]] = []
    renderings = {label: render_targets(codec, outcome) for label, outcome in outcomes.items()}
    count = min([MAX_SAMPLES, *[len(found) for drawings in renderings.values() for found in drawings.values()]])
    condition_inputs = render_inputs(codec, next(iter(outcomes.values())).prepared)
    for number, (name, drawing) in enumerate(condition_inputs.items()):
        titles.append(f"{codec.modalities[name].title}, given")
        columns.append([drawing] * count + ([TRUTH_LABEL if number == 0 else ""] if truth is not None else []))
    for label, drawings in renderings.items():
        for name, found in drawings.items():
            modality = codec.modalities[name]
            titles.append(f"{modality.title}, {label}" if label else modality.title)
            last = [] if truth is None else [render_value(modality, truth.get(name))]
            columns.append([*found[:count], *last])
            if name in outcomes[label].prepared.texts:
                titles.append(f"{modality.title}, completed")
                columns.append(
                    [*_completed_texts(codec, outcomes[label], name)[:count], *([] if truth is None else [""])]
                )
    return ContactSheet(title=title, columns=tuple(titles), rows=tuple(zip(*columns, strict=True)))


def render_targets(codec: Codec, outcome: GenerationResult) -> Mapping[str, Sequence[Rendering]]:
    """Each target's values as drawings."""
    return {
        name: [render_value(codec.modalities[name], value) for value in found] for name, found in outcome.values.items()
    }


def render_inputs(codec: Codec, prepared: PreparedInputs) -> dict[str, Rendering]:
    """Each input as it was given: pictures with what is hidden in grey, texts with their gaps."""
    drawings: dict[str, Rendering] = {}
    for name, value in prepared.values.items():
        drawings[name] = drawing = render_value(codec.modalities[name], value)
        for input_name in (pixel_stream_name(name), name):
            known = prepared.condition_inputs[input_name].known if input_name in prepared.condition_inputs else None
            if known is not None and isinstance(drawing, np.ndarray):
                drawings[name] = _gray_out(drawing, known)
                break
    return {**drawings, **prepared.texts}


def _completed_texts(codec: Codec, outcome: GenerationResult, name: str) -> list[Rendering]:
    """A text with its gaps filled, word by word; the value may have fewer words, or of none."""
    assert codec.text_tokenizer is not None
    return [codec.text_tokenizer.decode(row) for row in outcome.parts[name].rows()]


def _gray_out(drawing: NDArray[np.uint8], known: Bool[Tensor, "b n"]) -> NDArray[np.uint8]:
    """A picture, grey where nothing is known."""
    grid = int(known.shape[1] ** 0.5)
    side = drawing.shape[0]
    cells = np.arange(side) * grid // side
    known_mask = known[0].numpy().reshape(grid, grid)[cells[:, None], cells[None, :]]
    return np.where(known_mask[..., None], drawing, 128).astype(np.uint8)
