"""The report of an ablation: one page that needs no other file and no network, and the same tables for a terminal."""

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import RenderableType

from evaluation.report.figures import cross_entropy_plots, loss_plots, normalized_score_plot, time_plot
from evaluation.report.input import LossCurve, ReportInput, StageDuration, TokenizerSummary
from evaluation.report.plots import NUM_COLORS, duration
from evaluation.report.tables import (
    MetricRow,
    direction_arrow,
    format_number,
    format_percent,
    format_signed,
    headline_rows,
    metric_rows,
    modality_rows,
    unit_suffix,
)
from evaluation.report.terminal import terminal_tables
from evaluation.scores import MASKED_ROUTE, ROUND_TRIP_ROUTE, WELL_FORMED, Score
from evaluation.statistics import SeedSummary, Verdict
from evaluation.tasks.chains import chain_rows
from modalities.rendering.sheet import TILE_SIZE, Rendering, encode_png, render_tile
from modalities.storage.atomic import atomic_write_text

__all__ = [
    "LossCurve",
    "ReportInput",
    "StageDuration",
    "TokenizerSummary",
    "findings",
    "render",
    "summary_table",
    "write_report",
]


def write_report(path: Path, report: ReportInput) -> None:
    """Write the page, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    atomic_write_text(path, render(report))


def render(report: ReportInput) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number,
        percent=format_percent,
        signed=format_signed,
        duration=duration,
        data_uri=_png_data_uri,
        arrow=_arrow,
        spaced=unit_suffix,
        seeds=_seed_tooltip,
        shell=shlex.join,
    )
    return environment.get_template("report.html").render(**_template_context(report))


def summary_table(report: ReportInput) -> RenderableType:
    """The report's tables for a terminal."""
    rows = metric_rows(report.scores, report.modalities, list(report.arms), report.resamples)
    return terminal_tables(rows, modality_rows(report.scores, report.modalities, rows), list(report.arms))


def _template_context(report: ReportInput) -> dict[str, Any]:
    arms = list(report.arms)
    rows = metric_rows(report.scores, report.modalities, arms, report.resamples)
    chained = chain_rows(rows)
    shared = [row for row in rows if set(row.arms) == set(arms) and row.route.count("->") < 2]
    headline = headline_rows(rows, arms)
    return {
        "report": report,
        "arms": arms,
        "colors": {arm: index % NUM_COLORS for index, arm in enumerate(arms)},
        "findings": findings(shared, arms),
        "way_plot": Markup(normalized_score_plot(headline, arms)),
        "groups": _group_by_route([row for row in shared if row.route != MASKED_ROUTE]),
        "chain_rows": chained,
        "modality_rows": modality_rows(report.scores, report.modalities, rows),
        "entropy_plots": {name: Markup(plot) for name, plot in cross_entropy_plots(rows, arms).items()},
        "loss_plots": {name: Markup(plot) for name, plot in loss_plots(report, arms).items()},
        "time_plot": Markup(time_plot(report.stages)),
        "sheets": report.sheets,
        "generated": {arm: items for arm, items in report.generated.items() if items},
        "has_proxies": any(row.is_proxy for row in rows),
        "low": [item for item in report.tokenizers if item.is_collapsed],
        "num_samples": max(
            (score.num_samples for score in report.scores if score.route != ROUND_TRIP_ROUTE), default=0
        ),
        "num_written": max((score.num_samples for score in report.scores if score.metric == WELL_FORMED), default=0),
        "Verdict": Verdict,
        "is_text": lambda drawing: isinstance(drawing, str),
    }


def findings(rows: Sequence[MetricRow], arms: Sequence[str]) -> list[str]:
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


def _group_by_route(rows: Sequence[MetricRow]) -> list[tuple[str, list[MetricRow]]]:
    """Rows by route, in their order."""
    groups: dict[str, list[MetricRow]] = {}
    for row in rows:
        groups.setdefault(row.route, []).append(row)
    return list(groups.items())


def _png_data_uri(drawing: Rendering) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(render_tile(drawing, TILE_SIZE))).decode()


def _arrow(row: MetricRow | Score) -> str:
    return direction_arrow(higher_is_better=row.higher_is_better)


def _seed_tooltip(summary: SeedSummary, unit: str = "") -> str:
    """Each seed's value, for what appears when a pointer rests on a number."""
    return "by seed: " + ", ".join(format_number(value, unit) for value in summary.values)
