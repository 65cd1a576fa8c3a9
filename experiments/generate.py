"""From any files and texts to any modalities of a trained model: pictures, values, and the settings beside them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evaluation.decoding import decode_dense, decode_sequences, is_dense
from evaluation.files import write_text
from evaluation.held_out import Codecs
from evaluation.instances import INSTANCES, dense_instances
from evaluation.pictures import Drawing, Sheet, draw, tile
from experiments.ablation import find_model
from experiments.generation_inputs import Source, Taken, is_whole_image, take
from experiments.generation_settings import Settings, plan_of, told
from experiments.predict import ALIASES, Answer
from lightning_modules.checkpoint import LoadedModel, load_model
from modalities.errors import DataError, UnknownNameError
from modalities.registry import Registry, default_registry
from modalities.spec import Modality, Provenance, SequenceModality
from networks.batch import Column
from networks.generation.canvas import Part
from networks.generation.defaults import in_order
from networks.generation.generate import generate_iter
from networks.generation.inputs import Given
from networks.generation.plan import GenerationError, Plan
from networks.streams import PIXELS, StreamKind

SIDE = 448
"""Side of a single picture, in pixels."""
SHOWN = 16
"""Most samples on the contact sheet."""

Progress = Callable[[str, int, int], None]
"""Takes the target at work, its steps done, and its steps in all; 0 where that is open."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be generated from what."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    targets: Sequence[str] = ()
    settings: Settings = field(default_factory=Settings)
    num: int = 1
    """Variations."""
    seed: int = 0
    points: int = 0
    """Query points of a dense map of instances, side by side in one batch; 0 writes instances as one sequence."""
    is_ordered: bool = True
    """True for the published order of targets, False for the order given."""


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
    targets = [_known(name, loaded) for name in request.targets]
    for name in {*targets, *map(full_name, request.sources)} & set(codecs.modalities):
        loaded.expect(codecs.modalities[name])
    targets = in_order(targets) if request.is_ordered else targets
    sources = {full_name(name): source for name, source in request.sources.items()}
    if request.num < 1:
        raise GenerationError(f"--num must be at least 1, got {request.num}.")
    taken = take(loaded.model, codecs, sources, targets, request.num)
    from_image = is_whole_image(taken.given, loaded.model)
    plan = plan_of(
        request.settings,
        loaded.streams,
        targets,
        from_image=from_image,
        rename=lambda name: _entrance(full_name(name), taken),
        given=taken.given,
    )
    parts = run(loaded, taken, targets, plan, request, progress)
    values = {name: _values(codecs, name, parts[name]) for name in targets if name in parts}
    if request.points and INSTANCES in targets:
        given = {**taken.given, **{name: _given(parts[name]) for name in values}}
        generator = torch.Generator().manual_seed(request.seed)
        values[INSTANCES] = [dense_instances(loaded.model, codecs, given, plan, request.points, generator)]
    record: dict[str, Any] = {"seed": request.seed, "num": request.num, "targets": targets}
    record["settings"] = told(plan, targets)
    record["inputs"] = {name: source.value for name, source in sources.items()}
    record["tokens"] = {name: parts[name].rows() for name in targets if name in parts}
    lines = write_results(out, codecs, taken, values, record)
    return Answer(lines=lines, warning=_warning(loaded, codecs, targets))


def run(
    loaded: LoadedModel, taken: Taken, targets: Sequence[str], plan: Plan, request: Request, progress: Progress
) -> Mapping[str, Part]:
    """Every part at the end. What a dense map of instances needs is generated without them."""
    chosen = [name for name in targets if not (request.points and name == INSTANCES)]
    generator = torch.Generator().manual_seed(request.seed)
    parts: Mapping[str, Part] = {}
    if not chosen and targets:
        return parts
    for state in generate_iter(loaded.model, taken.given, chosen, plan, generator, num_samples=request.num):
        stream = loaded.streams[loaded.model.index[state.target]]
        progress(state.target, state.step, plan.of(state.target).steps if stream.kind is StreamKind.grid else 0)
        parts = state.parts
    return parts


def _given(part: Part) -> Given:
    """A finished target as an input."""
    return Given(column=Column(values=part.ids, lengths=part.known.sum(dim=1)))


