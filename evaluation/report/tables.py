"""The tables of a report as plain rows, and how numbers are told, for the page and for the terminal alike."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.scores import CROSS_ENTROPY, MASKED_ROUTE, ROUND_TRIP_ROUTE, WELL_FORMED, Score, route_name
from evaluation.statistics import Difference, SeedSummary, compare_arms, group_by_arm
from modalities.layouts import Dense, Vector
from modalities.metrics.base import FRACTION
from modalities.spec import Modality, Provenance, learned_tokenizer


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One figure of every arm, with all that a reader needs to judge it."""

    route: str
    target: str
    title: str
    """What a person reads: the target modality's title."""
    is_proxy: bool
    metric: str
    metric_title: str
    unit: str
    higher_is_better: bool
    chance: float | None
    ceiling: float | None
    arms: Mapping[str, SeedSummary]
    normalized_scores: Mapping[str, float | None]
    """How much of the way from chance to the bound each arm's mean has gone."""
    seed_normalized_scores: Mapping[str, tuple[float | None, ...]]
    differences: Mapping[str, Difference]
    """Each further arm against the first."""


@dataclass(frozen=True, kw_only=True)
class ModalityRow:
    """What is known of one modality."""

    name: str
    title: str
    is_proxy: bool
    data_type: str
    tokens: str
    """How many tokens of which vocabulary."""
    round_trip: Score | None
    """The modality's first metric."""
    extra: tuple[Score, ...]
    """The further metrics of the round trip."""
    masked: MetricRow | None
    from_rgb: MetricRow | None
    """Cross-entropy from RGB."""
    decoded: MetricRow | None
    """The modality's first metric from RGB, decoded."""
    probe: MetricRow | None
    """For a modality that is an input only: how well it lets another be predicted."""


def metric_rows(
    scores: Iterable[Score], modalities: Mapping[str, Modality], arms: Sequence[str], resamples: int = 2000
) -> list[MetricRow]:
    """A row for every figure of the models, in the order of the modalities; arms that lack it are left out of it."""
    measured = [score for score in scores if score.route != ROUND_TRIP_ROUTE]
    order = {name: rank for rank, name in enumerate(modalities)}
    rows = [
        _metric_row({arm: found[arm] for arm in arms if arm in found}, modalities, resamples)
        for found in group_by_arm(measured).values()
    ]
    return sorted(rows, key=lambda row: (_source_rank(row, order), order.get(row.target, len(order))))


def modality_rows(
    scores: Sequence[Score], modalities: Mapping[str, Modality], rows: Sequence[MetricRow]
) -> list[ModalityRow]:
    """A row for every modality, whether it can be predicted or not."""
    found = {(row.route, row.target, row.metric): row for row in rows}
    result = []
    for name, modality in modalities.items():
        own = [score for score in scores if score.route == ROUND_TRIP_ROUTE and score.target == name]
        trips = [score for score in own if score.metric != WELL_FORMED]
        first = trips[0].metric if trips else ""
        result.append(
            ModalityRow(
                name=name,
                title=title_without_proxy(modality),
                is_proxy=modality.provenance is Provenance.proxy,
                data_type=modality.data_type,
                tokens=describe_tokens(modality),
                round_trip=trips[0] if trips else None,
                extra=tuple(own[1:]),
                masked=found.get((MASKED_ROUTE, name, CROSS_ENTROPY)),
                from_rgb=found.get((route_name("rgb", name), name, CROSS_ENTROPY)),
                decoded=found.get((route_name("rgb", name), name, first)),
                probe=next((row for row in rows if not modality.is_target and row.route.startswith(f"{name}->")), None),
            )
        )
    return result


