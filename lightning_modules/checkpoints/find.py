"""Location of a model's folder: given itself, or found in the record of an ablation."""

import os
from collections.abc import Mapping
from pathlib import Path

from lightning_modules.checkpoints.model import WEIGHTS_FILE
from modalities.errors import DataError
from modalities.storage.atomic import read_json_object

RECORD_FILE = "ablation.json"
"""File in an ablation's folder that lists its models."""


def record_models(folder: Path, models: Mapping[str, Path]) -> dict[str, str]:
    """Model folders relative to the ablation's ``folder``, for a record that stays valid when the root is moved."""
    return {name: Path(os.path.relpath(model, folder)).as_posix() for name, model in models.items()}


def find_model(path: Path, arm: str | None = None, seed: int | None = None) -> Path:
    """The folder of one model.

    Args:
        path: A model's folder, or an ablation's.
        arm: Arm of the ablation; None takes the last one in its config.
        seed: Seed of the model; None takes the last one in the ablation's config.

    Raises:
        DataError: There is no such model; the message names the models that there are.
    """
    if (path / WEIGHTS_FILE).is_file():
        return path
    record = path / RECORD_FILE
    if not record.is_file():
        raise DataError(
            f"{path} is neither a model's folder nor an ablation's: no {WEIGHTS_FILE}, no {RECORD_FILE} in it."
        )
    models = read_json_object(record).get("models")
    if not isinstance(models, dict) or not models or not all(isinstance(item, str) for item in models.values()):
        raise DataError(f"{record} does not list the folders of models. Run its ablation again.")
    matching = [
        name
        for name in models
        if (arm is None or name.split("/")[0] == arm) and (seed is None or name.endswith(f"/{seed}"))
    ]
    if not matching:
        raise DataError(f"{path} has no model of arm {arm!r} and seed {seed!r}; it has {', '.join(models)}.")
    folder = path / str(models[matching[-1]])
    if not folder.is_dir():
        raise DataError(
            f"The model {matching[-1]} of {path} is missing: {folder} is no folder. "
            "Move or copy an ablation's root as a whole, with its folder stages."
        )
    return folder.resolve()
