"""The report of an ablation: one page that needs no other file and no network, and the same tables for a terminal."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import RenderableType

from evaluation.files import write_text
from evaluation.pictures import SIDE, Drawing, Sheet, png, tile
from evaluation.plots import (
    NUM_COLORS,
    Dots,
    Line,
    Span,
    dot_plot,
    duration,
    line_plot,
    smooth,
    time_line,
)
from evaluation.records import CROSS_ENTROPY, MASKED, ROUND_TRIP, Score, route
from evaluation.statistics import Summary, Verdict
from evaluation.tables import (
    FigureRow,
    arrow,
    figure_rows,
    headline_rows,
    metric_title,
    modality_rows,
    number,
    percent,
    signed,
    spaced,
    terminal,
)
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class History:
    """One curve of one training run."""

    arm: str
    seed: int
    name: str
    """``train`` or ``val``."""
    points: tuple[tuple[float, float], ...]
    """Step and loss."""


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """What a tokenizer's card says, for the report."""

    name: str
    members: tuple[str, ...]
    vocab: int
    num_tokens: int
    used: float
    """Share of the codes that held-out data uses."""
    perplexity: float
    steps: int = 0
    provenance: str = ""

    @property
    def is_low(self) -> bool:
        """True where under a tenth of the codes are used."""
        return self.used < 0.1


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """How long one stage took."""

    kind: str
    name: str
    start: float
    """In seconds, on any clock that the stages share."""
    seconds: float
    reused: bool = False
    """True where an earlier run's result was taken."""


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """Everything that a report is made of."""

    title: str
    command: str
    """What reproduces it."""
    data: str
    """One sentence on the data: which, how many, how large."""
    arms: Mapping[str, Sequence[str]]
    """Modalities of each arm."""
    seeds: Sequence[int]
    modalities: Mapping[str, Modality]
    """Every modality of every arm, at the run's scale."""
    scores: Sequence[Score]
    """Baselines and models together."""
    histories: Sequence[History] = ()
    tokenizers: Sequence[TokenizerFacts] = ()
    sheets: Sequence[Sheet] = ()
    stages: Sequence[StageTime] = ()
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Facts of each arm's model in words: parameters, tokens seen, tokens per second."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Versions, commit, hardware, fingerprints, in words."""
    wall_seconds: float = math.nan
    resamples: int = 2000
    """Bootstrap resamples of the held-out samples."""


def write_report(path: Path, report: ReportInput) -> None:
    """Write the page, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    write_text(path, render(report))


def render(report: ReportInput) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        percent=percent,
        signed=signed,
        duration=duration,
        data_uri=_data_uri,
        arrow=_arrow,
        spaced=spaced,
        seeds=_seeds,
        metric=metric_title,
    )
    return environment.get_template("report.html").render(**_context(report))


def summary(report: ReportInput) -> RenderableType:
    """The report's tables for a terminal."""
    rows = figure_rows(report.scores, report.modalities, list(report.arms), report.resamples)
    return terminal(rows, modality_rows(report.scores, report.modalities, rows), list(report.arms))


def _context(report: ReportInput) -> dict[str, Any]:
    arms = list(report.arms)
    rows = figure_rows(report.scores, report.modalities, arms, report.resamples)
    shared = [row for row in rows if set(row.arms) == set(arms)]
    headline = headline_rows(rows, arms)
    return {
        "report": report,
        "arms": arms,
        "colors": {arm: place % NUM_COLORS for place, arm in enumerate(arms)},
        "findings": findings(shared, arms),
        "way_plot": Markup(_way_plot(headline, arms)),
        "groups": _groups([row for row in shared if row.route != MASKED]),
        "modality_rows": modality_rows(report.scores, report.modalities, rows),
        "entropy_plots": {name: Markup(plot) for name, plot in _entropy_plots(rows, arms).items()},
        "loss_plots": {name: Markup(plot) for name, plot in _loss_plots(report, arms).items()},
        "time_plot": Markup(_time_plot(report.stages)),
        "sheets": report.sheets,
        "has_proxies": any(row.is_proxy for row in rows),
        "low": [item for item in report.tokenizers if item.is_low],
        "num_samples": max((score.num_samples for score in report.scores if score.route != ROUND_TRIP), default=0),
        "num_written": max((score.num_samples for score in report.scores if score.metric == "well_formed"), default=0),
        "Verdict": Verdict,
        "is_text": lambda drawing: isinstance(drawing, str),
    }


