"""Shapes and types of every public function are checked while tests run."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401  The hook looks it up by name.

install_import_hook(
    ["modalities", "networks", "lightning_modules", "evaluation", "experiments"], "tests.typechecker.check"
)
