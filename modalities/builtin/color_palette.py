"""Colour palettes: the image's leading colours, spelled ``v1=k v0=r v0=g v0=b ...``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modalities.labellers.palette import palette
from modalities.sequence_metrics import palette_measures
from modalities.sequences import Reader, RecordModality
from modalities.spec import Keep, Measure, Parsed, Text, View, WordPiece
from modalities.text import coordinate

if TYPE_CHECKING:
    from modalities.scene import Scene

MOST = 7
"""Most colours of a palette."""

Color = tuple[int, int, int]

_SWATCH = 64


@dataclass(frozen=True, kw_only=True)
class ColorPalette(RecordModality):
    """Leading colours. A value is a tuple of one to seven (r, g, b), 0..255, the commonest first."""

    def look(self, scene: "Scene") -> tuple[Color, ...]:
        """The seven leading colours of the scene's picture."""
        return _colors(palette(scene.rgb, MOST))

    def to_json(self, value: Sequence[Color]) -> Any:
        """A list of [r, g, b]."""
        return [list(color) for color in value]

    def from_json(self, data: Any) -> tuple[Color, ...]:
        """The colours of such a list."""
        colors = _colors(data)
        if len(colors) > MOST or any(not 0 <= level <= 255 for color in colors for level in color):
            raise ValueError(f"a palette has at most {MOST} colours of levels 0 to 255, found {data}")
        return colors

    def augment(self, value: Sequence[Color], view: View) -> tuple[Color, ...]:
        """The same colours: a palette is the whole image's."""
        return tuple(value)

    def serialise(
        self, value: Sequence[Color], rng: np.random.Generator, codes: NDArray[np.int64] | None = None
    ) -> str:
        """As many of the leading colours as ``rng`` draws, each number of them as likely."""
        if not value:
            return ""
        return spell(value[: int(rng.integers(1, min(len(value), MOST) + 1))])

    def parse(self, text: str) -> Parsed:
        """The colours that are there in full, as many as announced at most."""
        reader = Reader(text)
        head = reader.coordinates(1)
        announced = head[0] if head else MOST
        colors: list[Color] = []
        while len(colors) < min(announced, MOST) and (found := reader.coordinates(0, 0, 0)):
            colors.append((min(found[0], 255), min(found[1], 255), min(found[2], 255)))
        is_whole = head is not None and 1 <= announced <= MOST and len(colors) == announced and reader.at_end
        return Parsed(value=tuple(colors), well_formed=is_whole and spell(colors) == " ".join(text.split()))

    def draw(self, value: Sequence[Color]) -> NDArray[np.uint8]:
        """One square for each colour, side by side."""
        row = np.array(value or [(255, 255, 255)], dtype=np.uint8)[None]
        return np.repeat(np.repeat(row, _SWATCH, axis=0), _SWATCH, axis=1)

    def metrics(self) -> dict[str, Measure]:
        """Mean colour difference."""
        return palette_measures()

    def typical(self, values: Sequence[Sequence[Color]]) -> tuple[Color, ...]:
        """The mean colour of each place, over the palettes that reach it, as far as half of them do."""
        guess: list[Color] = []
        for place in range(MOST):
            colors = [palette[place] for palette in values if len(palette) > place]
            if 2 * len(colors) < len(values) or not colors:
                break
            guess += _colors([np.round(np.mean(colors, axis=0))])
        return tuple(guess)


def spell(colors: Sequence[Color]) -> str:
    """Return a palette as text."""
    levels = [coordinate(0, level) for color in colors for level in color]
    return " ".join([coordinate(1, len(colors)), *levels])


def _colors(rows: Any) -> tuple[Color, ...]:
    return tuple((int(red), int(green), int(blue)) for red, green, blue in rows)


MODALITY = ColorPalette(
    name="color_palette",
    title="Colour palette",
    layout=Text(max_tokens=23, keep=Keep.binary),
    tokenizer=WordPiece(),
    labeller="PyPalette",
)