def findings(rows: Sequence[FigureRow], arms: Sequence[str]) -> list[str]:
    """What the comparison of each further arm with the first comes to, in sentences."""
    sentences: list[str] = []
    for arm in arms[1:]:
        known = [row.differences[arm].verdict for row in rows if arm in row.differences]
        if not known:
            continue
        better, worse, unknown = (known.count(item) for item in (Verdict.better, Verdict.worse, Verdict.unknown))
        if unknown == len(known):
            sentences.append(f"With one seed, nothing can be said of the noise between {arms[0]} and {arm}.")
            continue
        sentences.append(
            f"Of {len(known)} figures that both can be asked, {arm} is better than {arms[0]} beyond noise in {better}, "
            f"worse in {worse}; {len(known) - better - worse} are within noise."
        )
        expected = 0.05 * len(known)
        sentences.append(
            f"Where there is no difference at all, about {max(round(expected), 1)} of {len(known)} would still stand out."
        )
    return sentences


def _way_plot(rows: Sequence[FigureRow], arms: Sequence[str]) -> str:
    lines = [
        Dots(
            label=row.title + (" (proxy)" if row.is_proxy else ""),
            note=metric_title(row.metric),
            arms=tuple(tuple(_or_nan(share) for share in row.seed_shares[arm]) for arm in arms),
        )
        for row in rows
    ]
    shares = [share for line in lines for arm in line.arms for share in arm if math.isfinite(share)]
    low = max(min([0.0, *shares]) - 0.03, -0.5)
    ticks = [(0.0, "chance"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "tokenizer's bound")]
    return (
        dot_plot(lines, low=low, high=1.02, ticks=ticks, title="Share of the way from chance to bound") if lines else ""
    )


def _entropy_plots(rows: Sequence[FigureRow], arms: Sequence[str]) -> dict[str, str]:
    """Cross-entropy of hidden tokens over the positional unigram's, for each of the two questions."""
    entropies = [row for row in rows if row.metric == CROSS_ENTROPY]
    questions = {
        "masked": [row for row in entropies if row.route == MASKED],
        "rgb": [row for row in entropies if row.route == route("rgb", row.target)],
    }
    return {name: _entropy_plot(found, arms) for name, found in questions.items() if found}


def _entropy_plot(rows: Sequence[FigureRow], arms: Sequence[str]) -> str:
    lines = [
        Dots(
            label=row.title + (" (proxy)" if row.is_proxy else ""),
            note=f"chance {number(row.chance)} nats",
            arms=tuple(
                tuple(value / row.chance for value in row.arms[arm].values) if arm in row.arms else () for arm in arms
            ),
        )
        for row in rows
        if row.chance
    ]
    ticks = [(0.0, "0"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "positional unigram")]
    values = [value for line in lines for arm in line.arms for value in arm if math.isfinite(value)]
    high = min(max([1.04, *(value + 0.02 for value in values)]), 1.3)
    return dot_plot(lines, low=0.0, high=high, ticks=ticks, title="Cross-entropy over chance")


def _loss_plots(report: ReportInput, arms: Sequence[str]) -> dict[str, str]:
    plots: dict[str, str] = {}
    for name in dict.fromkeys(history.name for history in report.histories):
        lines = [
            Line(arm=arms.index(history.arm), points=smooth(history.points))
            for history in report.histories
            if history.name == name and history.arm in arms
        ]
        plots[name] = line_plot(
            lines, title=f"{name} loss by step", x_label="step", y_label="nats, mean over modalities"
        )
    return plots


def _time_plot(stages: Sequence[StageTime]) -> str:
    kinds = list(dict.fromkeys(stage.kind for stage in stages))
    spans = [
        Span(
            label=f"{stage.kind} {stage.name}".strip(),
            start=stage.start,
            seconds=stage.seconds,
            color=kinds.index(stage.kind),
        )
        for stage in stages
        if not stage.reused
    ]
    return time_line(spans, title="Wall time by stage")


def _groups(rows: Sequence[FigureRow]) -> list[tuple[str, list[FigureRow]]]:
    """Rows by route, in their order."""
    groups: dict[str, list[FigureRow]] = {}
    for row in rows:
        groups.setdefault(row.route, []).append(row)
    return list(groups.items())


def _data_uri(drawing: Drawing) -> str:
    return "data:image/png;base64," + base64.b64encode(png(tile(drawing, SIDE))).decode()


def _arrow(row: FigureRow | Score) -> str:
    return arrow(higher_is_better=row.higher_is_better)


def _seeds(summary: Summary, unit: str = "") -> str:
    """Each seed's value, for what appears when a pointer rests on a number."""
    return "by seed: " + ", ".join(number(value, unit) for value in summary.values)


def _or_nan(share: float | None) -> float:
    return math.nan if share is None else share
