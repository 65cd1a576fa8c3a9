"""The model folder that a path means."""

import json
from pathlib import Path

from modalities.errors import DataError

RECORD_FILE = "ablation.json"
"""File in an ablation's folder that says where its models are."""


def find_model(path: Path, arm: str | None = None, seed: int | None = None) -> Path:
    """The model folder that a person means: itself, or one of an ablation's models; the largest arm's where not said.

    Raises:
        DataError: There is none.
    """
    if (path / "model.safetensors").is_file():
        return path
    if not (path / RECORD_FILE).is_file():
        raise DataError(
            f"{path} is neither a model's folder nor an ablation's: no model.safetensors, no {RECORD_FILE} in it."
        )
    try:
        models = {
            str(name): path / Path(model_folder)
            for name, model_folder in json.loads((path / RECORD_FILE).read_text())["models"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path / RECORD_FILE} is damaged, expected model paths: {type(error).__name__}. Run its ablation again."
        ) from error
    matching = [
        name
        for name in models
        if (arm is None or name.split("/")[0] == arm) and (seed is None or name.endswith(f"/{seed}"))
    ]
    if not matching:
        raise DataError(f"{path} has no model of arm {arm!r} and seed {seed!r}; it has {', '.join(models)}.")
    return models[matching[-1]]
