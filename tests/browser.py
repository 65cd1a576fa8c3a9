"""Headless Chromium, for tests that look at a page as a person does."""

import shutil
import subprocess
from pathlib import Path

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
"""The browser; None where none is installed."""


def browse(page: Path, profile: Path, *flags: str) -> str:
    """Load a page, and give what the browser writes to its standard output.

    Args:
        profile: Folder of the browser's own files; each call takes a fresh one.
    """
    assert BROWSER is not None
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
    command = [BROWSER, *quiet, "--virtual-time-budget=5000", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
