"""Rows of the report's tables: one metric of one route, one modality, or one chain beside its direct route."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.report.formats import describe_tokens, title_without_proxy
from evaluation.route import AnyRoute, MaskedTokens, Retrieval, Route, TokenizerRoundTrip
from evaluation.scores import CROSS_ENTROPY, WELL_FORMED, Score
from evaluation.statistics import Difference, SeedSummary, compare_arms, group_by_arm
from modalities.spec import Modality, Provenance


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric of one route, of every arm that has it."""

    route: AnyRoute
    title: str
    """Title of the target modality."""
    is_proxy: bool
    metric: str
    metric_title: str
    unit: str
    higher_is_better: bool
    chance: float | None
    upper_bound: float | None
    num_samples: int
    """Held-out samples that it is measured on: those that have both ends of the route."""
    arms: Mapping[str, SeedSummary]
    normalized_scores: Mapping[str, float | None]
    """Mean over seeds, by arm: 0 at the chance level, 1 at the upper bound."""
    seed_normalized_scores: Mapping[str, tuple[float | None, ...]]
    differences: Mapping[str, Difference]
    """Each further arm minus the first."""

    @property
    def target(self) -> str:
        """Modality that is predicted."""
        return self.route.target

    @property
    def is_decoded(self) -> bool:
        """True for a metric of decoded values: no cross-entropy, no rate of well-formed sequences."""
        return self.metric not in (CROSS_ENTROPY, WELL_FORMED)

    @property
    def is_direct(self) -> bool:
        """True for a route without intermediate modalities."""
        return isinstance(self.route, Route) and not self.route.via


@dataclass(frozen=True, kw_only=True)
class ModalityRow:
    """Everything measured of one modality."""

    name: str
    title: str
    is_proxy: bool
    data_type: str
    tokens: str
    """Number of tokens and size of their vocabulary."""
    round_trip: Score | None
    """First metric of the tokenizer's round trip; None for an input-only modality."""
    masked: MetricRow | None
    """Cross-entropy of masked tokens."""
    whole: MetricRow | None
    """Cross-entropy of all tokens, from the report's main source."""
    decoded: MetricRow | None
    """The modality's first metric, decoded, from the report's main source."""
    probe: MetricRow | None
    """For an input-only modality: prediction of another modality from it."""


@dataclass(frozen=True, kw_only=True)
class ChainComparison:
    """One metric of a chained route beside the same metric of the direct route."""

    chained: MetricRow
    direct: MetricRow

    def gain(self, arm: str) -> float:
        """Improvement of the chain over the direct route, in the metric's unit; negative where the chain is worse."""
        difference = self.chained.arms[arm].mean - self.direct.arms[arm].mean
        return difference if self.chained.higher_is_better else -difference


def metric_rows(
    scores: Iterable[Score], modalities: Mapping[str, Modality], arms: Sequence[str], resamples: int = 2000
) -> list[MetricRow]:
    """A row for every route and metric of the models, in the order of the modalities.

    A row lacks the arms that were not measured by it.

    Args:
        resamples: Bootstrap resamples of the held-out samples.
    """
    measured = [score for score in scores if not isinstance(score.route, TokenizerRoundTrip | Retrieval)]
    order = {name: rank for rank, name in enumerate(modalities)}
    rows = [
        _metric_row({arm: found[arm] for arm in arms if arm in found}, modalities, resamples)
        for found in group_by_arm(measured).values()
    ]
    return sorted(rows, key=lambda row: (_source_rank(row.route, order), order.get(row.target, len(order))))


def modality_rows(
    scores: Sequence[Score], modalities: Mapping[str, Modality], rows: Sequence[MetricRow], main_source: str | None
) -> list[ModalityRow]:
    """A row for every modality, input-only ones included."""
    by_key = {(row.route, row.metric): row for row in rows}
    result = []
    for name, modality in modalities.items():
        trips = [
            score for score in scores if score.route == TokenizerRoundTrip(target=name) and score.metric != WELL_FORMED
        ]
        main_route = Route(source=main_source, target=name) if main_source else None
        result.append(
            ModalityRow(
                name=name,
                title=title_without_proxy(modality),
                is_proxy=modality.provenance is Provenance.proxy,
                data_type=modality.data_type,
                tokens=describe_tokens(modality),
                round_trip=trips[0] if trips else None,
                masked=by_key.get((MaskedTokens(target=name), CROSS_ENTROPY)),
                whole=by_key.get((main_route, CROSS_ENTROPY)) if main_route else None,
                decoded=by_key.get((main_route, trips[0].metric)) if main_route and trips else None,
                probe=None if modality.is_target else _probe_row(rows, name),
            )
        )
    return result


def chain_rows(rows: Sequence[MetricRow]) -> list[ChainComparison]:
    """The metrics of every chain whose direct route was measured too."""
    by_key = {(row.route, row.metric): row for row in rows}
    return [
        ChainComparison(chained=row, direct=direct)
        for row in rows
        if isinstance(row.route, Route)
        and row.route.via
        and row.metric != WELL_FORMED
        and (direct := by_key.get((row.route.direct, row.metric))) is not None
    ]


def _metric_row(found: Mapping[str, list[Score]], modalities: Mapping[str, Modality], resamples: int) -> MetricRow:
    arms = list(found)
    score = found[arms[0]][0]
    modality = modalities[score.target]
    return MetricRow(
        route=score.route,
        title=title_without_proxy(modality),
        is_proxy=modality.provenance is Provenance.proxy,
        metric=score.metric,
        metric_title=score.metric_title,
        unit=score.unit,
        higher_is_better=score.higher_is_better,
        chance=score.chance,
        upper_bound=score.upper_bound,
        num_samples=min(item.num_samples for items in found.values() for item in items),
        arms={arm: SeedSummary(values=tuple(item.value for item in items)) for arm, items in found.items()},
        normalized_scores={
            arm: _mean_or_none([item.normalized_score for item in items]) for arm, items in found.items()
        },
        seed_normalized_scores={arm: tuple(item.normalized_score for item in items) for arm, items in found.items()},
        differences={arm: compare_arms(found[arms[0]], found[arm], resamples=resamples) for arm in arms[1:]},
    )


def _mean_or_none(normalized_scores: Sequence[float | None]) -> float | None:
    known = [item for item in normalized_scores if item is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(normalized_scores) else None


def _probe_row(rows: Sequence[MetricRow], source: str) -> MetricRow | None:
    return next((row for row in rows if isinstance(row.route, Route) and row.route.source == source), None)


def _source_rank(route: AnyRoute, order: Mapping[str, int]) -> int:
    """Position of the route's source among the modalities; masked tokens come last."""
    match route:
        case Route():
            return order.get(route.source, len(order))
        case MaskedTokens() | TokenizerRoundTrip() | Retrieval():
            return len(order) + 1
