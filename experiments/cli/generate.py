"""From any files and texts to any modalities of a trained model: pictures, values, and the settings beside them."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.generate_options import add_generate_options, generation_progress, parse_request
from experiments.cli.options import print_lines
from experiments.cli.predict import CommandOutput
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import LoadedModel, load_model
from lightning_modules.inference.gallery.contact_sheet import contact_sheet, render_targets
from lightning_modules.inference.request import (
    GenerationRequest,
    GenerationResult,
    Progress,
    resolve_alias,
    resolve_target,
    run_request,
)
from lightning_modules.inference.settings import plan_to_dict
from modalities.registry import Registry, default_registry
from modalities.rendering.sheet import Rendering, render_tile
from modalities.spec import Modality, Provenance, SequenceModality
from modalities.storage.atomic import atomic_folder_update
from networks.tokenizers.codec import Codec

PICTURE_SIZE = 448
"""Side of a single picture, in pixels."""


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
    loaded = load_model(find_model(model, arm, seed))
    codec = loaded.codec(registry or default_registry())
    targets = [resolve_target(name, loaded.model, codec) for name in request.targets]
    for name in {*targets, *map(resolve_alias, request.sources)} & set(codec.modalities):
        loaded.require_tokenizers(codec.modalities[name])
    outcome = run_request(loaded.model, codec, request, progress)
    lines = write_results(out, codec, request, outcome)
    return CommandOutput(lines=lines, warning=_data_warning(loaded, codec, outcome.targets))


def write_results(out: Path, codec: Codec, request: GenerationRequest, outcome: GenerationResult) -> list[str]:
    """Write everything; lines that say where it is.

    Raises:
        DataError: Something cannot be written.
    """
    lines: list[str] = []
    drawings = render_targets(codec, outcome)
    results: dict[str, Any] = {}
    with atomic_folder_update(out, "generation.json") as partial:
        for name, target_values in outcome.values.items():
            results[name] = _write_target_files(partial, codec.modalities[name], target_values, drawings[name])
            lines += [f"{name}: {item['text'] if 'text' in item else out / item['picture']}" for item in results[name]]
        contact_sheet(codec, {"": outcome}).image().save(partial / "sheet.png")
        record = {
            "seed": request.seed,
            "num": request.num,
            "targets": outcome.targets,
            "settings": plan_to_dict(outcome.plan, outcome.targets),
            "inputs": {resolve_alias(name): source.value for name, source in request.sources.items()},
            "tokens": {name: outcome.parts[name].rows() for name in outcome.targets if name in outcome.parts},
            "results": results,
        }
        (partial / "generation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return [*lines, f"{out / 'sheet.png'}"]


def _write_target_files(
    out: Path, modality: Modality, values: Sequence[Any], drawings: Sequence[Rendering]
) -> list[dict[str, Any]]:
    entries = []
    for number, (value, drawing) in enumerate(zip(values, drawings, strict=True)):
        stem = modality.name if len(values) == 1 else f"{modality.name}_{number:02d}"
        entry: dict[str, Any] = {"file": f"{stem}{modality.suffix}", "labels": modality.provenance.value}
        modality.write(out / entry["file"], value)
        if isinstance(drawing, str):
            entry["text"] = drawing
        else:
            entry["picture"] = f"{stem}_picture.png"
            render_tile(drawing, PICTURE_SIZE).save(out / entry["picture"])
        if isinstance(modality, SequenceModality):
            entry["value"] = modality.to_json(value)
        entries.append(entry)
    return entries


def _data_warning(loaded: LoadedModel, codec: Codec, targets: Sequence[str]) -> str:
    data = loaded.card.get("data", "data that its card does not name")
    warning = str(loaded.card.get("notice", f"This model was trained on {data}: what it makes of photographs is poor."))
    proxies = [name for name in targets if codec.modalities[name].provenance is Provenance.proxy]
    if proxies:
        warning += f" {', '.join(proxies)} are proxies, not the features of the networks they are named after."
    return warning
