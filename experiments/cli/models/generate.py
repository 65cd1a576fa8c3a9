"""From any files and texts to any modalities of a trained model: pictures, values, and the settings beside them."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.models.generate_options import add_generate_options, generation_progress
from experiments.cli.models.generation_request import parse_request
from experiments.cli.models.results import CommandOutput, describe_entry, write_values
from experiments.cli.options import print_lines
from lightning_modules.checkpoints.find import find_model
from lightning_modules.inference.gallery.contact_sheet import contact_sheet
from lightning_modules.inference.pipeline import Pipeline
from lightning_modules.inference.request import GenerationRequest, GenerationResult, Progress, resolve_alias
from lightning_modules.inference.settings import plan_to_dict
from modalities.registry import Registry
from modalities.storage.atomic import atomic_folder_update


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of the command."""
    add_generate_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Generate, and print where the results are.

    Raises:
        UserError: An input, a target or a setting does not fit the model.
    """
    with generation_progress(console) as progress:
        output = generate_files(
            parse_request(arguments),
            arguments.model,
            arguments.out,
            progress,
            arm=arguments.arm,
            seed=arguments.model_seed,
        )
    print_lines(console, output.lines)
    print_lines(console, [output.warning], style="yellow")


def generate_files(
    request: GenerationRequest,
    model: Path,
    out: Path,
    progress: Progress,
    *,
    arm: str | None = None,
    seed: int | None = None,
    registry: Registry | None = None,
) -> CommandOutput:
    """Generate, and write a contact sheet, a picture and a value for each target, and ``generation.json`` into ``out``.

    Raises:
        UserError: An input, a target or a setting does not fit the model, or a file cannot be read or written.
    """
    pipeline = Pipeline.load(find_model(model, arm, seed), registry)
    result = pipeline.run(request, progress)
    return CommandOutput(lines=write_results(out, pipeline, request, result), warning=pipeline.notice(result.targets))


def write_results(out: Path, pipeline: Pipeline, request: GenerationRequest, result: GenerationResult) -> list[str]:
    """Write everything; lines that say where it is.

    Raises:
        DataError: Something cannot be written.
    """
    entries: dict[str, Any] = {}
    with atomic_folder_update(out, "generation.json") as partial:
        for name, values in result.values.items():
            entries[name] = write_values(partial, pipeline.modalities[name], values)
        contact_sheet(pipeline.codec, {"": result}).image().save(partial / "sheet.png")
        record = {
            "seed": request.seed,
            "num": request.num,
            "targets": result.targets,
            "settings": plan_to_dict(result.plan, result.targets),
            "inputs": {
                resolve_alias(name, pipeline.modalities): str(source.value) for name, source in request.sources.items()
            },
            "tokens": {name: result.parts[name].rows() for name in result.targets if name in result.parts},
            "results": entries,
        }
        (partial / "generation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    lines = [describe_entry(out, name, entry) for name, found in entries.items() for entry in found]
    return [*lines, f"{out / 'sheet.png'}"]
