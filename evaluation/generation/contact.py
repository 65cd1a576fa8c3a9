"""The contact sheet of a request: what was given, what was hidden of it, and each variation of what was made."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from evaluation.generation.inputs import Taken
from evaluation.generation.request import Outcome
from evaluation.held_out import Codecs
from evaluation.pictures import Drawing, Sheet, draw
from networks.streams import PIXELS

SHOWN = 16
"""Most samples on the contact sheet."""
TRUTH = "what the scene itself has"
"""Stands at the start of the row of the truth."""


def contact_sheet(
    codecs: Codecs, outcomes: Mapping[str, Outcome], title: str = "Generated", truth: Mapping[str, Any] | None = None
) -> Sheet:
    """Inputs, then targets, a row for each variation; texts that had gaps also as they are completed.

    Args:
        outcomes: Of the same inputs, by what their columns say beside the target's title; empty for nothing.
        truth: The targets' values in a sample that the inputs are of, for a last row.
    """
    titles: list[str] = []
    columns: list[list[Drawing]] = []
    every = {label: drawn_targets(codecs, outcome) for label, outcome in outcomes.items()}
    count = min([SHOWN, *[len(found) for drawings in every.values() for found in drawings.values()]])
    given = drawn_inputs(codecs, next(iter(outcomes.values())).taken)
    for number, (name, drawing) in enumerate(given.items()):
        titles.append(f"{codecs.modalities[name].title}, given")
        columns.append([drawing] * count + ([TRUTH if number == 0 else ""] if truth is not None else []))
    for label, drawings in every.items():
        for name, found in drawings.items():
            modality = codecs.modalities[name]
            titles.append(f"{modality.title}, {label}" if label else modality.title)
            last = [] if truth is None else [draw(modality, truth[name]) if truth.get(name) is not None else ""]
            columns.append([*found[:count], *last])
            if name in outcomes[label].taken.texts:
                titles.append(f"{modality.title}, completed")
                columns.append([*_texts(codecs, outcomes[label], name)[:count], *([] if truth is None else [""])])
    return Sheet(title=title, columns=tuple(titles), rows=tuple(zip(*columns, strict=True)))


def drawn_targets(codecs: Codecs, outcome: Outcome) -> Mapping[str, Sequence[Drawing]]:
    """Each target's values as drawings."""
    return {name: [draw(codecs.modalities[name], value) for value in found] for name, found in outcome.values.items()}


def drawn_inputs(codecs: Codecs, taken: Taken) -> dict[str, Drawing]:
    """Each input as it was given: pictures with what is hidden in grey, texts with their gaps."""
    drawings: dict[str, Drawing] = {}
    for name, value in taken.values.items():
        drawings[name] = drawing = draw(codecs.modalities[name], value)
        for entrance in (name + PIXELS, name):
            known = taken.given[entrance].known if entrance in taken.given else None
            if known is not None and isinstance(drawing, np.ndarray):
                drawings[name] = _masked(drawing, known)
                break
    return {**drawings, **taken.texts}


def _texts(codecs: Codecs, outcome: Outcome, name: str) -> list[Drawing]:
    """What a text with gaps has become, word by word: the value may be of fewer words, or of none."""
    assert codecs.text is not None
    return [codecs.text.decode(row) for row in outcome.parts[name].rows()]


def _masked(drawing: NDArray[np.uint8], known: Bool[Tensor, "b n"]) -> NDArray[np.uint8]:
    """A picture, grey where nothing is known."""
    grid = int(known.shape[1] ** 0.5)
    side = drawing.shape[0]
    at = np.arange(side) * grid // side
    there = known[0].numpy().reshape(grid, grid)[at[:, None], at[None, :]]
    return np.where(there[..., None], drawing, 128).astype(np.uint8)
