"""Shapes and types of every public function are checked while tests run."""

import os
import signal

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401  The hook looks it up by name.

# A shell's background job is born deaf to Ctrl-C, and so would be every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

install_import_hook(
    ["modalities", "networks", "lightning_modules", "evaluation", "experiments", "fourm_lab"], "tests.typechecker.check"
)
