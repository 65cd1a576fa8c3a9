import math
import re
from xml.etree import ElementTree

import pytest

from evaluation.report.plots import Curve, DotRow, TimeBar, dot_plot, downsample, line_plot, timeline_plot


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_a_dot_plot_is_sound_svg_with_a_dot_for_each_seed_and_mean() -> None:
    lines = [
        DotRow(label="Depth <m>", note="a & b", arms=((0.1, 0.2), (0.5, math.nan))),
        DotRow(label="RGB", arms=((), (2.0,))),
    ]
    svg = parsed(dot_plot(lines, low=0.0, high=1.0, ticks=[(0.0, "0"), (1.0, "1")], title='shares "x"'))
    circles = [item for item in svg.iter() if item.tag.endswith("circle")]
    assert len(circles) == (2 + 1) + (1 + 1) + 0 + (1 + 1)
    right = max(float(item.attrib["cx"]) for item in circles)
    assert right <= 900 - 140
    assert "Depth <m>" in [item.text for item in svg.iter()]


def test_a_dot_stands_where_its_value_is() -> None:
    svg = parsed(dot_plot([DotRow(label="", arms=((0.25,),))], low=0.0, high=1.0, ticks=[], title=""))
    (dot, mean) = (item for item in svg.iter() if item.tag.endswith("circle"))
    assert float(dot.attrib["cx"]) == float(mean.attrib["cx"]) == pytest.approx(220 + 540 * 0.25)


def test_curves_stay_inside_and_leave_out_what_is_not_finite() -> None:
    line = Curve(arm=0, points=((0, 5.0), (1, math.nan), (2, 3.0), (3, 1e9)))
    svg = parsed(line_plot([line], title="loss", x_label="step", y_label="nats"))
    (curve,) = (item for item in svg.iter() if item.tag.endswith("polyline"))
    points = [tuple(map(float, pair.split(","))) for pair in curve.attrib["points"].split()]
    assert len(points) == 3
    assert all(0 <= x <= 900 and 0 <= y <= 300 for x, y in points)


def test_no_points_and_no_stages_make_no_picture() -> None:
    assert line_plot([], title="", x_label="", y_label="") == ""
    assert line_plot([Curve(arm=0, points=((0.0, math.nan),))], title="", x_label="", y_label="") == ""
    assert timeline_plot([], title="") == ""


def test_a_time_line_has_a_bar_for_each_stage_in_order_of_start() -> None:
    svg = timeline_plot(
        [TimeBar(label="b", start=5, seconds=5, color=1), TimeBar(label="a", start=0, seconds=5, color=0)], title=""
    )
    bars = [item for item in parsed(svg).iter() if item.tag.endswith("rect")]
    assert [float(bar.attrib["x"]) for bar in bars] == [260.0, 540.0]
    assert [float(bar.attrib["width"]) for bar in bars] == [280.0, 280.0]
    assert re.search(r">a<.*>b<", svg)


def test_smoothing_keeps_the_mean_and_the_ends_of_the_axis() -> None:
    points = [(float(step), float(step % 7)) for step in range(1000)] + [(1000.0, math.nan)]
    found = downsample(points, max_count=100)
    assert len(found) == 100
    assert sum(y for _, y in found) / 100 == pytest.approx(sum(step % 7 for step in range(1000)) / 1000)
    assert downsample([(0.0, 1.0)]) == ((0.0, 1.0),)
