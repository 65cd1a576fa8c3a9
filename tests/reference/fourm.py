"""Cases of a 4M model: activations, logits, losses and gradients of one masked batch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from networks.batch import TokenBatch
from networks.fourm.config import LossReduction
from networks.fourm.model import FourM
from networks.pretrained.fourm_weights import published_views
from tests.reference.batch import published_batch
from tests.reference.check import ACTIVATION, LOSS, Check, compare_tensors


def is_model_case(io: Mapping[str, Tensor]) -> bool:
    """True for the inputs and outputs of one forward pass."""
    return any(name.startswith("input/") and name.endswith("/input_mask") for name in io)


def check_model(case: str, folder: Path, model: FourM, io: Mapping[str, Tensor]) -> Iterator[Check]:
    """Everything that ``io`` holds of one batch."""
    order = _order(folder, model)
    batch = published_batch(io, model.streams)
    yield from _activations(case, model, batch, io, order)
    yield from _logits(case, model, batch, io)
    yield from _losses(case, model, batch, io)
    yield from _gradients(case, model, batch, io)


def _order(folder: Path, model: FourM) -> list[str]:
    """The modality that each index in ``output/*_modality`` stands for."""
    path = folder / "layout.json"
    if path.exists():
        layout: dict[str, Any] = json.loads(path.read_text())
        return list(layout["modalities"])
    return [stream.published_name for stream in model.streams]


def _activations(
    case: str, model: FourM, batch: TokenBatch, io: Mapping[str, Tensor], order: list[str]
) -> Iterator[Check]:
    encoded: list[Tensor] = []
    handle = model.encoder_norm.register_forward_hook(lambda *args: encoded.append(args[2]))
    with torch.no_grad():
        context = model.encode(batch)
        decoded = model.decode(batch, context)
    handle.remove()
    registers = model.config.registers
    sides = {
        "encoder": (encoded[0][:, registers:], batch.stream, batch.visible, "encoder"),
        "context": (context.values[:, registers:], batch.stream, batch.visible, "encoder"),
        "decoder": (decoded, batch.decoder_stream, batch.decoder_visible, "decoder"),
    }
    for name, (found, stream, there, side) in sides.items():
        if f"output/{name}" in io and f"output/{side}_modality" in io:
            ours = _by_modality(found, torch.where(there, stream, -1), [s.published_name for s in model.streams])
            theirs = _by_modality(io[f"output/{name}"], io[f"output/{side}_modality"], order)
            yield compare_tensors(case, name, _stacked(ours, model), _stacked(theirs, model), ACTIVATION)


def _by_modality(values: Tensor, modality: Tensor, order: list[str]) -> dict[str, Tensor]:
    """Rows by the modality of their slot, in batch-then-position order."""
    return {name: values[modality == number] for number, name in enumerate(order)}


def _stacked(rows: Mapping[str, Tensor], model: FourM) -> Tensor:
    return torch.cat([rows[stream.published_name] for stream in model.streams if stream.published_name in rows])


def _logits(case: str, model: FourM, batch: TokenBatch, io: Mapping[str, Tensor]) -> Iterator[Check]:
    with torch.no_grad():
        found = {name: logits for name, (logits, _) in model.logits(batch).items()}
    for stream in model.streams:
        expected = io.get(f"output/logits/{stream.published_name}")
        if expected is not None and (expected.numel() or stream.name in found):
            ours = found.get(stream.name, torch.empty(0))
            yield compare_tensors(case, f"logits/{stream.published_name}", ours, expected, ACTIVATION)


def _losses(case: str, model: FourM, batch: TokenBatch, io: Mapping[str, Tensor]) -> Iterator[Check]:
    kept = model.config
    with torch.no_grad():
        for name, reduction in (
            ("loss_mod", LossReduction.published_modality),
            ("loss_token", LossReduction.published_token),
        ):
            model.config = replace(kept, loss_reduction=reduction)
            output = model(batch)
            if f"output/{name}" in io:
                yield compare_tensors(case, name, output.loss, io[f"output/{name}"].squeeze(), LOSS)
    model.config = kept
    for stream in model.streams:
        expected = io.get(f"output/loss/{stream.published_name}")
        if expected is not None:
            found = output.losses.get(stream.name, torch.zeros(()))
            yield compare_tensors(case, f"loss/{stream.published_name}", found, expected.squeeze(), LOSS)


def _gradients(case: str, model: FourM, batch: TokenBatch, io: Mapping[str, Tensor]) -> Iterator[Check]:
    expected = {name.removeprefix("grad_norm/"): value for name, value in io.items() if name.startswith("grad_norm/")}
    if not expected:
        return
    kept, model.config = model.config, replace(model.config, loss_reduction=LossReduction.published_modality)
    model.zero_grad()
    model(batch).loss.backward()
    model.config = kept
    grads = {
        name: torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in model.named_parameters(remove_duplicate=False)
    }
    views = published_views(model.streams, model.config, grads)
    for name, norm in expected.items():
        # A norm is a sum over thousands of numbers: its error is told relative to it where it is above 1.
        found = views[name].norm() if name in views else torch.tensor(float("nan"))
        scale = norm.clamp(min=1.0)
        yield compare_tensors(case, f"grad_norm/{name}", found / scale, norm / scale, ACTIVATION)
    model.zero_grad()
