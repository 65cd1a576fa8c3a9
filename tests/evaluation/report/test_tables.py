from dataclasses import replace

import pytest

from evaluation.report.tables import build_tables, find_main_source
from evaluation.route import Route
from tests.evaluation.report.fake_report import ARMS, fake_report, fake_scores, without_common_source


def test_a_difference_beyond_noise_is_told_from_one_within() -> None:
    tables = build_tables(fake_report())
    rows = {(str(row.route), row.metric): row for row in tables.rows}
    shade, caption = rows["rgb->shade", "rmse"], rows["rgb->caption", "bleu"]
    assert shade.differences["fourm_21"].verdict.value == "better"
    assert shade.differences["fourm_21"].mean == pytest.approx(-0.1)
    assert caption.differences["fourm_21"].verdict.value == "noise"
    assert shade.normalized_scores == pytest.approx({"fourm_7": (0.9 - 0.501) / 0.8, "fourm_21": (0.9 - 0.401) / 0.8})
    (first, second) = tables.findings
    assert "fourm_21 is better than fourm_7 beyond noise in 2 and worse in 0" in first
    assert "would still appear to be beyond noise" in second


def test_the_headline_is_the_first_metric_of_what_all_arms_share() -> None:
    tables = build_tables(fake_report())
    assert tables.main_source == "rgb"
    assert [(row.target, row.metric) for row in tables.headline] == [
        ("rgb", "rmse"),
        ("shade", "rmse"),
        ("caption", "bleu"),
    ]
    assert tables.no_shared_route == ""


def test_shared_routes_are_those_of_every_arm_without_masked_tokens_and_chains() -> None:
    tables = build_tables(fake_report())
    assert [str(route) for route in tables.shared_routes] == ["rgb->rgb", "rgb->shade", "rgb->caption"]
    assert all(set(row.arms) == set(ARMS) for rows in tables.shared_routes.values() for row in rows)


def test_the_main_source_is_the_one_that_arms_share_not_the_one_with_most_targets() -> None:
    """A source that one arm alone has does not count, however many modalities it predicts."""
    report = fake_report()
    moved = [
        replace(score, route=Route(source="glow", target=score.route.target))
        if isinstance(score.route, Route) and score.route.source == "rgb" and score.arm == "fourm_21"
        else score
        for score in report.scores
    ]
    shared = [
        replace(score, route=Route(source="caption", target="shade"))
        for score in report.scores
        if score.route == Route(source="rgb", target="shade")
    ]
    tables = build_tables(replace(report, scores=[*moved, *shared]))
    assert tables.main_source == "caption"
    assert [str(row.route) for row in tables.headline] == ["caption->shade"]


def test_no_routes_have_no_main_source() -> None:
    assert find_main_source([], ["fourm_7"]) is None
    masked_only = [score for score in fake_scores() if not isinstance(score.route, Route)]
    tables = build_tables(replace(fake_report(), scores=masked_only))
    assert tables.main_source is None
    assert all(row.whole is None and row.decoded is None for row in tables.modalities)
    assert "fourm_7 predicts from nothing" in tables.no_shared_route


def test_arms_without_a_common_source_are_told_so_and_what_to_set() -> None:
    tables = build_tables(without_common_source())
    assert tables.shared == ()
    assert tables.no_shared_route == (
        "No route is measured for every arm: with predicts from RGB; without predicts from Shade. "
        "Set evaluation.routes to start from a modality that every arm has: shade, glow."
    )


def test_arms_without_a_common_modality_are_told_so() -> None:
    report = replace(without_common_source(), arms={"with": ("rgb", "glow"), "without": ("shade",)})
    assert build_tables(report).no_shared_route.endswith("The arms have no modality in common.")
