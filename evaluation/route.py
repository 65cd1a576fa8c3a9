"""Subject of a score: a route between modalities, hidden tokens, a tokenizer's round trip, or retrieval."""

from dataclasses import dataclass
from typing import TypeAlias

ARROW = "->"
RETRIEVAL = "retrieval"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Prediction of a whole modality from another whole modality."""

    source: str
    """Modality that the encoder sees."""
    via: tuple[str, ...] = ()
    """Modalities that are generated in between, in this order; the encoder sees them too."""
    target: str
    """Modality that is predicted."""

    def __str__(self) -> str:
        return ARROW.join(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Source, intermediate modalities and target, in their order."""
        return (self.source, *self.via, self.target)

    @property
    def direct(self) -> "Route":
        """The route from the same source to the same target without a detour."""
        return Route(source=self.source, target=self.target)

    @classmethod
    def parse(cls, text: str) -> "Route":
        """The route that `str` printed, as in ``rgb->depth`` or ``rgb->normals->depth``.

        Raises:
            ValueError: The text names fewer than two modalities.
        """
        source, *rest = text.split(ARROW)
        if not rest or not all((source, *rest)):
            raise ValueError(f"{text!r} is not a route such as 'rgb->depth'")
        return cls(source=source, via=tuple(rest[:-1]), target=rest[-1])


@dataclass(frozen=True, kw_only=True)
class MaskedTokens:
    """Prediction of hidden tokens of one modality from random visible tokens of all modalities that every arm has."""

    target: str

    def __str__(self) -> str:
        return "masked"


@dataclass(frozen=True, kw_only=True)
class TokenizerRoundTrip:
    """Reconstruction of a modality from its own tokens."""

    target: str

    def __str__(self) -> str:
        return "tokenizer"


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Search for the sample that a query belongs to, in a gallery of samples."""

    space: str
    """Space in which query and gallery are compared."""
    query: tuple[str, ...]
    """Modalities that form one query."""
    gallery: tuple[str, ...]
    """Modalities that form one entry of the gallery."""
    share: float = 1.0
    """Share of the query's patches that is shown."""

    def __str__(self) -> str:
        part = "" if self.share == 1 else f":{self.share:g}"
        return f"{RETRIEVAL}:{self.space}:{'+'.join(self.query)}{part}{ARROW}{self.target}"

    @property
    def target(self) -> str:
        """The gallery's modalities, joined by ``+``."""
        return "+".join(self.gallery)

    @classmethod
    def parse(cls, text: str) -> "Retrieval":
        """The retrieval that `str` printed, as in ``retrieval:encoder:caption+depth:0.5->rgb``.

        Raises:
            ValueError: The text is something else.
        """
        head, arrow, gallery = text.partition(ARROW)
        parts = head.split(":")
        if not arrow or not gallery or parts[0] != RETRIEVAL or len(parts) not in (3, 4) or not all(parts):
            raise ValueError(f"{text!r} is no retrieval such as '{RETRIEVAL}:encoder:caption->rgb'")
        share = float(parts[3]) if len(parts) == 4 else 1.0
        return cls(space=parts[1], query=tuple(parts[2].split("+")), gallery=tuple(gallery.split("+")), share=share)


AnyRoute: TypeAlias = Route | MaskedTokens | TokenizerRoundTrip | Retrieval
"""Everything that a score can be about; `str` gives the text that files and tables show."""


def parse_route(text: str, target: str) -> AnyRoute:
    """The route whose text and target a file holds.

    Raises:
        ValueError: The text is no route, or leads to another target.
    """
    for other in (MaskedTokens(target=target), TokenizerRoundTrip(target=target)):
        if text == str(other):
            return other
    route = Retrieval.parse(text) if text.startswith(f"{RETRIEVAL}:") else Route.parse(text)
    if route.target != target:
        raise ValueError(f"route {text!r} does not lead to {target!r}")
    return route
