"""From an image file to pictures and records of other modalities, by a trained model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.chance import START
from evaluation.config import EvaluationConfig
from evaluation.files import written_together
from evaluation.generation.request import full_name
from evaluation.held_out import Codecs
from evaluation.pictures import draw, tile
from evaluation.transfer import predict_values
from experiments.ablation import find_model
from lightning_modules.checkpoint import LoadedModel, load_model
from modalities.errors import CheckpointError, UnknownNameError
from modalities.registry import Registry, default_registry
from modalities.spec import Modality, Provenance, SequenceModality, center_view
from networks.batch import Column
from networks.masking import select
from networks.streams import PIXELS, Stream, StreamKind

ENTRANCE = "rgb" + PIXELS
"""The stream by which a photograph enters."""

SIDE = 448
"""Side of the pictures written, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to tell the person who asked."""

    lines: list[str]
    warning: str


def predict_image(
    image: Path,
    model: Path,
    targets: Sequence[str],
    out: Path,
    *,
    arm: str | None = None,
    seed: int | None = None,
    registry: Registry | None = None,
) -> Answer:
    """Predict ``targets`` from an image and write pictures, values and ``prediction.json`` into ``out``.

    Raises:
        UnknownNameError: The model has no such target.
        DataError: The image cannot be read, or the results cannot be written.
        CheckpointError: The model's folder is incomplete, or it does not take images.
    """
    loaded = load_model(find_model(model, arm, seed))
    if ENTRANCE not in loaded.model.index:
        raise CheckpointError(f"This model does not take images: it has {', '.join(loaded.modalities)}, not rgb.")
    registry = registry or default_registry()
    modalities = loaded.modalities_from(registry)
    chosen = [_target(name, loaded) for name in targets]
    if not chosen:
        raise UnknownNameError("target", "", _targets(loaded))
    for name in chosen:
        loaded.expect(modalities[name])
    rgb = modalities["rgb"]
    photograph = rgb.read(image)
    seen = rgb.augment(photograph, center_view(*photograph.shape[:2]))
    values = _predicted(loaded, modalities, seen, chosen)
    written = _write(out, modalities, seen, values)
    proxies = [name for name in chosen if modalities[name].provenance is Provenance.proxy]
    data = loaded.card.get("data", "procedural scenes")
    warning = str(loaded.card.get("notice", f"This model was trained on {data}: its answers on photographs are poor."))
    if proxies:
        warning += f" {', '.join(proxies)} are proxies, not the features of the networks they are named after."
    return Answer(lines=written, warning=warning)


def _targets(loaded: LoadedModel) -> list[str]:
    return [stream.name for stream in loaded.streams if stream.is_target]


def _target(name: str, loaded: LoadedModel) -> str:
    full = full_name(name)
    if full not in _targets(loaded):
        raise UnknownNameError("target of this model", name, _targets(loaded))
    return full


def _predicted(
    loaded: LoadedModel, modalities: Mapping[str, Modality], seen: np.ndarray, targets: Sequence[str]
) -> dict[str, Any]:
    codecs = Codecs(
        modalities=modalities,
        streams=loaded.streams,
        learnt={name: item.tokenizer for name, item in loaded.tokenizers.items()},
        text=loaded.text,
    )
    patches = loaded.model.streams[loaded.model.index[ENTRANCE]].num_tokens
    pixels = Column(values=torch.from_numpy(np.array(seen))[None], lengths=torch.tensor([patches]))
    loaded.model.eval()
    values: dict[str, Any] = {}
    with torch.no_grad():
        for name in targets:
            shown = {ENTRANCE: pixels, **_prompt(loaded.streams[loaded.model.index[name]])}
            context = loaded.model.encode(select(shown, loaded.streams, inputs=list(shown), targets=[]))
            values[name] = predict_values(loaded.model, codecs, context, name, EvaluationConfig())[0][0]
    return values


def _prompt(target: Stream) -> dict[str, Column]:
    """What published models are shown of a sequence that they are to write: the sentinel that it begins with."""
    if not target.published or target.kind is not StreamKind.sequence or not target.is_input:
        return {}
    return {target.name: Column(values=torch.tensor([[START]]), lengths=torch.tensor([1]))}


def _write(out: Path, modalities: Mapping[str, Modality], seen: np.ndarray, values: Mapping[str, Any]) -> list[str]:
    told: dict[str, Any] = {}
    lines: list[str] = []
    with written_together(out, "prediction.json") as partial:
        tile(draw(modalities["rgb"], seen), SIDE).save(partial / "input.png")
        for name, value in values.items():
            modality = modalities[name]
            file = partial / f"{name}{modality.suffix}"
            modality.write(file, value)
            drawing = draw(modality, value)
            entry: dict[str, Any] = {"file": file.name, "labels": modality.provenance.value}
            if isinstance(drawing, str):
                entry["text"] = drawing
                lines.append(f"{name}: {drawing}")
            else:
                entry["picture"] = f"{name}_picture.png"
                tile(drawing, SIDE).save(partial / entry["picture"])
                lines.append(f"{name}: {out / entry['picture']}")
            if isinstance(modality, SequenceModality) and hasattr(modality, "to_json"):
                entry["value"] = modality.to_json(value)
            told[name] = entry
        (partial / "prediction.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return lines