def headline_rows(rows: Sequence[MetricRow], arms: Sequence[str]) -> list[MetricRow]:
    """The first metric of each modality that every arm predicts from RGB and that has chance and bound."""
    kept: dict[str, MetricRow] = {}
    for row in rows:
        is_decoded = row.route == route_name("rgb", row.target) and row.metric not in (CROSS_ENTROPY, WELL_FORMED)
        if (
            is_decoded
            and set(row.arms) == set(arms)
            and any(share is not None for share in row.normalized_scores.values())
        ):
            kept.setdefault(row.target, row)
    return list(kept.values())


def title_without_proxy(modality: Modality) -> str:
    """A modality's title without the mark of a stand-in, which rows carry by themselves."""
    return modality.title.removesuffix(" (proxy)")


def describe_tokens(modality: Modality) -> str:
    """How many tokens of which vocabulary a modality takes, for a person."""
    part = learned_tokenizer(modality)
    match modality.layout:
        case Dense() | Vector() as layout:
            vocab_size = part.tokenizer.vocab_size if part else 0
            return f"{layout.num_tokens} of {vocab_size:,}"
        case _ if not modality.is_target:
            return f"up to {modality.num_tokens} vectors"
        case _:
            codes = f", codes of {part.tokenizer.vocab_size:,}" if part else ""
            return f"up to {modality.num_tokens}, text{codes}"


def format_number(value: float | None, unit: str = "") -> str:
    """A figure for a person: three significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == FRACTION:
        return f"{100 * value:.1f} %"
    if value == 0 or 0.001 <= abs(value) < 10000:
        digits = 2 - math.floor(math.log10(abs(value))) if value else 0
        return f"{value:.{min(max(digits, 0), 4)}f}"
    return f"{value:.2e}"


def format_percent(share: float | None) -> str:
    """A share of the way for a person."""
    if share is None or not math.isfinite(share):
        return "–"
    whole = round(100 * share)
    return f"{whole} %" if whole >= 0 else f"−{-whole} %"


def format_signed(value: float, unit: str = "") -> str:
    """A difference with its sign; differences of shares in percent points."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * abs(value):.1f} pp" if unit == FRACTION else format_number(abs(value))
    return f"{'+' if value >= 0 else '−'}{text}"


def unit_suffix(row: MetricRow | Score) -> str:
    """The unit behind a space; nothing where the number or the metric's title says it already."""
    return "" if row.unit in (FRACTION, "") or row.unit.lower() == row.metric_title.lower() else f" {row.unit}"


def direction_arrow(*, higher_is_better: bool) -> str:
    """Which way is better."""
    return "↑" if higher_is_better else "↓"


def _metric_row(found: Mapping[str, list[Score]], modalities: Mapping[str, Modality], resamples: int) -> MetricRow:
    arms = list(found)
    score = found[arms[0]][0]
    modality = modalities[score.target]
    summaries = {arm: SeedSummary(values=tuple(item.value for item in items)) for arm, items in found.items()}
    return MetricRow(
        route=score.route,
        target=score.target,
        title=title_without_proxy(modality),
        is_proxy=modality.provenance is Provenance.proxy,
        metric=score.metric,
        metric_title=score.metric_title,
        unit=score.unit,
        higher_is_better=score.higher_is_better,
        chance=score.chance,
        ceiling=score.ceiling,
        arms=summaries,
        normalized_scores={
            arm: _mean_or_none([item.normalized_score for item in items]) for arm, items in found.items()
        },
        seed_normalized_scores={arm: tuple(item.normalized_score for item in items) for arm, items in found.items()},
        differences={arm: compare_arms(found[arms[0]], found[arm], resamples=resamples) for arm in arms[1:]},
    )


def _mean_or_none(normalized_scores: Sequence[float | None]) -> float | None:
    known = [share for share in normalized_scores if share is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(normalized_scores) else None


def _source_rank(row: MetricRow, order: Mapping[str, int]) -> int:
    """Routes in the order of their source; the masked question last."""
    return len(order) + 1 if row.route == MASKED_ROUTE else order.get(row.route.partition("->")[0], len(order))
