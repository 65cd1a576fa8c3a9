"""The report in a real browser without a window: what the page holds after loading, and that it is not blank."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import BROWSER, browse

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium")


def test_the_report_shows_tables_and_pictures(finished: Path, tmp_path: Path) -> None:
    page = finished / "mini" / "report.html"
    loaded = browse(page, tmp_path / "a", "--dump-dom")
    assert loaded.count("<table") >= 3
    assert loaded.count("<svg") >= 2
    assert "data:image/png;base64," in loaded
    assert "SAM instances" in loaded
    picture = tmp_path / "report.png"
    browse(page, tmp_path / "b", "--window-size=1280,4000", f"--screenshot={picture}")
    shown = np.asarray(Image.open(picture).convert("RGB"))
    assert shown.shape == (4000, 1280, 3)
    # Every band of the page has something drawn on its ground.
    bands = shown.reshape(8, 500, 1280, 3)
    assert all(len(np.unique(band.reshape(-1, 3), axis=0)) > 20 for band in bands)
