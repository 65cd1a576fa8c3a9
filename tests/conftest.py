"""Shapes and types of every public function are checked while tests run; tests of one fixture share a process."""

import os
import signal

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401  The hook looks it up by name.

# A shell's background job is born deaf to Ctrl-C, and so would be every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

install_import_hook(
    ["modalities", "networks", "lightning_modules", "evaluation", "experiments", "fourm_lab"], "tests.typechecker.check"
)

# How long an example takes says nothing on a machine that does other work beside it.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

COSTLY_FIXTURES = ("finished",)
"""Session fixtures that take half a minute: the tests that use one run in one process (``--dist loadgroup``)."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by the costly fixture that they use, all others by file."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = next((name for name in COSTLY_FIXTURES if name in fixtures), str(item.path))
        item.add_marker(pytest.mark.xdist_group(group))
