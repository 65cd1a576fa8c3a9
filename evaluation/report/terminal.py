"""The report's two tables for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evaluation.report.tables import (
    MetricRow,
    ModalityRow,
    direction_arrow,
    format_number,
    format_percent,
    format_signed,
    unit_suffix,
)
from evaluation.scores import CROSS_ENTROPY, MASKED_ROUTE, WELL_FORMED
from evaluation.statistics import Verdict


def terminal_tables(
    rows: Sequence[MetricRow], modality_rows: Sequence[ModalityRow], arms: Sequence[str]
) -> RenderableType:
    """Both tables for a terminal: what the arms share, then every modality."""
    return Group(_shared_table(rows, arms), Text(), _modality_table(modality_rows, arms))


def _shared_table(rows: Sequence[MetricRow], arms: Sequence[str]) -> Table:
    """The first metric of each route, how often its grammar is kept, and the cross-entropy; the page has them all."""
    table = Table(title="What every arm predicts", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("from → to")
    table.add_column("metric")
    table.add_column("chance", justify="right", style="dim")
    for arm in arms:
        table.add_column(arm, justify="right")
    table.add_column("bound", justify="right", style="dim")
    table.add_column("of the way", justify="right")
    table.add_column("difference", justify="right")
    last = ""
    for row in rows:
        is_first = row.route != last
        if (
            row.route == MASKED_ROUTE
            or set(row.arms) != set(arms)
            or not (is_first or row.metric in (CROSS_ENTROPY, WELL_FORMED))
        ):
            continue
        table.add_row(
            row.route.replace("->", " → ") + (" (proxy)" if row.is_proxy else "") if is_first else "",
            f"{row.metric_title}{unit_suffix(row)} {direction_arrow(higher_is_better=row.higher_is_better)}",
            format_number(row.chance, row.unit),
            *(_values(row, arm) for arm in arms),
            format_number(row.ceiling, row.unit),
            " / ".join(format_percent(row.normalized_scores.get(arm)) for arm in arms),
            *[_verdict(row, arms[-1])] if len(arms) > 1 else [""],
        )
        last = row.route
    return table


def _modality_table(rows: Sequence[ModalityRow], arms: Sequence[str]) -> Table:
    table = Table(title="Every modality", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("modality")
    table.add_column("tokens", style="dim")
    table.add_column("tokenizer round trip", justify="right")
    table.add_column("unigram, nats", justify="right", style="dim")
    for arm in arms:
        table.add_column(f"masked, {arm}", justify="right")
    for row in rows:
        trip = row.round_trip
        shown = (
            f"{trip.metric_title} {format_number(trip.value, trip.unit)}{unit_suffix(trip)}" if trip else "input only"
        )
        question = row.masked or row.probe
        chance = format_number(question.chance) if question else "–"
        values = [format_number(question.arms[arm].mean) if question and arm in question.arms else "–" for arm in arms]
        if row.masked is None and row.probe is not None:
            shown += f"; {row.probe.target} given it →"
        table.add_row(row.title + (" (proxy)" if row.is_proxy else ""), row.tokens, shown, chance, *values)
    return table


def _values(row: MetricRow, arm: str) -> Text:
    summary = row.arms[arm]
    text = Text(format_number(summary.mean, row.unit))
    if len(summary.values) > 1:
        text.append(
            "  " + " ".join(format_number(value, row.unit).removesuffix(" %") for value in summary.values), style="dim"
        )
    return text


def _verdict(row: MetricRow, arm: str) -> Text:
    difference = row.differences.get(arm)
    if difference is None:
        return Text("–")
    styles = {Verdict.better: "green", Verdict.worse: "red", Verdict.noise: "dim", Verdict.unknown: "dim"}
    return Text(
        f"{format_signed(difference.mean, row.unit)} {difference.verdict.value}", style=styles[difference.verdict]
    )
