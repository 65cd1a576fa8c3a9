"""The report of an ablation: one page that needs no other file and no network, and the same tables for a terminal."""

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import RenderableType

from evaluation.chains import chain_rows
from evaluation.figures import entropy_plots, loss_plots, time_plot, way_plot
from evaluation.files import write_text
from evaluation.pictures import SIDE, Drawing, png, tile
from evaluation.plots import NUM_COLORS, duration
from evaluation.records import MASKED, ROUND_TRIP, WELL_FORMED, Score
from evaluation.report_input import History, ReportInput, StageTime, TokenizerFacts
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
)
from evaluation.terminal import terminal

__all__ = ["History", "ReportInput", "StageTime", "TokenizerFacts", "findings", "render", "summary", "write_report"]


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
        shell=shlex.join,
    )
    return environment.get_template("report.html").render(**_context(report))


def summary(report: ReportInput) -> RenderableType:
    """The report's tables for a terminal."""
    rows = figure_rows(report.scores, report.modalities, list(report.arms), report.resamples)
    return terminal(rows, modality_rows(report.scores, report.modalities, rows), list(report.arms))


def _context(report: ReportInput) -> dict[str, Any]:
    arms = list(report.arms)
    rows = figure_rows(report.scores, report.modalities, arms, report.resamples)
    chained = chain_rows(rows)
    shared = [row for row in rows if set(row.arms) == set(arms) and row.route.count("->") < 2]
    headline = headline_rows(rows, arms)
    return {
        "report": report,
        "arms": arms,
        "colors": {arm: place % NUM_COLORS for place, arm in enumerate(arms)},
        "findings": findings(shared, arms),
        "way_plot": Markup(way_plot(headline, arms)),
        "groups": _groups([row for row in shared if row.route != MASKED]),
        "chain_rows": chained,
        "modality_rows": modality_rows(report.scores, report.modalities, rows),
        "entropy_plots": {name: Markup(plot) for name, plot in entropy_plots(rows, arms).items()},
        "loss_plots": {name: Markup(plot) for name, plot in loss_plots(report, arms).items()},
        "time_plot": Markup(time_plot(report.stages)),
        "sheets": report.sheets,
        "generated": {arm: items for arm, items in report.generated.items() if items},
        "has_proxies": any(row.is_proxy for row in rows),
        "low": [item for item in report.tokenizers if item.is_low],
        "num_samples": max((score.num_samples for score in report.scores if score.route != ROUND_TRIP), default=0),
        "num_written": max((score.num_samples for score in report.scores if score.metric == WELL_FORMED), default=0),
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
        chance = max(round(expected), 1)
        sentences.append(f"Where there is no difference at all, about {chance} of {len(known)} would still stand out.")
    return sentences


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
