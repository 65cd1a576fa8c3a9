"""From an image file to pictures and records of other modalities, by a trained model."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from evaluation.config import EvaluationConfig
from experiments.cli.options import add_model_options, print_lines, split_names
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import LoadedModel, load_model
from lightning_modules.inference.request import resolve_alias
from modalities.errors import CheckpointError, UnknownNameError
from modalities.registry import Registry, default_registry
from modalities.rendering.sheet import render_tile, render_value
from modalities.spec import Modality, Provenance, SequenceModality, center_crop
from modalities.storage.atomic import atomic_folder_update
from networks.batch import PaddedTokens
from networks.generation.predict import predict_values
from networks.generation.state import FIRST_SENTINEL
from networks.masking.masker import select
from networks.streams import SequenceStream, Stream, pixel_stream_name
from networks.tokenizers.codec import Codec

IMAGE_STREAM = pixel_stream_name("rgb")
"""The stream by which a photograph enters."""

PICTURE_SIZE = 448
"""Side of the pictures written, in pixels."""


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


@dataclass(frozen=True, kw_only=True)
class CommandOutput:
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
) -> CommandOutput:
    """Predict ``targets`` from an image and write pictures, values and ``prediction.json`` into ``out``.

    Raises:
        UnknownNameError: The model has no such target.
        DataError: The image cannot be read, or the results cannot be written.
        CheckpointError: The model's folder is incomplete, or it does not take images.
    """
    loaded = load_model(find_model(model, arm, seed))
    if IMAGE_STREAM not in loaded.model.index:
        raise CheckpointError(f"This model does not take images: it has {', '.join(loaded.modalities)}, not rgb.")
    registry = registry or default_registry()
    modalities = loaded.build_modalities(registry)
    target_names = [_resolve_target(name, loaded) for name in targets]
    if not target_names:
        raise UnknownNameError("target", "", _target_names(loaded))
    for name in target_names:
        loaded.require_tokenizers(modalities[name])
    rgb = modalities["rgb"]
    photograph = rgb.read(image)
    cropped_image = rgb.transform(photograph, center_crop(*photograph.shape[:2]))
    values = _predict_values(loaded, modalities, cropped_image, target_names)
    lines = _write_results(out, modalities, cropped_image, values)
    proxies = [name for name in target_names if modalities[name].provenance is Provenance.proxy]
    data = loaded.card.get("data", "data that its card does not name")
    warning = str(loaded.card.get("notice", f"This model was trained on {data}: its answers on photographs are poor."))
    if proxies:
        warning += f" {', '.join(proxies)} are proxies, not the features of the networks they are named after."
    return CommandOutput(lines=lines, warning=warning)


def _target_names(loaded: LoadedModel) -> list[str]:
    return [stream.name for stream in loaded.streams if stream.is_target]


def _resolve_target(name: str, loaded: LoadedModel) -> str:
    full_target = resolve_alias(name)
    if full_target not in _target_names(loaded):
        raise UnknownNameError("target of this model", name, _target_names(loaded))
    return full_target


def _predict_values(
    loaded: LoadedModel, modalities: Mapping[str, Modality], cropped_image: np.ndarray, targets: Sequence[str]
) -> dict[str, Any]:
    codec = Codec(
        modalities=modalities,
        tokenizers={name: item.tokenizer for name, item in loaded.tokenizers.items()},
        text_tokenizer=loaded.text_tokenizer,
    )
    patches = loaded.model.streams[loaded.model.index[IMAGE_STREAM]].num_tokens
    pixels = PaddedTokens(values=torch.from_numpy(np.array(cropped_image))[None], lengths=torch.tensor([patches]))
    loaded.model.eval()
    values: dict[str, Any] = {}
    with torch.no_grad():
        for name in targets:
            inputs = {IMAGE_STREAM: pixels, **_sentinel_prompt(loaded.streams[loaded.model.index[name]])}
            context = loaded.model.encode(select(inputs, loaded.streams, inputs=list(inputs), targets=[]))
            values[name] = predict_values(
                loaded.model, codec, context, name, use_argmax=name in EvaluationConfig().argmax
            ).values[0]
    return values


def _sentinel_prompt(target: Stream) -> dict[str, PaddedTokens]:
    """What published models are shown of a sequence that they are to write: the sentinel that it begins with."""
    if not target.published_name or not isinstance(target, SequenceStream) or not target.is_input:
        return {}
    return {target.name: PaddedTokens(values=torch.tensor([[FIRST_SENTINEL]]), lengths=torch.tensor([1]))}


def _write_results(
    out: Path, modalities: Mapping[str, Modality], cropped_image: np.ndarray, values: Mapping[str, Any]
) -> list[str]:
    entries: dict[str, Any] = {}
    lines: list[str] = []
    with atomic_folder_update(out, "prediction.json") as partial:
        render_tile(render_value(modalities["rgb"], cropped_image), PICTURE_SIZE).save(partial / "input.png")
        for name, value in values.items():
            modality = modalities[name]
            file = partial / f"{name}{modality.suffix}"
            modality.write(file, value)
            drawing = render_value(modality, value)
            entry: dict[str, Any] = {"file": file.name, "labels": modality.provenance.value}
            if isinstance(drawing, str):
                entry["text"] = drawing
                lines.append(f"{name}: {drawing}")
            else:
                entry["picture"] = f"{name}_picture.png"
                render_tile(drawing, PICTURE_SIZE).save(partial / entry["picture"])
                lines.append(f"{name}: {out / entry['picture']}")
            if isinstance(modality, SequenceModality):
                entry["value"] = modality.to_json(value)
            entries[name] = entry
        (partial / "prediction.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return lines
