import math
from dataclasses import replace

from rich.console import Console

from evaluation.report.input import ReportInput
from evaluation.report.tables import build_tables
from evaluation.report.terminal import summary_table
from tests.evaluation.report.fake_report import ARMS, fake_report, without_common_source


def printed(report: ReportInput) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(summary_table(build_tables(report)))
    return capture.get()


def test_the_terminal_shows_both_tables() -> None:
    text = printed(fake_report())
    for word in ("Routes of every arm", "Every modality", *ARMS, "RGB", "Shade", "(proxy)", "input only"):
        assert word in text


def test_the_difference_names_both_arms() -> None:
    assert "fourm_21 − fourm_7" in printed(fake_report())


def test_one_arm_has_no_difference() -> None:
    report = fake_report()
    one = replace(report, arms={"fourm_7": ARMS["fourm_7"]}, scores=[s for s in report.scores if s.arm != "fourm_21"])
    assert "−" not in printed(one)


def test_arms_without_a_common_source_get_a_reason_instead_of_an_empty_table() -> None:
    text = " ".join(printed(without_common_source()).split())
    assert "No route is measured for every arm: with predicts from RGB; without predicts from Shade." in text
    assert "Routes of every arm" not in text


def test_a_value_that_is_not_finite_is_a_dash() -> None:
    report = fake_report()
    broken = replace(
        report, scores=[replace(item, value=math.nan) if item.metric == "rmse" else item for item in report.scores]
    )
    assert "nan" not in printed(broken)
