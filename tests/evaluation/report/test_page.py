import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from evaluation.report.input import LossCurve, ReportInput, StageDuration, TokenizerSummary
from evaluation.report.page import findings, render, summary_table, write_report
from evaluation.report.tables import MetricRow, format_number, format_signed, headline_rows, metric_rows, modality_rows
from evaluation.scores import CROSS_ENTROPY, MASKED_ROUTE, ROUND_TRIP_ROUTE, WELL_FORMED, Score
from modalities.rendering.sheet import ContactSheet
from tests.evaluation import world

ARMS = {"fourm_7": ("rgb", "shade", "caption"), "fourm_21": ("rgb", "shade", "glow", "caption", "t5_caption")}


def score(arm: str, seed: int | None, name: str, target: str, metric: str, value: float, **rest: Any) -> Score:
    title = {"rmse": "RMSE", "bleu": "BLEU"}.get(metric, metric.replace("_", " "))
    known: dict[str, Any] = {"metric_title": title, "unit": "m", "higher_is_better": False, "num_samples": 40, **rest}
    return Score(arm=arm, seed=seed, route=name, target=target, metric=metric, value=value, **known)


def fake_scores(seeds: tuple[int, ...] = (0, 1)) -> list[Score]:
    """Of two arms; the second is better at shades beyond the noise, and equal at captions."""
    found = [score("", None, ROUND_TRIP_ROUTE, name, "rmse", 0.1, chance=0.9) for name in ("rgb", "shade", "glow")]
    found.append(
        score("", None, ROUND_TRIP_ROUTE, "caption", "bleu", 1.0, chance=0.1, unit="share", higher_is_better=True)
    )
    found.append(score("", None, ROUND_TRIP_ROUTE, "caption", WELL_FORMED, 1.0, unit="share", higher_is_better=True))
    for number_of_arm, (arm, names) in enumerate(ARMS.items()):
        for seed in seeds:
            off = 0.002 * seed
            for target in (name for name in names if name != "t5_caption"):
                found.append(
                    score(arm, seed, MASKED_ROUTE, target, CROSS_ENTROPY, 2.0 + 20 * off, chance=3.0, unit="nats")
                )
                found.append(
                    score(arm, seed, f"rgb->{target}", target, CROSS_ENTROPY, 2.0 + 20 * off, chance=3.0, unit="nats")
                )
                if target != "caption":
                    value = 0.5 + off - 0.1 * number_of_arm
                    found.append(score(arm, seed, f"rgb->{target}", target, "rmse", value, chance=0.9, ceiling=0.1))
            found.append(
                score(
                    arm,
                    seed,
                    "rgb->caption",
                    "caption",
                    "bleu",
                    0.5 + 20 * off,
                    chance=0.1,
                    ceiling=1.0,
                    unit="share",
                    higher_is_better=True,
                )
            )
    probe = ("t5_caption->caption", "caption", CROSS_ENTROPY, 0.25)
    return found + [score("fourm_21", seed, *probe, chance=0.7, unit="nats") for seed in seeds]


@pytest.fixture
def report() -> ReportInput:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    return ReportInput(
        title="7 versus 21 <modalities>",
        command="fourm ablate quickstart.yaml",
        data="40 scenes.",
        arms=ARMS,
        seeds=(0, 1),
        modalities=world.modalities(),
        scores=fake_scores(),
        histories=[
            LossCurve(arm=arm, seed=seed, name="train", points=((0, 5.0), (1, 4.0))) for arm in ARMS for seed in (0, 1)
        ],
        tokenizers=[
            TokenizerSummary(name="rgb", members=("rgb",), vocab_size=4, num_tokens=4, used=0.9, perplexity=3.1),
            TokenizerSummary(
                name="shade", members=("shade", "glow"), vocab_size=400, num_tokens=4, used=0.05, perplexity=3.1
            ),
        ],
        sheets=[ContactSheet(title="RGB to Shade", columns=("RGB", "fourm_7"), rows=((picture, "a <word>"),))],
        stages=[
            StageDuration(kind="data", name="train", start=0, seconds=3),
            StageDuration(kind="tokenizer", name="rgb", start=3, seconds=4, reused=True),
        ],
        models={"fourm_7": {"parameters": "0.65 M"}},
        manifest={"git commit": "abc"},
        wall_seconds=553,
    )


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


def page_of(report: ReportInput) -> Page:
    page = Page()
    page.feed(render(report))
    return page


def test_the_page_is_whole_and_asks_the_network_for_nothing(report: ReportInput) -> None:
    page = page_of(report)
    assert page.open == []
    assert page.loads
    assert all(value.startswith("data:image/png;base64,") for value in page.loads)
    html = render(report)
    assert not re.search(r"url\(|@import|<script|<link", html)
    assert set(re.findall(r"https?://[^\"'\s]*", html)) <= {"http://www.w3.org/2000/svg"}


def test_texts_are_escaped(report: ReportInput) -> None:
    html = render(report)
    assert "7 versus 21 &lt;modalities&gt;" in html
    assert "a &lt;word&gt;" in html
    assert "Glow <b>" not in html


