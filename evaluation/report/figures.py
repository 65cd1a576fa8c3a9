"""The report's plots: which figures go into them, and how their axes run."""

import math
from collections.abc import Sequence

from evaluation.report.input import ReportInput, StageDuration
from evaluation.report.plots import Curve, DotRow, TimeBar, dot_plot, downsample, line_plot, timeline_plot
from evaluation.report.tables import MetricRow, format_number
from evaluation.scores import CROSS_ENTROPY, MASKED_ROUTE, route_name


def normalized_score_plot(rows: Sequence[MetricRow], arms: Sequence[str]) -> str:
    """How far each arm has gone from chance to the bound, a line for each modality."""
    lines = [
        DotRow(
            label=row.title + (" (proxy)" if row.is_proxy else ""),
            note=row.metric_title,
            arms=tuple(tuple(_none_to_nan(share) for share in row.seed_normalized_scores[arm]) for arm in arms),
        )
        for row in rows
    ]
    shares = [share for line in lines for arm in line.arms for share in arm if math.isfinite(share)]
    low = max(min([0.0, *shares]) - 0.03, -0.5)
    ticks = [(0.0, "chance"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "tokenizer's bound")]
    return (
        dot_plot(lines, low=low, high=1.02, ticks=ticks, title="Share of the way from chance to bound") if lines else ""
    )


def cross_entropy_plots(rows: Sequence[MetricRow], arms: Sequence[str]) -> dict[str, str]:
    """Cross-entropy of hidden tokens over the positional unigram's, for each of the two questions."""
    entropies = [row for row in rows if row.metric == CROSS_ENTROPY]
    questions = {
        "masked": [row for row in entropies if row.route == MASKED_ROUTE],
        "rgb": [row for row in entropies if row.route == route_name("rgb", row.target)],
    }
    return {name: _cross_entropy_plot(found, arms) for name, found in questions.items() if found}


def _cross_entropy_plot(rows: Sequence[MetricRow], arms: Sequence[str]) -> str:
    lines = [
        DotRow(
            label=row.title + (" (proxy)" if row.is_proxy else ""),
            note=f"chance {format_number(row.chance)} nats",
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


def loss_plots(report: ReportInput, arms: Sequence[str]) -> dict[str, str]:
    """The loss by step of every run, training and validation apart."""
    plots: dict[str, str] = {}
    for name in dict.fromkeys(history.name for history in report.histories):
        lines = [
            Curve(arm=arms.index(history.arm), points=downsample(history.points))
            for history in report.histories
            if history.name == name and history.arm in arms
        ]
        plots[name] = line_plot(
            lines, title=f"{name} loss by step", x_label="step", y_label="nats, mean over modalities"
        )
    return plots


def time_plot(stages: Sequence[StageDuration]) -> str:
    """What ran when, without what was taken from an earlier run."""
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


def _none_to_nan(share: float | None) -> float:
    return math.nan if share is None else share
