"""The report's two main tables for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evaluation.report.formats import (
    direction_arrow,
    format_number,
    format_percent,
    format_signed,
    unit_suffix,
)
from evaluation.report.rows import MetricRow, ModalityRow
from evaluation.report.tables import ReportTables
from evaluation.route import ARROW, Route
from evaluation.scores import CROSS_ENTROPY, WELL_FORMED
from evaluation.statistics import Verdict


def summary_table(tables: ReportTables) -> RenderableType:
    """Routes that every arm has, then every modality."""
    routes = Text(tables.no_shared_route) if tables.no_shared_route else _route_table(tables)
    return Group(routes, Text(), _modality_table(tables))


def _route_table(tables: ReportTables) -> Table:
    """First metric, rate of well-formed sequences and cross-entropy of each route, chains included."""
    arms = tables.arms
    table = Table(title="Routes of every arm", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("from → to")
    table.add_column("metric")
    table.add_column("chance level", justify="right", style="dim")
    for arm in arms:
        table.add_column(arm, justify="right")
    table.add_column("upper bound", justify="right", style="dim")
    table.add_column("normalized score", justify="right")
    if len(arms) > 1:
        table.add_column(f"{arms[-1]} − {arms[0]}", justify="right")
    last: Route | None = None
    for row in tables.rows:
        if not isinstance(row.route, Route) or set(row.arms) != set(arms):
            continue
        is_first = row.route != last
        if not (is_first or row.metric in (CROSS_ENTROPY, WELL_FORMED)):
            continue
        table.add_row(
            str(row.route).replace(ARROW, " → ") + (" (proxy)" if row.is_proxy else "") if is_first else "",
            f"{row.metric_title}{unit_suffix(row.metric_title, row.unit)}"
            f" {direction_arrow(higher_is_better=row.higher_is_better)}",
            format_number(row.chance, row.unit),
            *(_values(row, arm) for arm in arms),
            format_number(row.upper_bound, row.unit),
            " / ".join(format_percent(row.normalized_scores.get(arm)) for arm in arms),
            *([_difference(row, arms[-1])] if len(arms) > 1 else []),
        )
        last = row.route
    return table


def _modality_table(tables: ReportTables) -> Table:
    table = Table(title="Every modality", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("modality")
    table.add_column("tokens", style="dim")
    table.add_column("tokenizer round trip", justify="right")
    table.add_column("unigram, nats", justify="right", style="dim")
    for arm in tables.arms:
        table.add_column(f"masked, {arm}", justify="right")
    for row in tables.modalities:
        question = row.masked or row.probe
        table.add_row(
            row.title + (" (proxy)" if row.is_proxy else ""),
            row.tokens,
            _round_trip(row),
            format_number(question.chance) if question else "–",
            *(
                format_number(question.arms[arm].mean) if question and arm in question.arms else "–"
                for arm in tables.arms
            ),
        )
    return table


def _round_trip(row: ModalityRow) -> str:
    """The round trip's first metric; for an input-only modality, what is predicted from it in the columns after."""
    trip = row.round_trip
    if trip is not None:
        return f"{trip.metric_title} {format_number(trip.value, trip.unit)}{unit_suffix(trip.metric_title, trip.unit)}"
    return f"input only; {row.probe.target} from it →" if row.probe is not None else "input only"


def _values(row: MetricRow, arm: str) -> Text:
    summary = row.arms[arm]
    text = Text(format_number(summary.mean, row.unit))
    if len(summary.values) > 1:
        text.append(
            "  " + " ".join(format_number(value, row.unit).removesuffix(" %") for value in summary.values), style="dim"
        )
    return text


def _difference(row: MetricRow, arm: str) -> Text:
    difference = row.differences.get(arm)
    if difference is None:
        return Text("–")
    styles = {Verdict.better: "green", Verdict.worse: "red", Verdict.noise: "dim", Verdict.unknown: "dim"}
    return Text(
        f"{format_signed(difference.mean, row.unit)} {difference.verdict.value}", style=styles[difference.verdict]
    )
