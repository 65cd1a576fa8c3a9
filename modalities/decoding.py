"""Published settings by which each modality is generated: facts of the modality, which `networks.generation` reads.

Source: the released demonstrations of 4M-21 (arXiv:2406.09406).
"""

from dataclasses import dataclass

LAST = 100
"""Place in the order of generation of a modality that says nothing about it."""


@dataclass(frozen=True, kw_only=True)
class DecodingDefaults:
    """Default decoding of one modality, and its order in a chain of targets."""

    order: int = LAST
    """Place in a chain of targets, lowest first: features from 0, maps from 10, the image at 20, texts from 30."""
    temperature: str
    """A number, or a schedule over the steps: ``onex:START:FLOOR:POWER``."""
    steps: int = 1
    """Steps of a grid; sequences are generated token by token."""
    guidance: float = 1.0
    """Weight of classifier-free guidance; 1 is without."""
    top_p: float = 0.8
    """Probability that the most likely tokens, among which one is drawn, reach together."""


def feature_decoding(order: int = LAST) -> DecodingDefaults:
    """The published settings of feature maps and vectors."""
    return DecodingDefaults(order=order, temperature="0.01", steps=8, guidance=2.0)


def map_decoding(order: int = LAST) -> DecodingDefaults:
    """The published settings of maps on pixels; also those of grids that say nothing about it."""
    return DecodingDefaults(order=order, temperature="onex:3:0.5:0.5", steps=8, guidance=2.0)


def sequence_decoding(order: int = LAST, temperature: str = "0.3") -> DecodingDefaults:
    """The published settings of texts; also those of sequences that say nothing about it."""
    return DecodingDefaults(order=order, temperature=temperature)
