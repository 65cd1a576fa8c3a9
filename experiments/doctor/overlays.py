"""Labels drawn over the photograph that they describe: borders of maps and masks, boxes, skeletons."""

from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from modalities.layouts import Dense
from modalities.rendering.sheet import Rendering, render_tile
from modalities.spec import Crop, Modality, SequenceModality, Value

LINE_COLOR = (255, 0, 200)
"""Colour of borders; few photographs have it."""
MIN_SIDE = 224
"""Side in pixels that an overlay has at least, so that a border of one pixel hides little."""

_MIRRORED = Crop(left=0, top=0, width=1, height=1, flip=True)


def overlay(
    modality: Modality, value: Value, rendering: Rendering, photograph: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "a b 3"] | None:
    """The photograph with a label's lines on it; None where the label is no drawing in the image's frame.

    Args:
        rendering: The label as its modality renders it.
        photograph: The image of the sample, inside the same crop.
    """
    if isinstance(rendering, str):
        return None
    if isinstance(modality.layout, Dense):
        if not modality.is_discrete:
            return None
        return _with_lines(photograph, [value], fills=not modality.layout.categorical)
    if isinstance(value, np.ndarray) and value.dtype == bool and value.ndim == 3:
        return _with_lines(photograph, list(value), fills=False) if len(value) else None
    if isinstance(modality, SequenceModality) and is_in_frame(modality, value, rendering):
        return _with_drawing(photograph, rendering)
    return None


def is_in_frame(modality: Modality, value: Value, rendering: Rendering) -> bool:
    """True for a picture whose parts lie where they lie in the image: it changes when the image is mirrored."""
    if isinstance(modality.layout, Dense):
        return True
    if isinstance(rendering, str) or rendering.shape[0] != rendering.shape[1]:
        return False
    mirrored: Any = modality.render(modality.transform(value, _MIRRORED))
    return bool(np.shape(mirrored) != rendering.shape or (mirrored != rendering).any())


def borders(labels: UInt8[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """True where the next pixel to the right or below has another label."""
    edges: Bool[np.ndarray, "h w"] = np.zeros(labels.shape, dtype=bool)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def _with_lines(
    photograph: UInt8[np.ndarray, "h w 3"], layers: list[Any], *, fills: bool
) -> UInt8[np.ndarray, "a b 3"]:
    """The photograph with the borders of label maps, or with all pixels of maps that hold lines themselves."""
    side = max(MIN_SIDE, *photograph.shape[:2], *layers[0].shape)
    picture = np.array(render_tile(photograph, side))
    for layer in layers:
        rows = (np.arange(side) * layer.shape[0]) // side
        columns = (np.arange(side) * layer.shape[1]) // side
        enlarged = layer[rows[:, None], columns[None]]
        picture[enlarged > 0 if fills else borders(enlarged)] = LINE_COLOR
    return picture


def _with_drawing(
    photograph: UInt8[np.ndarray, "h w 3"], rendering: UInt8[np.ndarray, "a b 3"]
) -> UInt8[np.ndarray, "c d 3"]:
    """The photograph under a drawing, whose commonest colour is its ground and shows nothing."""
    side = max(MIN_SIDE, *rendering.shape[:2])
    drawing, picture = np.array(render_tile(rendering, side)), np.array(render_tile(photograph, side))
    colors, counts = np.unique(drawing.reshape(-1, 3), axis=0, return_counts=True)
    is_line = (drawing != colors[counts.argmax()]).any(-1)
    picture[is_line] = drawing[is_line]
    return picture