def test_every_modality_has_its_row(report: ReportInput) -> None:
    text = page_of(report).text
    table = text[text.index("Every modality") :]
    for modality in report.modalities.values():
        assert modality.title in table
    rows = {row.name: row for row in modality_rows(report.scores, report.modalities, _rows(report))}
    assert list(rows) == list(report.modalities)
    assert rows["glow"].is_proxy
    assert rows["glow"].masked is not None
    assert set(rows["glow"].masked.arms) == {"fourm_21"}
    assert rows["t5_caption"].round_trip is None
    assert rows["t5_caption"].probe is not None
    assert rows["t5_caption"].probe.arms["fourm_21"].mean == 0.25
    assert rows["caption"].round_trip is not None
    assert rows["caption"].round_trip.metric == "bleu"


def test_proxies_are_marked_wherever_they_are_shown(report: ReportInput) -> None:
    html = render(report)
    for place in re.finditer("Glow &lt;b&gt;", html):
        after = html[place.end() : place.end() + 60]
        assert "proxy" in after or "masked" in after or "from rgb" in after, after
    assert "stand in for an expert network" in html


def test_a_wall_time_says_what_was_taken_from_an_earlier_run(report: ReportInput) -> None:
    assert f"wall time, 1 of {len(report.stages)} stages reused" in page_of(report).text
    fresh = replace(report, stages=tuple(replace(stage, reused=False) for stage in report.stages))
    assert "wall time, " not in page_of(fresh).text


def test_a_codebook_of_which_little_is_used_is_warned_of(report: ReportInput) -> None:
    assert "Under 10 % of the codes are used" in page_of(report).text
    fine = replace(report, tokenizers=report.tokenizers[:1])
    assert "Under 10 % of the codes are used" not in page_of(fine).text


def test_what_is_beyond_noise_is_told_apart_from_what_is_not(report: ReportInput) -> None:
    rows = {(row.route, row.metric): row for row in _rows(report)}
    shade, caption = rows["rgb->shade", "rmse"], rows["rgb->caption", "bleu"]
    assert shade.differences["fourm_21"].verdict.value == "better"
    assert shade.differences["fourm_21"].mean == pytest.approx(-0.1)
    assert caption.differences["fourm_21"].verdict.value == "noise"
    assert shade.normalized_scores == pytest.approx({"fourm_7": (0.9 - 0.501) / 0.8, "fourm_21": (0.9 - 0.401) / 0.8})
    html = render(report)
    assert "better, beyond noise (2 seeds)" in html
    assert "within noise (2 seeds)" in html
    (first, second) = findings([row for row in _rows(report) if set(row.arms) == set(ARMS)], list(ARMS))
    assert "fourm_21 is better than fourm_7 beyond noise in 2, worse in 0" in first
    assert "would still stand out" in second


def test_the_headline_is_the_first_metric_of_what_all_arms_share(report: ReportInput) -> None:
    found = headline_rows(_rows(report), list(ARMS))
    assert [(row.target, row.metric) for row in found] == [("rgb", "rmse"), ("shade", "rmse"), ("caption", "bleu")]


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
    _printed(bare)


def test_three_arms_are_each_compared_with_the_first(report: ReportInput) -> None:
    third = [replace(item, arm="third") for item in report.scores if item.arm == "fourm_7"]
    three = replace(report, arms={**ARMS, "third": ARMS["fourm_7"]}, scores=[*report.scores, *third])
    assert page_of(three).open == []
    row = next(row for row in _rows(three) if (row.route, row.metric) == ("rgb->shade", "rmse"))
    assert set(row.differences) == {"fourm_21", "third"}
    _printed(three)


def test_a_figure_that_is_not_finite_is_a_dash(report: ReportInput) -> None:
    broken = replace(
        report, scores=[replace(item, value=math.nan) if item.metric == "rmse" else item for item in report.scores]
    )
    page = page_of(broken)
    assert "nan" not in page.text.lower().replace("nano", "")
    _printed(broken)


def test_the_terminal_shows_both_tables(report: ReportInput) -> None:
    text = _printed(report)
    for word in (
        "What every arm predicts",
        "Every modality",
        "fourm_7",
        "fourm_21",
        "RGB",
        "Shade",
        "(proxy)",
        "input only",
    ):
        assert word in text


def test_the_page_is_written_whole(report: ReportInput, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", report)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "share", "50.0 %"),
        (0.8034, "m", "0.803"),
        (17.649, "deg", "17.6"),
        (123.4, "", "123"),
        (1.2e-5, "", "1.20e-05"),
        (None, "", "–"),
        (math.nan, "share", "–"),
        (0.0, "m", "0"),
    ],
)
def test_a_number_is_told_with_three_digits(value: float | None, unit: str, text: str) -> None:
    assert format_number(value, unit) == text


def test_a_difference_has_its_sign_and_shares_differ_in_percent_points() -> None:
    assert format_signed(-0.1, "share") == "−10.0 pp"
    assert format_signed(0.25, "m") == "+0.250"


def _rows(report: ReportInput) -> list[MetricRow]:
    return metric_rows(report.scores, report.modalities, list(report.arms))


def _printed(report: ReportInput) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(summary_table(report))
    return capture.get()
