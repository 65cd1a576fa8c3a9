"""Numbers, units and modalities as text, for the page and for the terminal alike."""

import math
from typing import assert_never

from modalities.layouts import Dense, Embeddings, Text, Vector
from modalities.metrics.base import FRACTION
from modalities.spec import Modality, learned_tokenizer


def format_number(value: float | None, unit: str = "") -> str:
    """A value with three significant digits; a dash where it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == FRACTION:
        return f"{100 * value:.1f} %"
    if value == 0 or 0.001 <= abs(value) < 10000:
        digits = 2 - math.floor(math.log10(abs(value))) if value else 0
        return f"{value:.{min(max(digits, 0), 4)}f}"
    return f"{value:.2e}"


def format_percent(fraction: float | None) -> str:
    """A fraction as whole percent; a dash where it is missing or not finite."""
    if fraction is None or not math.isfinite(fraction):
        return "–"
    whole = round(100 * fraction)
    return f"{whole} %" if whole >= 0 else f"−{-whole} %"


def format_signed(value: float, unit: str = "") -> str:
    """A difference with its sign; differences of fractions in percentage points."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * abs(value):.1f} pp" if unit == FRACTION else format_number(abs(value))
    return f"{'+' if value >= 0 else '−'}{text}"


def format_duration(seconds: float) -> str:
    """A time span, as in ``4.2 s``, ``12 min 05 s`` or ``2 h 07 min``; a dash where it is not finite."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def unit_suffix(title: str, unit: str) -> str:
    """The unit behind a space; empty where the number or the metric's title shows it already."""
    return "" if unit in (FRACTION, "") or unit.lower() == title.lower() else f" {unit}"


def direction_arrow(*, higher_is_better: bool) -> str:
    """The direction of better values."""
    return "↑" if higher_is_better else "↓"


def title_without_proxy(modality: Modality) -> str:
    """A modality's title without the mark of a proxy, which rows carry as a flag."""
    return modality.title.removesuffix(" (proxy)")


def describe_tokens(modality: Modality) -> str:
    """Number of a modality's tokens and size of their vocabulary."""
    part = learned_tokenizer(modality)
    match modality.layout:
        case Dense() | Vector() as layout:
            vocab_size = part.tokenizer.vocab_size if part else 0
            return f"{layout.num_tokens} of {vocab_size:,}"
        case Text() as layout:
            codes = f", codes of {part.tokenizer.vocab_size:,}" if part else ""
            return f"up to {layout.max_tokens}, text{codes}"
        case Embeddings() as layout:
            return f"up to {layout.max_tokens} vectors"
        case _:
            assert_never(modality.layout)
