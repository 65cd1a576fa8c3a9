"""From an image file to pictures and records of other modalities, by a trained model."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.models.results import PICTURE_SIZE, CommandOutput, describe_entry, write_values
from experiments.cli.options import add_model_options, print_lines, split_names
from lightning_modules.checkpoints.find import find_model
from lightning_modules.inference.pipeline import Pipeline
from lightning_modules.inference.request import resolve_target
from lightning_modules.inference.values import crop_value, read_value
from modalities.errors import CheckpointError, UnknownNameError
from modalities.presets import IMAGE
from modalities.registry import Registry
from modalities.rendering.sheet import render_tile, render_value
from modalities.storage.atomic import atomic_folder_update


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the image, the model, the targets and the folder of results."""
    parser.add_argument("image", type=Path, help="the image file")
    add_model_options(parser)
    parser.add_argument("--to", required=True, help="targets, as in depth,semseg,caption,boxes")
    parser.add_argument("--out", type=Path, default=Path("prediction"), help="folder of the results")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Predict, and print where the results are.

    Raises:
        UserError: The image, the model or a target does not fit.
    """
    targets = split_names(arguments.to)
    output = predict_image(
        arguments.image, arguments.model, targets, arguments.out, arm=arguments.arm, seed=arguments.model_seed
    )
    print_lines(console, output.lines)
    if output.warning:
        print_lines(console, [output.warning], style="yellow")


def predict_image(
    image: Path,
    model: Path,
    targets: Sequence[str],
    out: Path,
    *,
    arm: str | None = None,
    seed: int | None = None,
    registry: Registry | None = None,
) -> CommandOutput:
    """Predict ``targets`` from an image and write pictures, values and ``prediction.json`` into ``out``.

    Raises:
        UnknownNameError: The model has no such target.
        DataError: The image cannot be read, or the results cannot be written.
        CheckpointError: The model's folder is incomplete, or it does not take images.
    """
    pipeline = Pipeline.load(find_model(model, arm, seed), registry)
    if IMAGE not in pipeline.modalities:
        raise CheckpointError(f"This model does not take images: it has {', '.join(pipeline.modalities)}, not {IMAGE}.")
    if not targets:
        raise UnknownNameError("target", "", pipeline.targets)
    names = [resolve_target(name, pipeline.model, pipeline.codec) for name in targets]
    values = pipeline.predict({IMAGE: image}, to=names)
    return CommandOutput(lines=_write_results(out, pipeline, image, values), warning=pipeline.notice(names))


def _write_results(out: Path, pipeline: Pipeline, image: Path, values: Mapping[str, Any]) -> list[str]:
    rgb = pipeline.modalities[IMAGE]
    entries: dict[str, Any] = {}
    with atomic_folder_update(out, "prediction.json") as partial:
        cropped = crop_value(rgb, read_value(rgb, image))
        render_tile(render_value(rgb, cropped), PICTURE_SIZE).save(partial / "input.png")
        for name, value in values.items():
            (entries[name],) = write_values(partial, pipeline.modalities[name], [value])
        (partial / "prediction.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return [describe_entry(out, name, entry) for name, entry in entries.items()]
