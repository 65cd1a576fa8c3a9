"""The contact sheet of a request: what was given, what was hidden of it, and each variation of what was made."""

from collections.abc import Mapping, Sequence

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


def contact_sheet(codecs: Codecs, outcome: Outcome, title: str = "Generated") -> Sheet:
    """Inputs, then targets, a row for each variation."""
    drawings = drawn_targets(codecs, outcome)
    count = min(SHOWN, min(len(found) for found in drawings.values()))
    columns: dict[str, list[Drawing]] = {
        f"{codecs.modalities[name].title}, given": [drawing] * count
        for name, drawing in drawn_inputs(codecs, outcome.taken).items()
    }
    for name, found in drawings.items():
        columns[codecs.modalities[name].title] = list(found[:count])
    return Sheet(title=title, columns=tuple(columns), rows=tuple(zip(*columns.values(), strict=True)))


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


def _masked(drawing: NDArray[np.uint8], known: Bool[Tensor, "b n"]) -> NDArray[np.uint8]:
    """A picture, grey where nothing is known."""
    grid = int(known.shape[1] ** 0.5)
    side = drawing.shape[0]
    at = np.arange(side) * grid // side
    there = known[0].numpy().reshape(grid, grid)[at[:, None], at[None, :]]
    return np.where(there[..., None], drawing, 128).astype(np.uint8)
