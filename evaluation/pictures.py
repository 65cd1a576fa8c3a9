"""Pictures of what a model says: a row for each held-out sample, beside it the truth and what its tokens can say."""

import base64
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evaluation.config import EvaluationConfig
from evaluation.crossentropy import entrance_of, on_device
from evaluation.decoding import decode_dense, decode_sequences, is_dense
from evaluation.files import read_json, write_text
from evaluation.held_out import Codecs, Split
from evaluation.tables import plain_title
from evaluation.transfer import predict_values
from modalities.errors import DataError
from modalities.spec import Modality
from networks.devices import device_of
from networks.fourm import FourM
from networks.masking import select

Drawing: TypeAlias = NDArray[np.uint8] | str
"""A picture (h, w, 3), or a text."""

SIDE = 128
"""Side of one picture on a sheet, in pixels."""
_MARGIN, _HEAD, _TEXT, _LEAST = 10, 30, 12, 8
_PAPER, _INK, _FAINT = (255, 255, 255), (28, 30, 36), (120, 124, 134)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Drawings in rows and columns."""

    title: str
    note: str = ""
    """What a reader must know, as that the labels are stand-ins for an expert's."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Drawing, ...], ...]

    def image(self, side: int = SIDE) -> Image.Image:
        """The sheet as one picture."""
        width = _MARGIN + len(self.columns) * (side + _MARGIN)
        height = 2 * _HEAD + len(self.rows) * (side + _MARGIN) + _MARGIN
        sheet = Image.new("RGB", (width, height), _PAPER)
        canvas = ImageDraw.Draw(sheet)
        canvas.text((_MARGIN, 8), f"{self.title}  {self.note}".strip(), fill=_INK, font=_font(15))
        for column, title in enumerate(self.columns):
            x = _MARGIN + column * (side + _MARGIN)
            canvas.text((x, _HEAD + 10), title, fill=_FAINT, font=_fitting(title, side + _MARGIN // 2))
            for row, drawings in enumerate(self.rows):
                sheet.paste(tile(drawings[column], side), (x, 2 * _HEAD + row * (side + _MARGIN)))
        return sheet


def tile(drawing: Drawing, side: int = SIDE) -> Image.Image:
    """A drawing at a given size: pixels stay sharp when enlarged, texts are wrapped."""
    if isinstance(drawing, str):
        return _text_tile(drawing, side)
    picture = Image.fromarray(drawing)
    enlarged = max(picture.size) <= side
    return picture.resize((side, side), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def png(picture: Image.Image | NDArray[np.uint8]) -> bytes:
    """A picture as a PNG file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def drawn(codecs: Codecs, predictions: Mapping[str, Sequence[Any]]) -> dict[str, list[Drawing]]:
    """Predictions by route, as drawings."""
    return {
        name: [draw(codecs.modalities[name.rpartition("->")[2]], value) for value in values]
        for name, values in predictions.items()
    }


def draw(modality: Modality, value: Any) -> Drawing:
    """A value as its modality draws it."""
    drawing = modality.draw(value)
    return drawing if isinstance(drawing, str) else np.ascontiguousarray(drawing, dtype=np.uint8)


def sheets(
    codecs: Codecs, held_out: Split, predicted: Mapping[str, Mapping[str, Sequence[Drawing]]], config: EvaluationConfig
) -> list[Sheet]:
    """A sheet for each route that some arm was asked: the source, the truth, the round trip, and each arm's prediction.

    Predictions come by arm, then by route, as `drawn` gives them.
    """
    count = min(config.num_pictures, held_out.num_samples)
    names = list(dict.fromkeys(name for arm in predicted.values() for name in arm))
    return [_sheet(codecs, held_out, predicted, name, count) for name in names if count]


@torch.no_grad()
def validation_sheet(
    model: FourM, codecs: Codecs, held_out: Split, targets: Sequence[str], config: EvaluationConfig, source: str
) -> Sheet:
    """What a model says in the middle of its training: the source, then truth and prediction of each target."""
    was_training, device = model.training, device_of(model)
    model.eval()
    count, entrance = min(config.num_pictures, held_out.num_samples), entrance_of(model, source)
    samples = on_device(held_out.tokens.columns(np.arange(count), [entrance]), device)
    context = model.encode(select(samples, model.streams, inputs=[entrance], targets=[]))
    titles, columns = [codecs.modalities[source].title], [_truth(codecs, held_out, source, count)]
    for target in targets:
        modality = codecs.modalities[target]
        values, _ = predict_values(model, codecs, context, target, config)
        titles += [modality.title, "predicted"]
        columns += [_truth(codecs, held_out, target, count), [draw(modality, value) for value in values]]
    model.train(was_training)
    return Sheet(title=f"{codecs.modalities[source].title} to", columns=tuple(titles), rows=_rows(columns))


def round_trip_drawings(codecs: Codecs, held_out: Split, name: str, count: int) -> list[Drawing]:
    """The first samples as their own tokens tell them."""
    column = held_out.tokens.columns(np.arange(count), [name])[name]
    if is_dense(codecs, name):
        values = decode_dense(codecs, name, column.values.flatten(1))
    else:
        ids = [row[:length].tolist() for row, length in zip(column.values, column.lengths.tolist(), strict=True)]
        values = decode_sequences(codecs, name, ids).values
    return [draw(codecs.modalities[name], value) for value in values]


def write_drawings(path: Path, drawings: Mapping[str, Sequence[Drawing]]) -> None:
    """Write drawings by route as JSON: pictures as PNG in base 64, texts as they are.

    Raises:
        DataError: The file cannot be written.
    """
    plain = {name: [to_plain(item) for item in items] for name, items in drawings.items()}
    write_text(path, json.dumps(plain) + "\n")


def read_drawings(path: Path) -> dict[str, list[Drawing]]:
    """What `write_drawings` wrote.

    Raises:
        DataError: The file is missing or is something else.
    """
    content = read_json(path)
    try:
        return {name: [from_plain(item) for item in items] for name, items in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path} does not hold drawings: {error}.") from error


def to_plain(drawing: Drawing) -> dict[str, str]:
    """A drawing in types that JSON knows: a picture as PNG in base 64, a text as it is."""
    if isinstance(drawing, str):
        return {"text": drawing}
    return {"png": base64.b64encode(png(drawing)).decode()}


def from_plain(item: Mapping[str, str]) -> Drawing:
    """The drawing that `to_plain` made plain."""
    if "text" in item:
        return item["text"]
    with Image.open(io.BytesIO(base64.b64decode(item["png"]))) as picture:
        return np.array(picture.convert("RGB"))


def _sheet(
    codecs: Codecs,
    held_out: Split,
    predicted: Mapping[str, Mapping[str, Sequence[Drawing]]],
    name: str,
    count: int,
) -> Sheet:
    source, *between, target = name.split("->")
    arms = [arm for arm, found in predicted.items() if found.get(name)]
    columns = [_truth(codecs, held_out, item, count) for item in dict.fromkeys((source, target))]
    titles = [codecs.modalities[source].title, "truth"][: len(columns)]
    columns.append(round_trip_drawings(codecs, held_out, target, count))
    columns += [list(predicted[arm][name]) for arm in arms]
    other = codecs.modalities[target]
    return Sheet(
        title=" to ".join(plain_title(codecs.modalities[item]) for item in (source, *between, target)),
        note="" if other.provenance.value == "exact" else f"({other.provenance.value} labels)",
        columns=(*titles, "tokenizer", *arms),
        rows=_rows(columns),
    )


def _truth(codecs: Codecs, held_out: Split, name: str, count: int) -> list[Drawing]:
    return [draw(codecs.modalities[name], value) for value in held_out.first(name, count)]


def _rows(columns: Sequence[Sequence[Drawing]]) -> tuple[tuple[Drawing, ...], ...]:
    return tuple(zip(*columns, strict=False))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitting(title: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font from the usual one down in which a title is no wider than that, or the smallest."""
    sizes = range(_TEXT, _LEAST, -1)
    return next((font for font in map(_font, sizes) if font.getlength(title) <= width), _font(_LEAST))


def _text_tile(text: str, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), (244, 245, 247))
    canvas = ImageDraw.Draw(image)
    size = 10
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, max(side // 5, 8)) or [""]]
    room = (side - 8) // (size + 2)
    shown = lines if len(lines) <= room else [*lines[: room - 1], "..."]
    canvas.multiline_text((5, 4), "\n".join(shown), fill=_INK, font=_font(size), spacing=2)
    return image
