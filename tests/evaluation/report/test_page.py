import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation.report import page as page_module
from evaluation.report.input import ReportInput
from evaluation.report.page import SECTIONS, render, write_report
from evaluation.report.tables import build_tables
from tests.evaluation.report.fake_report import ARMS, fake_report, fake_scores, without_common_source


@pytest.fixture
def report() -> ReportInput:
    return fake_report()


class Page(HTMLParser):
    """Tags that are opened and never closed, and everything that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "i", "line", "circle", "rect", "polyline", "br", "link"):
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data


def html_of(report: ReportInput) -> str:
    return render(report, build_tables(report))


def page_of(report: ReportInput) -> Page:
    page = Page()
    page.feed(html_of(report))
    return page


def test_the_page_is_whole_and_asks_the_network_for_nothing(report: ReportInput) -> None:
    page = page_of(report)
    assert page.open == []
    assert page.loads
    assert all(value.startswith("data:image/png;base64,") for value in page.loads)
    html = html_of(report)
    assert not re.search(r"url\(|@import|<script|<link", html)
    assert set(re.findall(r"https?://[^\"'\s]*", html)) <= {"http://www.w3.org/2000/svg"}


def test_texts_are_escaped(report: ReportInput) -> None:
    html = html_of(report)
    assert "7 versus 21 &lt;modalities&gt;" in html
    assert "a &lt;word&gt;" in html
    assert "Glow <b>" not in html


def test_every_section_is_a_template_and_every_template_a_section() -> None:
    folder = Path(page_module.__file__).parent / "templates" / "sections"
    assert {path.stem for path in folder.iterdir()} == set(SECTIONS)


def test_every_modality_has_its_row(report: ReportInput) -> None:
    text = page_of(report).text
    table = text[text.index("Every modality") :]
    for modality in report.modalities.values():
        assert modality.title in table


def test_verdicts_are_shown_in_words(report: ReportInput) -> None:
    html = html_of(report)
    assert "better, beyond noise (2 seeds)" in html
    assert "within noise (2 seeds)" in html
    assert "fourm_21 − fourm_7" in html


def test_arms_without_a_common_source_get_a_reason_instead_of_an_empty_table() -> None:
    page = page_of(without_common_source())
    assert page.open == []
    assert "No route is measured for every arm: with predicts from RGB; without predicts from Shade." in page.text
    assert "upper bound" not in page.text[: page.text.index("Every modality")]


def test_proxies_are_marked_wherever_they_are_shown(report: ReportInput) -> None:
    html = html_of(report)
    for place in re.finditer("Glow &lt;b&gt;", html):
        after = html[place.end() : place.end() + 60]
        assert "proxy" in after, after
    assert "stand in for an expert network" in html


def test_a_wall_time_says_what_was_taken_from_an_earlier_run(report: ReportInput) -> None:
    assert f"wall time, 1 of {len(report.stages)} stages reused" in page_of(report).text
    fresh = replace(report, stages=tuple(replace(stage, reused=False) for stage in report.stages))
    assert "wall time, " not in page_of(fresh).text


def test_a_codebook_of_which_little_is_used_is_warned_of(report: ReportInput) -> None:
    assert "Under 10 % of the codes are used" in page_of(report).text
    fine = replace(report, tokenizers=report.tokenizers[:1])
    assert "Under 10 % of the codes are used" not in page_of(fine).text


def test_one_seed_makes_a_page_that_claims_nothing(report: ReportInput) -> None:
    one = replace(report, seeds=(0,), scores=fake_scores(seeds=(0,)))
    text = page_of(one).text
    assert "one seed: no estimate of noise" in text
    assert "beyond noise (" not in text


def test_one_arm_and_bare_scores_make_a_page_too(report: ReportInput) -> None:
    bare = ReportInput(
        title="One arm",
        command="fourm ablate one.yaml",
        data="40 scenes.",
        arms={"fourm_7": ARMS["fourm_7"]},
        seeds=(0, 1),
        modalities=report.modalities,
        scores=[item for item in report.scores if item.arm != "fourm_21"],
    )
    page = page_of(bare)
    assert page.open == []
    assert "Held-out samples" not in page.text


def test_three_arms_are_each_compared_with_the_first(report: ReportInput) -> None:
    third = [replace(item, arm="third") for item in report.scores if item.arm == "fourm_7"]
    three = replace(report, arms={**ARMS, "third": ARMS["fourm_7"]}, scores=[*report.scores, *third])
    assert page_of(three).open == []
    row = next(row for row in build_tables(three).rows if (str(row.route), row.metric) == ("rgb->shade", "rmse"))
    assert set(row.differences) == {"fourm_21", "third"}


def test_a_figure_that_is_not_finite_is_a_dash(report: ReportInput) -> None:
    broken = replace(
        report, scores=[replace(item, value=math.nan) if item.metric == "rmse" else item for item in report.scores]
    )
    page = page_of(broken)
    assert "nan" not in page.text.lower().replace("nano", "")


def test_the_page_is_written_whole(report: ReportInput, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", report, build_tables(report))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")


def test_a_figure_of_fewer_samples_says_how_many(report: ReportInput) -> None:
    assert "n = 7" not in page_of(report).text
    fewer = [replace(score, num_samples=7) if score.route.target == "shade" else score for score in report.scores]
    text = page_of(replace(report, scores=fewer)).text
    assert text.count("n = 7") == 3
    # Those of all samples say nothing.
    assert f"n = {max(score.num_samples for score in report.scores)}" not in text
