"""Pictures of values, and sheets of them."""

import base64
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from modalities.errors import DataError
from modalities.spec import Modality
from modalities.storage.atomic import atomic_write_text, read_json

Rendering: TypeAlias = NDArray[np.uint8] | str
"""A picture (h, w, 3), or a text."""


MISSING = "(missing)"
"""Stands for the picture of a value that a sample lacks."""

TILE_SIZE = 128
"""Side of one picture on a sheet, in pixels."""


_MARGIN, _HEADER_HEIGHT, _FONT_SIZE, _MIN_FONT_SIZE = 10, 30, 12, 8


_BACKGROUND, _TEXT_COLOR, _MUTED_COLOR = (255, 255, 255), (28, 30, 36), (120, 124, 134)


@dataclass(frozen=True, kw_only=True)
class ContactSheet:
    """Drawings in rows and columns."""

    title: str
    note: str = ""
    """A caution for the reader, such as that labels are stand-ins for an expert's."""
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


def render_value(modality: Modality, value: Any) -> Rendering:
    """A value as its modality draws it; `MISSING` for None."""
    if value is None:
        return MISSING
    rendering = modality.render(value)
    return rendering if isinstance(rendering, str) else np.ascontiguousarray(rendering, dtype=np.uint8)


def write_renderings(path: Path, drawings: Mapping[str, Sequence[Rendering]]) -> None:
    """Write drawings by route as JSON: pictures as PNG in base 64, texts as they are.

    Raises:
        DataError: The file cannot be written.
    """
    plain = {name: [rendering_to_json(item) for item in items] for name, items in drawings.items()}
    atomic_write_text(path, json.dumps(plain) + "\n")


def read_renderings(path: Path) -> dict[str, list[Rendering]]:
    """The renderings that `write_renderings` wrote.

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
