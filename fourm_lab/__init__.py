"""The front door for Python: load a trained model, run an ablation, list modalities. See ``docs/python.md``.

Importing this loads neither torch nor any model; what needs them is imported when it is called.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from lightning import Callback

    from experiments.engine.observer import RunObserver
    from lightning_modules.inference.pipeline import Pipeline
    from modalities.registry import Registry

__all__ = ["CompletedAblation", "Pipeline", "ablate", "list_modalities", "load"]

PACKAGES = ("modalities", "networks", "lightning_modules", "evaluation", "experiments")
"""The distribution's other packages, which lie beside this one."""

ARTIFACT_SCHEMES = ("runs:/", "models:/")


def _check_packages() -> None:
    """Check that the packages of common names are the distribution's own.

    Raises:
        ImportError: Another folder comes first on Python's path.
    """
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else list(spec.submodule_search_locations or [spec.origin or name])
        if not places or Path(places[0]).resolve() != home / name:
            found = places[0] if places else "nowhere"
            raise ImportError(
                f"fourm_lab needs its own package {name!r} ({home / name}), but Python finds {found}: "
                "start Python in another folder, or rename that one."
            )


_check_packages()


def __getattr__(name: str) -> Any:
    """`Pipeline` is imported when it is asked for."""
    if name == "Pipeline":
        from lightning_modules.inference.pipeline import Pipeline

        return Pipeline
    raise AttributeError(f"module 'fourm_lab' has no attribute {name!r}")


@dataclass(frozen=True, kw_only=True)
class CompletedAblation:
    """A finished ablation."""

    scores: "pd.DataFrame"
    """One row a figure: arm, seed, route, target, metric, value, unit, and its reference levels."""
    folder: Path
    """With the report, the scores and the record of the models; `load` takes it."""
    report: Path
    seconds: float
    """Wall time of the call."""


def load(
    source: str | Path,
    *,
    arm: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    registry: "Registry | None" = None,
) -> "Pipeline":
    """Load a trained model with its tokenizers.

    Args:
        source: An ablation's folder, a model's folder, or an MLflow URI: ``runs:/RUN_ID`` or ``models:/NAME/VERSION``.
        arm: In an ablation, which arm; the last one of its config where None.
        seed: In an ablation, which seed; the last one of its config where None.
        device: ``cpu``, ``cuda``, ...; a GPU where None and there is one.
        registry: Where modalities come from; everything built in and installed where None.

    Raises:
        UserError: There is no such model, or it is damaged.
    """
    from experiments.tracking import download_artifacts
    from lightning_modules.checkpoints.find import find_model
    from lightning_modules.inference.pipeline import Pipeline

    folder = download_artifacts(str(source)) if str(source).startswith(ARTIFACT_SCHEMES) else Path(source)
    return Pipeline.load(find_model(folder, arm, seed), registry, device)


def ablate(
    config: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    callbacks: "Sequence[Callback]" = (),
    observer: "RunObserver | None" = None,
    registry: "Registry | None" = None,
) -> CompletedAblation:
    """Run what is missing of an ablation: data, tokenizers, models, evaluation and report.

    Args:
        config: A YAML file, or the name of a shipped config.
        overrides: Settings that differ, as ``{"optim.total_tokens": 1e6}``.
        callbacks: Lightning callbacks for the Trainer of each model that is trained.
        observer: Receives the run's events.
        registry: Where modalities come from; everything built in and installed where None.

    Raises:
        UserError: A setting is wrong, a stage failed, or nothing can be written.
    """
    import pandas as pd

    from experiments.ablation import run_ablation
    from experiments.schema.load import find_config, load_config

    words = [f"{key}={_format_setting(value)}" for key, value in (overrides or {}).items()]
    command = f"fourm_lab.ablate({str(config)!r}, {dict(overrides or {})!r})"
    result = run_ablation(
        load_config(find_config(str(config)), words),
        registry=registry,
        callbacks=callbacks,
        observer=observer,
        command=command,
    )
    scores = pd.DataFrame([score.to_record() for score in result.scores])
    return CompletedAblation(scores=scores, folder=result.folder, report=result.report, seconds=result.seconds)


def list_modalities(registry: "Registry | None" = None) -> list[str]:
    """The names of all modalities that are built in or installed."""
    from modalities.registry import default_registry

    return sorted(registry or default_registry())


def _format_setting(value: Any) -> str:
    """A setting as the command line writes it: JSON, but for strings, paths and whole floats such as 1e6."""
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)
