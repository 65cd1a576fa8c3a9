"""From any files and texts to any modalities of a trained model: pictures, values, and the settings beside them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.files import written_together
from evaluation.generation.contact import contact_sheet, drawn_targets
from evaluation.generation.request import Outcome, Progress, Request, fulfil, full_name, known_target
from evaluation.generation.settings import told
from evaluation.held_out import Codecs
from evaluation.pictures import Drawing, tile
from experiments.ablation import find_model
from experiments.predict import Answer
from lightning_modules.checkpoint import LoadedModel, load_model
from modalities.registry import Registry, default_registry
from modalities.spec import Modality, Provenance, SequenceModality

SIDE = 448
"""Side of a single picture, in pixels."""


def generate_files(
    request: Request,
    model: Path,
    out: Path,
    progress: Progress,
    *,
    arm: str | None = None,
    seed: int | None = None,
    registry: Registry | None = None,
) -> Answer:
    """Generate, and write a contact sheet, a picture and a value for each target, and ``generation.json`` into ``out``.

    Raises:
        UserError: An input, a target or a setting does not fit the model, or a file cannot be read or written.
    """
    loaded = load_model(find_model(model, arm, seed))
    codecs = _codecs(loaded, registry or default_registry())
    targets = [known_target(name, codecs) for name in request.targets]
    for name in {*targets, *map(full_name, request.sources)} & set(codecs.modalities):
        loaded.expect(codecs.modalities[name])
    outcome = fulfil(loaded.model, codecs, request, progress)
    lines = write_results(out, codecs, request, outcome)
    return Answer(lines=lines, warning=_warning(loaded, codecs, outcome.targets))


def write_results(out: Path, codecs: Codecs, request: Request, outcome: Outcome) -> list[str]:
    """Write everything; lines that say where it is.

    Raises:
        DataError: Something cannot be written.
    """
    lines: list[str] = []
    drawings = drawn_targets(codecs, outcome)
    results: dict[str, Any] = {}
    with written_together(out, "generation.json") as partial:
        for name, found in outcome.values.items():
            results[name] = _write_target(partial, codecs.modalities[name], found, drawings[name])
            lines += [f"{name}: {item['text'] if 'text' in item else out / item['picture']}" for item in results[name]]
        contact_sheet(codecs, {"": outcome}).image().save(partial / "sheet.png")
        record = {
            "seed": request.seed,
            "num": request.num,
            "targets": outcome.targets,
            "settings": told(outcome.plan, outcome.targets),
            "inputs": {full_name(name): source.value for name, source in request.sources.items()},
            "tokens": {name: outcome.parts[name].rows() for name in outcome.targets if name in outcome.parts},
            "results": results,
        }
        (partial / "generation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return [*lines, f"{out / 'sheet.png'}"]


def _codecs(loaded: LoadedModel, registry: Registry) -> Codecs:
    return Codecs(
        modalities=loaded.modalities_from(registry),
        streams=loaded.streams,
        learnt={name: item.tokenizer for name, item in loaded.tokenizers.items()},
        text=loaded.text,
    )


def _write_target(
    out: Path, modality: Modality, values: Sequence[Any], drawings: Sequence[Drawing]
) -> list[dict[str, Any]]:
    told_of = []
    for number, (value, drawing) in enumerate(zip(values, drawings, strict=True)):
        stem = modality.name if len(values) == 1 else f"{modality.name}_{number:02d}"
        entry: dict[str, Any] = {"file": f"{stem}{modality.suffix}", "labels": modality.provenance.value}
        modality.write(out / entry["file"], value)
        if isinstance(drawing, str):
            entry["text"] = drawing
        else:
            entry["picture"] = f"{stem}_picture.png"
            tile(drawing, SIDE).save(out / entry["picture"])
        if isinstance(modality, SequenceModality) and hasattr(modality, "to_json"):
            entry["value"] = modality.to_json(value)
        told_of.append(entry)
    return told_of


def _warning(loaded: LoadedModel, codecs: Codecs, targets: Sequence[str]) -> str:
    data = loaded.card.get("data", "procedural scenes")
    warning = str(loaded.card.get("notice", f"This model was trained on {data}: what it makes of photographs is poor."))
    proxies = [name for name in targets if codecs.modalities[name].provenance is Provenance.proxy]
    if proxies:
        warning += f" {', '.join(proxies)} are proxies, not the features of the networks they are named after."
    return warning
