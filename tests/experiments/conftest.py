"""One miniature run that many tests look at, each from its side."""

from pathlib import Path

import pytest

from tests.experiments.miniature import ablate


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a finished miniature of both arms. Tests read it; those that write take a copy."""
    root = tmp_path_factory.mktemp("finished")
    assert ablate(root) == 0
    return root
