"""The report of an ablation as one HTML page that needs no other file and no network."""

import base64
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluation.report.figures import (
    loss_plots,
    masked_cross_entropy_plot,
    normalized_score_plot,
    time_plot,
    whole_cross_entropy_plot,
)
from evaluation.report.formats import (
    direction_arrow,
    format_duration,
    format_number,
    format_percent,
    format_signed,
    title_without_proxy,
    unit_suffix,
)
from evaluation.report.input import ReportInput
from evaluation.report.plots import NUM_COLORS
from evaluation.report.rows import MetricRow
from evaluation.report.tables import ReportTables
from evaluation.route import Retrieval, TokenizerRoundTrip
from evaluation.scores import WELL_FORMED, Score
from evaluation.statistics import SeedSummary
from modalities.rendering.sheet import TILE_SIZE, Rendering, encode_png, render_tile
from modalities.storage.atomic import atomic_write_text

SECTIONS = (
    "summary",
    "routes",
    "chains",
    "retrieval",
    "modalities",
    "cross_entropy",
    "samples",
    "generated",
    "training",
    "tokenizers",
    "time",
    "method",
    "manifest",
)
"""Sections in their order; each is a template in ``templates/sections`` that sees `ReportInput` as ``report`` and
`ReportTables` as ``tables``, and renders nothing where it has nothing to show."""


def write_report(path: Path, report: ReportInput, tables: ReportTables) -> None:
    """Write the page, atomically.

    Raises:
        DataError: The file cannot be written.
    """
    atomic_write_text(path, render(report, tables))


def render(report: ReportInput, tables: ReportTables) -> str:
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
        duration=format_duration,
        data_uri=_png_data_uri,
        unit_and_arrow=_unit_and_arrow,
        seeds=_seed_tooltip,
        shell=shlex.join,
        modality_title=title_without_proxy,
    )
    environment.tests["text"] = lambda rendering: isinstance(rendering, str)
    return environment.get_template("report.html").render(**_template_context(report, tables))


def _template_context(report: ReportInput, tables: ReportTables) -> dict[str, Any]:
    measured = [score for score in report.scores if not isinstance(score.route, TokenizerRoundTrip | Retrieval)]
    plots = {
        "normalized_score": normalized_score_plot(tables),
        "masked": masked_cross_entropy_plot(tables),
        "whole": whole_cross_entropy_plot(tables),
        "time": time_plot(report.stages),
    }
    return {
        "report": report,
        "tables": tables,
        "sections": SECTIONS,
        "arms": tables.arms,
        "colors": {arm: index % NUM_COLORS for index, arm in enumerate(tables.arms)},
        "plots": {name: Markup(plot) for name, plot in plots.items()},
        "loss_plots": {name: Markup(plot) for name, plot in loss_plots(report.histories, tables.arms).items()},
        "num_samples": max((score.num_samples for score in measured), default=0),
        "num_generated": max((score.num_samples for score in measured if score.metric == WELL_FORMED), default=0),
    }


def _png_data_uri(rendering: Rendering) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(render_tile(rendering, TILE_SIZE))).decode()


def _unit_and_arrow(row: MetricRow | Score) -> str:
    """Unit and direction of a metric."""
    return f"{unit_suffix(row.metric_title, row.unit)} {direction_arrow(higher_is_better=row.higher_is_better)}"


def _seed_tooltip(summary: SeedSummary, unit: str = "") -> str:
    """The value of each seed, shown when the pointer rests on the mean."""
    return "by seed: " + ", ".join(format_number(value, unit) for value in summary.values)
