"""The page of pictures: what is on it, and that a real browser shows it without an error."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.doctor.examine import examine
from experiments.doctor.page import Row, choose_samples, render_sample, render_samples, write_page
from experiments.doctor.samples import read_samples
from modalities.sources.stored import StoredFile
from tests.browser import BROWSER, browse
from tests.experiments.doctor.table import subject_of
from tests.experiments.doctor.test_examine import NAMES, healthy


def write(path: Path, table: dict[str, Any]) -> None:
    diagnosis = examine(subject_of(table, *NAMES))
    write_page(path, diagnosis, render_samples(diagnosis, choose_samples(diagnosis, 48)))


def row_of(**stored: Any) -> Row:
    subject = subject_of({"train": {"a": {**healthy()["train"]["1"], **stored}}}, *NAMES)
    (sample,) = read_samples(subject.source, subject.modalities, "train", ["a"])
    return render_sample(sample, subject.modalities)


def picture_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_a_row_has_every_modality_and_its_lines_over_the_photograph() -> None:
    row = row_of()
    assert [(tile.title, tile.state) for tile in row.tiles] == [
        ("RGB", "present"),
        ("Semantic segmentation", "present"),
        ("Semantic segmentation on RGB", "overlay"),
        ("Bounding boxes", "present"),
        ("Bounding boxes on RGB", "overlay"),
        ("Caption", "present"),
    ]
    np.testing.assert_array_equal(picture_of(row.tiles[0].picture), healthy()["train"]["1"]["rgb"])
    assert row.tiles[-1].text == "a dog on the grass"


def test_what_is_missing_or_unreadable_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    row = row_of(semseg=None, caption=StoredFile(path=tmp_path / "a.txt"))
    tiles = {tile.title: tile for tile in row.tiles}
    assert tiles["Semantic segmentation"].state == "missing"
    assert tiles["Caption"].state == "unreadable"
    assert str(tmp_path / "a.txt") in tiles["Caption"].text


def test_samples_with_faults_come_first_and_others_are_spread_over_the_splits() -> None:
    table = healthy()
    table["train"]["2"]["semseg"] = np.zeros((32, 16), np.uint8)
    table["train"]["1"]["caption"] = "ball " * 40
    diagnosis = examine(subject_of(table, *NAMES))
    chosen = choose_samples(diagnosis, 2)
    assert chosen == [("train", "2"), ("train", "1"), ("train", "0"), ("validation", "3")]
    assert [(row.split, row.key) for row in render_samples(diagnosis, chosen)] == chosen


def test_names_and_texts_are_escaped(tmp_path: Path) -> None:
    table = healthy()
    table["train"]["<b>key</b>"] = {**table["train"].pop("1"), "caption": "<script>throw 1</script>"}
    write(tmp_path / "page.html", table)
    text = (tmp_path / "page.html").read_text()
    assert "<b>key" not in text
    assert "<script>throw" not in text
    assert "&lt;script&gt;throw 1" in text


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_an_error(tmp_path: Path, width: int) -> None:
    table = healthy()
    table["train"]["2"]["semseg"] = np.zeros((32, 16), np.uint8)
    page = tmp_path / "page.html"
    write(page, table)
    # A script of the test's own reports what went wrong while the page loaded, and whether it is wider than the window.
    probe = """<script>
    window.problems = [];
    window.addEventListener("error", event => window.problems.push(String(event.message)), true);
    </script>"""
    report = """<script>window.addEventListener("load", () => {
    const slider = document.getElementById("mix");
    slider.value = 0.25; slider.dispatchEvent(new Event("input"));
    const images = [...document.images];
    document.body.dataset.problems = window.problems.join("; ");
    document.body.dataset.broken = images.filter(item => item.complete && !item.naturalWidth).length;
    document.body.dataset.overflow = document.documentElement.scrollWidth > window.innerWidth;
    document.body.dataset.mix = getComputedStyle(document.documentElement).getPropertyValue("--mix");
    });</script>"""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("<style>", probe + "<style>", 1).replace("</body>", report + "</body>"))
    loaded = browse(probed, tmp_path / "profile", f"--window-size={width},2000", "--dump-dom")
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', loaded))
    assert found["problems"] == ""
    assert found["broken"] == "0"
    assert found["overflow"] == "false"
    assert found["mix"].strip() == "0.25"
    assert "http://" not in page.read_text()
    assert "https://" not in page.read_text()
