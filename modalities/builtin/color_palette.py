"""Colour palettes: the image's leading colours, spelled ``v1=k v0=r v0=g v0=b ...``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchmetrics import MetricCollection

from modalities.decoding import sequence_decoding
from modalities.errors import DataError
from modalities.kinds.sequences import RecordModality, TokenReader, require_list
from modalities.labellers.palette import MAX_COLORS
from modalities.layouts import KeepScheme, Text
from modalities.metrics.text import palette_metrics
from modalities.spec import Crop
from modalities.tokenizer_specs import WordPiece
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import coordinate_token

Color = tuple[int, int, int]

_SWATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class ColorPalette(RecordModality):
    """Leading colours. A value is a tuple of one to seven (r, g, b), 0..255, the commonest first."""

    def to_json(self, value: Sequence[Color]) -> Any:
        """A list of [r, g, b]."""
        return [list(color) for color in value]

    def from_json(self, data: Any) -> tuple[Color, ...]:
        """The colours of such a list."""
        rows = require_list(data)
        if any(int(level) != level for row in rows for level in row):
            raise ValueError(f"levels of colours are whole numbers 0 to 255, found {data}")
        colors = _to_colors(rows)
        if len(colors) > MAX_COLORS or any(not 0 <= level <= 255 for color in colors for level in color):
            raise ValueError(f"a palette has at most {MAX_COLORS} colours of levels 0 to 255, found {data}")
        return colors

    @property
    def value_spec(self) -> ValueSpec:
        """Colours in levels."""
        return ValueSpec(
            type="tuple of (r, g, b)",
            unit=f"1 to {MAX_COLORS} colours, the commonest first, in whole sRGB levels",
            low=0,
            high=255,
            files=".json: a list of [r, g, b]",
        )

    def check(self, value: Any, origin: str) -> tuple[Color, ...]:
        """One to seven colours of whole levels."""
        try:
            colors = self.from_json(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{origin} does not hold a palette: {error}, expected {self.value_spec}.") from error
        if not colors:
            raise DataError(f"{origin} has no colours, expected {self.value_spec}.")
        return colors

    @property
    def is_flip_invariant(self) -> bool:
        """True: colours have no place."""
        return True

    def transform(self, value: Sequence[Color], crop: Crop) -> tuple[Color, ...]:
        """The same colours: a palette is the whole image's."""
        return tuple(value)

    def serialize(
        self, value: Sequence[Color], rng: np.random.Generator, codes: NDArray[np.int64] | None = None
    ) -> str:
        """As many of the leading colours as ``rng`` draws, each number of them as likely."""
        if not value:
            return ""
        return palette_tokens(value[: int(rng.integers(1, min(len(value), MAX_COLORS) + 1))])

    def elements(self, text: str) -> list[str]:
        """One colour each, without their count."""
        levels = text.split()[1:]
        return [" ".join(levels[start : start + 3]) for start in range(0, len(levels), 3)]

    def join_elements(self, elements: Sequence[str]) -> str:
        """The colours after their count."""
        return " ".join([coordinate_token(1, len(elements)), *elements])

    def parse(self, text: str) -> Parsed:
        """The colours that are there in full, as many as announced at most."""
        reader = TokenReader(text)
        count_token = reader.read_coordinates(1)
        declared_count = count_token[0] if count_token else MAX_COLORS
        colors: list[Color] = []
        while len(colors) < min(declared_count, MAX_COLORS) and (found := reader.read_coordinates(0, 0, 0)):
            colors.append((min(found[0], 255), min(found[1], 255), min(found[2], 255)))
        is_complete = (
            count_token is not None
            and 1 <= declared_count <= MAX_COLORS
            and len(colors) == declared_count
            and reader.at_end
        )
        return Parsed(value=tuple(colors), well_formed=is_complete and palette_tokens(colors) == " ".join(text.split()))

    def render(self, value: Sequence[Color]) -> NDArray[np.uint8]:
        """One square for each colour, side by side."""
        row = np.array(value or [(255, 255, 255)], dtype=np.uint8)[None]
        return np.repeat(np.repeat(row, _SWATCH_SIZE, axis=0), _SWATCH_SIZE, axis=1)

    def metrics(self) -> MetricCollection:
        """Mean colour difference."""
        return palette_metrics()

    def constant_baseline(self, values: Sequence[Sequence[Color]]) -> tuple[Color, ...]:
        """The mean colour of each place, over the palettes that reach it, as far as half of them do."""
        guess: list[Color] = []
        for rank in range(MAX_COLORS):
            colors = [palette[rank] for palette in values if len(palette) > rank]
            if 2 * len(colors) < len(values) or not colors:
                break
            guess += _to_colors([np.round(np.mean(colors, axis=0))])
        return tuple(guess)


def palette_tokens(colors: Sequence[Color]) -> str:
    """A palette as text."""
    levels = [coordinate_token(0, level) for color in colors for level in color]
    return " ".join([coordinate_token(1, len(colors)), *levels])


def _to_colors(rows: Any) -> tuple[Color, ...]:
    return tuple((int(red), int(green), int(blue)) for red, green, blue in rows)


MODALITY = ColorPalette(
    name="color_palette",
    title="Colour palette",
    layout=Text(max_tokens=23, keep=KeepScheme.binary),
    tokenizer=WordPiece(),
    labeller="PyPalette",
    decoding=sequence_decoding(order=34, temperature="0.1"),
    aliases=("palette",),
)
