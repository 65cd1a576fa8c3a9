"""Plots of the report: the rows that go into each, and the range of its axes."""

import math
from collections.abc import Sequence

from evaluation.report.formats import format_number
from evaluation.report.input import LossCurve, StageDuration
from evaluation.report.plots import Curve, DotRow, TimeBar, dot_plot, downsample, line_plot, timeline_plot
from evaluation.report.rows import MetricRow
from evaluation.report.tables import ReportTables
from evaluation.route import MaskedTokens, Route
from evaluation.scores import CROSS_ENTROPY


def normalized_score_plot(tables: ReportTables) -> str:
    """Normalized score of each arm, a line for each modality; an empty string without headline rows."""
    lines = [
        DotRow(
            label=_label(row),
            note=row.metric_title,
            arms=tuple(tuple(_none_to_nan(item) for item in row.seed_normalized_scores[arm]) for arm in tables.arms),
        )
        for row in tables.headline
    ]
    values = [value for line in lines for arm in line.arms for value in arm if math.isfinite(value)]
    low = max(min([0.0, *values]) - 0.03, -0.5)
    ticks = [(0.0, "chance level"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "upper bound")]
    return dot_plot(lines, low=low, high=1.02, ticks=ticks, title="Normalized score") if lines else ""


def masked_cross_entropy_plot(tables: ReportTables) -> str:
    """Cross-entropy of masked tokens relative to chance; an empty string without rows."""
    rows = [row for row in tables.rows if isinstance(row.route, MaskedTokens)]
    return _cross_entropy_plot(rows, tables.arms)


def whole_cross_entropy_plot(tables: ReportTables) -> str:
    """Cross-entropy of all tokens from the main source relative to chance; an empty string without rows."""
    rows = [
        row
        for row in tables.rows
        if row.is_direct and isinstance(row.route, Route) and row.route.source == tables.main_source
    ]
    return _cross_entropy_plot(rows, tables.arms)


def _cross_entropy_plot(rows: Sequence[MetricRow], arms: Sequence[str]) -> str:
    lines = [
        DotRow(
            label=_label(row),
            note=f"chance {format_number(row.chance)} nats",
            arms=tuple(
                tuple(value / row.chance for value in row.arms[arm].values) if arm in row.arms else () for arm in arms
            ),
        )
        for row in rows
        if row.metric == CROSS_ENTROPY and row.chance
    ]
    if not lines:
        return ""
    ticks = [(0.0, "0"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "positional unigram")]
    values = [value for line in lines for arm in line.arms for value in arm if math.isfinite(value)]
    high = min(max([1.04, *(value + 0.02 for value in values)]), 1.3)
    return dot_plot(lines, low=0.0, high=high, ticks=ticks, title="Cross-entropy relative to chance")


def loss_plots(histories: Sequence[LossCurve], arms: Sequence[str]) -> dict[str, str]:
    """Loss by step of every run, training and validation apart."""
    plots: dict[str, str] = {}
    for name in dict.fromkeys(history.name for history in histories):
        lines = [
            Curve(arm=arms.index(history.arm), points=downsample(history.points))
            for history in histories
            if history.name == name and history.arm in arms
        ]
        plots[name] = line_plot(
            lines, title=f"{name} loss by step", x_label="step", y_label="nats, mean over modalities"
        )
    return plots


def time_plot(stages: Sequence[StageDuration]) -> str:
    """Timeline of the stages that ran, reused ones left out."""
    kinds = list(dict.fromkeys(stage.kind for stage in stages))
    spans = [
        TimeBar(
            label=f"{stage.kind} {stage.name}".strip(),
            start=stage.start,
            seconds=stage.seconds,
            color=kinds.index(stage.kind),
        )
        for stage in stages
        if not stage.reused
    ]
    return timeline_plot(spans, title="Wall time by stage")


def _label(row: MetricRow) -> str:
    return row.title + (" (proxy)" if row.is_proxy else "")


def _none_to_nan(value: float | None) -> float:
    return math.nan if value is None else value
