"""Plots as inline SVG without scripts; the page's style sheet sets the colors, light and dark."""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evaluation.report.formats import format_duration, format_number

AxisScale: TypeAlias = Callable[[float], float]
"""Maps a value to a coordinate of the plot."""

NUM_COLORS = 6
"""Colors of arms; they repeat beyond this number."""


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """One line of a dot plot: a label, and the values of each arm by seed."""

    label: str
    note: str = ""
    """Text at the right end."""
    arms: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One curve."""

    arm: int
    points: tuple[tuple[float, float], ...]
    is_faint: bool = False
    """True for context, such as the training loss behind the validation loss."""


@dataclass(frozen=True, kw_only=True)
class TimeBar:
    """One bar of a timeline, in seconds."""

    label: str
    start: float
    seconds: float
    color: int


def dot_plot(
    lines: Sequence[DotRow], *, low: float, high: float, ticks: Sequence[tuple[float, str]], title: str
) -> str:
    """Draw the values of each arm on a common axis: a large dot for the mean, small ones for seeds."""
    left, right, width, step, top = 220, 140, 900, 30 if len(lines) < 12 else 25, 26
    height = top + step * len(lines) + 30
    span = width - left - right

    def x(value: float) -> float:
        return left + span * (min(max(value, low), high) - low) / (high - low)

    parts = [_svg_header(width, height, title)]
    for value, label in ticks:
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top - 6}" y2="{height - 26}"/>')
        parts.append(
            f'<text class="tick" x="{x(value):.1f}" y="{height - 8}" text-anchor="middle">{_escape(label)}</text>'
        )
    for position, line in enumerate(lines):
        y = top + step * position + step / 2
        parts.append(f'<line class="rail" x1="{left}" x2="{width - right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="label" x="{left - 14}" y="{y + 4}" text-anchor="end">{_escape(line.label)}</text>')
        parts.append(f'<text class="note" x="{width - right + 14}" y="{y + 4}">{_escape(line.note)}</text>')
        count = len(line.arms)
        for arm, values in enumerate(line.arms):
            parts += _dots(values, arm, y + (arm - (count - 1) / 2) * 9, x)
    return "".join([*parts, "</svg>"])


def line_plot(lines: Sequence[Curve], *, title: str, x_label: str, y_label: str) -> str:
    """Draw curves on common axes; an empty string without finite points."""
    points = [point for line in lines for point in line.points if all(map(math.isfinite, point))]
    if not points:
        return ""
    left, right, top, bottom, width, height = 54, 16, 14, 44, 900, 300
    x_low, x_high = min(point[0] for point in points), max(point[0] for point in points)
    ordered = sorted(point[1] for point in points)
    # The first steps are far above all others; cutting them keeps the rest legible.
    y_low, y_high = ordered[0], ordered[min(int(0.985 * len(ordered)), len(ordered) - 1)]
    y_low, y_high = y_low - 0.04 * (y_high - y_low), y_high + 0.02 * (y_high - y_low) + 1e-9

    def x(value: float) -> float:
        return left + (width - left - right) * (value - x_low) / max(x_high - x_low, 1e-9)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - (min(value, y_high) - y_low) / (y_high - y_low))

    parts = [_svg_header(width, height, title)]
    for value in _ticks(y_low, y_high):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{format_number(value)}</text>'
        )
    parts += [
        f'<text class="tick" x="{x(value):.1f}" y="{height - 24}" text-anchor="middle">{value:,.0f}</text>'
        for value in _ticks(x_low, x_high)
    ]
    middle = left + (width - left - right) / 2
    parts.append(f'<text class="note" x="{middle}" y="{height - 5}" text-anchor="middle">{_escape(x_label)}</text>')
    parts.append(f'<text class="note" x="{left + 6}" y="{top + 8}">{_escape(y_label)}</text>')
    for line in lines:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line.points if math.isfinite(a) and math.isfinite(b))
        faint = " faint" if line.is_faint else ""
        parts.append(f'<polyline class="curve arm{line.arm % NUM_COLORS}{faint}" points="{path}"/>')
    return "".join([*parts, "</svg>"])


def timeline_plot(spans: Sequence[TimeBar], *, title: str) -> str:
    """Draw bars over time, one line each, in order of their start; an empty string without bars."""
    if not spans:
        return ""
    left, right, width, step, top = 260, 80, 900, 20, 6
    begin, end = min(span.start for span in spans), max(span.start + span.seconds for span in spans)
    height = top + step * len(spans) + 26

    def x(value: float) -> float:
        return left + (width - left - right) * (value - begin) / max(end - begin, 1e-9)

    parts = [_svg_header(width, height, title)]
    for value in _ticks(0, end - begin):
        position = x(begin + value)
        parts.append(f'<line class="grid" x1="{position:.1f}" x2="{position:.1f}" y1="{top}" y2="{height - 22}"/>')
        label = format_duration(value)
        parts.append(f'<text class="tick" x="{position:.1f}" y="{height - 6}" text-anchor="middle">{label}</text>')
    for position, span in enumerate(sorted(spans, key=lambda item: item.start)):
        y = top + step * position
        wide = max(x(span.start + span.seconds) - x(span.start), 2.0)
        parts.append(
            f'<text class="label small" x="{left - 12}" y="{y + 14}" text-anchor="end">{_escape(span.label)}</text>'
        )
        parts.append(
            f'<rect class="bar tone{span.color % NUM_COLORS}" x="{x(span.start):.1f}" y="{y + 4}"'
            f' width="{wide:.1f}" height="{step - 8}" rx="3"/>'
        )
        after = x(span.start) + wide + 6
        parts.append(f'<text class="tick" x="{after:.1f}" y="{y + 14}">{format_duration(span.seconds)}</text>')
    return "".join([*parts, "</svg>"])


def downsample(points: Sequence[tuple[float, float]], max_count: int = 160) -> tuple[tuple[float, float], ...]:
    """At most ``max_count`` points, each the mean of consecutive finite points."""
    known = [point for point in points if all(map(math.isfinite, point))]
    run = max(1, math.ceil(len(known) / max_count))
    runs = [known[start : start + run] for start in range(0, len(known), run)]
    return tuple((sum(a for a, _ in part) / len(part), sum(b for _, b in part) / len(part)) for part in runs)


def _dots(values: Sequence[float], arm: int, y: float, x: AxisScale) -> list[str]:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return []
    color = f"arm{arm % NUM_COLORS}"
    low, high, mean = x(min(known)), x(max(known)), x(sum(known) / len(known))
    parts = [f'<line class="whisker {color}" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>']
    parts += [f'<circle class="seed {color}" cx="{x(value):.1f}" cy="{y}" r="2.6"/>' for value in known]
    return [*parts, f'<circle class="mean {color}" cx="{mean:.1f}" cy="{y}" r="5"/>']


def _ticks(low: float, high: float, max_count: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``max_count`` of them."""
    raw = (high - low) / max_count
    if not (math.isfinite(raw) and raw > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [position * step for position in range(first, math.floor(high / step + 1e-9) + 1)]


def _svg_header(width: int, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_escape(title)}"'
        ' xmlns="http://www.w3.org/2000/svg">'
    )


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