def full_name(name: str) -> str:
    """A modality's name for a short one."""
    return ALIASES.get(name, name)


def write_results(
    out: Path,
    codecs: Codecs,
    taken: Taken,
    values: Mapping[str, Sequence[Any]],
    record: dict[str, Any],
) -> list[str]:
    """Write everything; lines that say where it is.

    Raises:
        DataError: Something cannot be written.
    """
    lines: list[str] = []
    drawings = {name: [draw(codecs.modalities[name], value) for value in found] for name, found in values.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        told_of: dict[str, Any] = {}
        for name, found in values.items():
            told_of[name] = _write_target(out, codecs.modalities[name], found, drawings[name])
            lines += [f"{name}: {item['text'] if 'text' in item else out / item['picture']}" for item in told_of[name]]
        _sheet(codecs, taken, drawings).save(out / "sheet.png")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from error
    write_text(out / "generation.json", json.dumps({**record, "results": told_of}, indent=1) + "\n")
    return [*lines, f"{out / 'sheet.png'}"]


def _codecs(loaded: LoadedModel, registry: Registry) -> Codecs:
    return Codecs(
        modalities=loaded.modalities_from(registry),
        streams=loaded.streams,
        learnt={name: item.tokenizer for name, item in loaded.tokenizers.items()},
        text=loaded.text,
    )


def _known(name: str, loaded: LoadedModel) -> str:
    full = full_name(name)
    targets = [stream.name for stream in loaded.streams if stream.is_target]
    if full in targets:
        return full
    if full in loaded.modalities:
        raise GenerationError(f"{full} is an input only and cannot be generated. Targets: {', '.join(targets)}.")
    raise UnknownNameError("target of this model", name, targets)


def _entrance(name: str, taken: Taken) -> str:
    """The stream that a condition means: an image's pixels where only those are given."""
    return name + PIXELS if name not in taken.given and name + PIXELS in taken.given else name


@torch.no_grad()
def _values(codecs: Codecs, name: str, part: Part) -> list[Any]:
    if is_dense(codecs, name):
        return decode_dense(codecs, name, part.ids)
    return decode_sequences(codecs, name, part.rows()).values


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


def _sheet(codecs: Codecs, taken: Taken, drawings: Mapping[str, Sequence[Drawing]]) -> Image.Image:
    """Inputs, then targets, a row for each variation."""
    count = min(SHOWN, min(len(found) for found in drawings.values()))
    columns: dict[str, list[Drawing]] = {}
    for name, value in taken.values.items():
        drawing = draw(codecs.modalities[name], value)
        for entrance in (name + PIXELS, name):
            if entrance in taken.given and taken.given[entrance].known is not None and isinstance(drawing, np.ndarray):
                drawing = _masked(drawing, taken.given[entrance].known)
                break
        columns[f"{codecs.modalities[name].title}, given"] = [drawing] * count
    for name, text in taken.texts.items():
        columns[f"{codecs.modalities[name].title}, given"] = [text] * count
    for name, found in drawings.items():
        columns[codecs.modalities[name].title] = list(found[:count])
    return Sheet(title="Generated", columns=tuple(columns), rows=tuple(zip(*columns.values(), strict=True))).image()


def _masked(drawing: np.ndarray, known: torch.Tensor | None) -> np.ndarray:
    """A picture, grey where nothing is known."""
    assert known is not None
    grid = int(known.shape[1] ** 0.5)
    side = drawing.shape[0]
    at = np.arange(side) * grid // side
    there = known[0].numpy().reshape(grid, grid)[at[:, None], at[None, :]]
    return np.where(there[..., None], drawing, 128).astype(np.uint8)


def _warning(loaded: LoadedModel, codecs: Codecs, targets: Sequence[str]) -> str:
    data = loaded.card.get("data", "procedural scenes")
    warning = str(loaded.card.get("notice", f"This model was trained on {data}: what it makes of photographs is poor."))
    proxies = [name for name in targets if codecs.modalities[name].provenance is Provenance.proxy]
    if proxies:
        warning += f" {', '.join(proxies)} are proxies, not the features of the networks they are named after."
    return warning
