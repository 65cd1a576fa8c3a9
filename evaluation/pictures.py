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
from evaluation.crossentropy import input_stream, on_device
from evaluation.decoding import decode_dense, decode_sequences, is_dense
from evaluation.files import atomic_write_text, read_json
from evaluation.held_out import Codec, EvalSplit
from evaluation.tables import title_without_proxy
from evaluation.transfer import predict_values
from modalities.errors import DataError
from modalities.spec import Modality
from networks.devices import module_device
from networks.fourm import FourM
from networks.masking import select

Rendering: TypeAlias = NDArray[np.uint8] | str
"""A picture (h, w, 3), or a text."""

TILE_SIZE = 128
"""Side of one picture on a sheet, in pixels."""
_MARGIN, _HEADER_HEIGHT, _FONT_SIZE, _MIN_FONT_SIZE = 10, 30, 12, 8
_BACKGROUND, _TEXT_COLOR, _MUTED_COLOR = (255, 255, 255), (28, 30, 36), (120, 124, 134)


@dataclass(frozen=True, kw_only=True)
class ContactSheet:
    """Drawings in rows and columns."""

    title: str
    note: str = ""
    """What a reader must know, as that the labels are stand-ins for an expert's."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Rendering, ...], ...]

    def image(self, side: int = TILE_SIZE) -> Image.Image:
        """The sheet as one picture."""
        width = _MARGIN + len(self.columns) * (side + _MARGIN)
        height = 2 * _HEADER_HEIGHT + len(self.rows) * (side + _MARGIN) + _MARGIN
        sheet = Image.new("RGB", (width, height), _BACKGROUND)
        canvas = ImageDraw.Draw(sheet)
        canvas.text((_MARGIN, 8), f"{self.title}  {self.note}".strip(), fill=_TEXT_COLOR, font=_font(15))
        for column, title in enumerate(self.columns):
            x = _MARGIN + column * (side + _MARGIN)
            canvas.text(
                (x, _HEADER_HEIGHT + 10), title, fill=_MUTED_COLOR, font=_font_to_fit(title, side + _MARGIN // 2)
            )
            for row, drawings in enumerate(self.rows):
                sheet.paste(render_tile(drawings[column], side), (x, 2 * _HEADER_HEIGHT + row * (side + _MARGIN)))
        return sheet


def render_tile(rendering: Rendering, side: int = TILE_SIZE) -> Image.Image:
    """A drawing at a given size: pixels stay sharp when enlarged, texts are wrapped."""
    if isinstance(rendering, str):
        return _text_tile(rendering, side)
    picture = Image.fromarray(rendering)
    enlarged = max(picture.size) <= side
    return picture.resize((side, side), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def encode_png(picture: Image.Image | NDArray[np.uint8]) -> bytes:
    """A picture as a PNG file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def render_predictions(codec: Codec, predictions: Mapping[str, Sequence[Any]]) -> dict[str, list[Rendering]]:
    """Predictions by route, as drawings."""
    return {
        name: [render_value(codec.modalities[name.rpartition("->")[2]], value) for value in values]
        for name, values in predictions.items()
    }


def render_value(modality: Modality, value: Any) -> Rendering:
    """A value as its modality draws it."""
    rendering = modality.render(value)
    return rendering if isinstance(rendering, str) else np.ascontiguousarray(rendering, dtype=np.uint8)


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
        values, _ = predict_values(model, codec, context, target, config)
        titles += [modality.title, "predicted"]
        columns += [_render_truth(codec, held_out, target, count), [render_value(modality, value) for value in values]]
    model.train(was_training)
    return ContactSheet(title=f"{codec.modalities[source].title} to", columns=tuple(titles), rows=_rows(columns))


def render_round_trip(codec: Codec, held_out: EvalSplit, name: str, count: int) -> list[Rendering]:
    """The first samples as their own tokens tell them."""
    column = held_out.tokens.read(np.arange(count), [name])[name]
    if is_dense(codec, name):
        values = decode_dense(codec, name, column.values.flatten(1))
    else:
        ids = [row[:length].tolist() for row, length in zip(column.values, column.lengths.tolist(), strict=True)]
        values = decode_sequences(codec, name, ids).values
    return [render_value(codec.modalities[name], value) for value in values]


def write_renderings(path: Path, drawings: Mapping[str, Sequence[Rendering]]) -> None:
    """Write drawings by route as JSON: pictures as PNG in base 64, texts as they are.

    Raises:
        DataError: The file cannot be written.
    """
    plain = {name: [rendering_to_json(item) for item in items] for name, items in drawings.items()}
    atomic_write_text(path, json.dumps(plain) + "\n")


def read_renderings(path: Path) -> dict[str, list[Rendering]]:
    """What `write_drawings` wrote.

    Raises:
        DataError: The file is missing or is something else.
    """
    content = read_json(path)
    try:
        return {name: [rendering_from_json(item) for item in items] for name, items in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path} does not hold drawings: {error}.") from error


def rendering_to_json(rendering: Rendering) -> dict[str, str]:
    """A drawing in types that JSON knows: a picture as PNG in base 64, a text as it is."""
    if isinstance(rendering, str):
        return {"text": rendering}
    return {"png": base64.b64encode(encode_png(rendering)).decode()}


def rendering_from_json(item: Mapping[str, str]) -> Rendering:
    """The drawing that `to_plain` made plain."""
    if "text" in item:
        return item["text"]
    with Image.open(io.BytesIO(base64.b64decode(item["png"]))) as picture:
        return np.array(picture.convert("RGB"))


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


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _font_to_fit(title: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font from the usual one down in which a title is no wider than that, or the smallest."""
    sizes = range(_FONT_SIZE, _MIN_FONT_SIZE, -1)
    return next((font for font in map(_font, sizes) if font.getlength(title) <= width), _font(_MIN_FONT_SIZE))


def _text_tile(text: str, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), (244, 245, 247))
    canvas = ImageDraw.Draw(image)
    size = 10
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, max(side // 5, 8)) or [""]]
    max_lines = (side - 8) // (size + 2)
    visible_lines = lines if len(lines) <= max_lines else [*lines[: max_lines - 1], "..."]
    canvas.multiline_text((5, 4), "\n".join(visible_lines), fill=_TEXT_COLOR, font=_font(size), spacing=2)
    return image
