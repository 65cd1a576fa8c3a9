"""All tables and statistics of a report, computed once for the page and for the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.report.formats import title_without_proxy
from evaluation.report.input import ReportInput
from evaluation.report.retrieval import RetrievalRow, retrieval_rows
from evaluation.report.rows import ChainComparison, MetricRow, ModalityRow, chain_rows, metric_rows, modality_rows
from evaluation.route import Route
from evaluation.statistics import Verdict


@dataclass(frozen=True, kw_only=True)
class ReportTables:
    """Everything that a report's sections show and that takes computing."""

    arms: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    """Every metric of every route."""
    shared: tuple[MetricRow, ...]
    """Metrics of direct routes and masked tokens that every arm has."""
    no_shared_route: str
    """Why no direct route is shared by all arms; empty where there is one."""
    main_source: str | None
    """Modality from which most others are predicted in every arm; None without routes."""
    headline: tuple[MetricRow, ...]
    """First metric of each modality that every arm predicts from the main source."""
    chains: tuple[ChainComparison, ...]
    modalities: tuple[ModalityRow, ...]
    retrieval: Mapping[str, Sequence[RetrievalRow]]
    """Retrieval by query and gallery: a row for each model and space."""
    findings: tuple[str, ...]
    """Comparison of each further arm with the first, in sentences."""

    @property
    def shared_routes(self) -> dict[Route, list[MetricRow]]:
        """Rows of the direct routes that every arm has, by route."""
        groups: dict[Route, list[MetricRow]] = {}
        for row in self.shared:
            if isinstance(row.route, Route):
                groups.setdefault(row.route, []).append(row)
        return groups


def build_tables(report: ReportInput) -> ReportTables:
    """Every table of a report, with the statistics of the differences between its arms."""
    arms = tuple(report.arms)
    rows = metric_rows(report.scores, report.modalities, arms, report.resamples)
    shared = [row for row in rows if set(row.arms) == set(arms) and (row.is_direct or not isinstance(row.route, Route))]
    main_source = find_main_source(rows, arms)
    return ReportTables(
        arms=arms,
        rows=tuple(rows),
        shared=tuple(shared),
        no_shared_route="" if any(row.is_direct for row in shared) else _explain_no_shared_route(report, rows),
        main_source=main_source,
        headline=tuple(headline_rows(shared, main_source)),
        chains=tuple(chain_rows(rows)),
        modalities=tuple(modality_rows(report.scores, report.modalities, rows, main_source)),
        retrieval=retrieval_rows(report.scores, report.modalities),
        findings=tuple(findings(shared, arms)),
    )


def find_main_source(rows: Sequence[MetricRow], arms: Sequence[str]) -> str | None:
    """The modality from which every arm predicts the most others, or any arm if none is shared; None without routes."""
    targets: dict[str, tuple[set[str], set[str]]] = {}
    for row in rows:
        if isinstance(row.route, Route) and row.is_direct and row.is_decoded:
            shared, measured = targets.setdefault(row.route.source, (set(), set()))
            measured.add(row.target)
            if set(row.arms) == set(arms):
                shared.add(row.target)
    return max(targets, key=lambda source: tuple(map(len, targets[source])), default=None)


def headline_rows(shared: Sequence[MetricRow], main_source: str | None) -> list[MetricRow]:
    """The first metric of each modality predicted from the main source that has a chance level and an upper bound."""
    kept: dict[str, MetricRow] = {}
    for row in shared:
        is_main = isinstance(row.route, Route) and row.is_direct and row.route.source == main_source
        if is_main and row.is_decoded and any(item is not None for item in row.normalized_scores.values()):
            kept.setdefault(row.target, row)
    return list(kept.values())


def findings(shared: Sequence[MetricRow], arms: Sequence[str]) -> list[str]:
    """Sentences that compare each further arm with the first."""
    sentences: list[str] = []
    for arm in arms[1:]:
        verdicts = [row.differences[arm].verdict for row in shared if arm in row.differences]
        if not verdicts:
            continue
        better, worse, unknown = (verdicts.count(item) for item in (Verdict.better, Verdict.worse, Verdict.unknown))
        if unknown == len(verdicts):
            sentences.append(f"With one seed, the noise between {arms[0]} and {arm} cannot be estimated.")
            continue
        sentences.append(
            f"Of {len(verdicts)} metrics that both arms have, {arm} is better than {arms[0]} beyond noise in {better} "
            f"and worse in {worse}; {len(verdicts) - better - worse} differences are within noise."
        )
        expected = max(round(0.05 * len(verdicts)), 1)
        sentences.append(
            f"If the arms were equal, about {expected} of {len(verdicts)} would still appear to be beyond noise."
        )
    return sentences


def _explain_no_shared_route(report: ReportInput, rows: Sequence[MetricRow]) -> str:
    """One sentence on the sources of each arm's routes, and a setting that gives all arms a common one."""
    clauses = []
    for arm in report.arms:
        routes = [row.route for row in rows if arm in row.arms and isinstance(row.route, Route)]
        sources = dict.fromkeys(route.source for route in routes)
        names = ", ".join(title_without_proxy(report.modalities[name]) for name in sources)
        clauses.append(f"{arm} predicts from {names}" if names else f"{arm} predicts from nothing")
    common = [name for name in report.modalities if all(name in names for names in report.arms.values())]
    advice = (
        f"Set evaluation.routes to start from a modality that every arm has: {', '.join(common)}."
        if common
        else "The arms have no modality in common."
    )
    return f"No route is measured for every arm: {'; '.join(clauses)}. {advice}"
