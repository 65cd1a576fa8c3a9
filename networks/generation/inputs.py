"""What a person gives to generate from, checked and laid on a canvas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from modalities.errors import UnknownNameError
from modalities.text import SENTINEL_0
from networks.assemble import patches, standardised, vectors
from networks.batch import Column
from networks.fourm import FourM
from networks.generation.canvas import Packed, Part
from networks.generation.plan import GenerationError
from networks.spans import is_sentinel
from networks.streams import Stream, StreamKind


@dataclass(frozen=True, kw_only=True)
class Given:
    """One stream's values for a whole batch. Of a sequence, what is missing is a sentinel: the first ``[S_1]``."""

    column: Column
    """As in a batch of samples; pixels also as patches (b, n, c) that are cut and scaled already."""
    known: Bool[Tensor, "b n"] | None = None
    """True where a grid's tokens or patches are known; None where all are."""


Inputs = Mapping[str, Given]


def lay(model: FourM, inputs: Inputs, targets: Sequence[str]) -> dict[str, Part]:
    """The canvas that shows ``inputs``.

    Raises:
        UnknownNameError: There is no stream of a name.
        GenerationError: A stream cannot be given or asked for; its values, their mask or their number do not fit.
    """
    _check_targets(model, targets)
    sizes = {name: len(item.column.lengths) for name, item in inputs.items()}
    if len(set(sizes.values())) > 1:
        raise GenerationError(f"Inputs must have as many samples as each other, got {sizes}.")
    canvas: dict[str, Part] = {}
    for name, item in inputs.items():
        stream = _stream(model, name)
        if not stream.is_input and name not in targets:
            raise GenerationError(f"{name} cannot be an input of this model: it is a target only.")
        canvas[name] = _part(stream, item, model.mask_token)
        if name in targets and stream.kind is StreamKind.grid and bool(canvas[name].known.all()):
            raise GenerationError(f"{name} is asked for but known everywhere: mask what is to be generated.")
        if name in targets and stream.kind is StreamKind.sequence and not _has_gap(canvas[name]):
            raise GenerationError(f"{name} is asked for but given whole: write [S_1] where something is missing.")
    return canvas


def _check_targets(model: FourM, targets: Sequence[str]) -> None:
    if not targets:
        raise GenerationError("There is nothing to generate: name at least one target.")
    for name in targets:
        stream = _stream(model, name)
        if not stream.is_target:
            others = ", ".join(item.name for item in model.streams if item.is_target)
            raise GenerationError(f"{name} is an input only and cannot be generated. Targets: {others}.")
    if len(set(targets)) < len(targets):
        raise GenerationError(f"Each target can be generated once, got {', '.join(targets)}.")


def _stream(model: FourM, name: str) -> Stream:
    if name not in model.index:
        raise UnknownNameError("stream of this model", name, model.index)
    return model.streams[model.index[name]]


def _part(stream: Stream, item: Given, like: Tensor) -> Part:
    match stream.kind:
        case StreamKind.grid:
            return _grid(stream, item, like.device)
        case StreamKind.sequence:
            return _sequence(stream, item, like.device)
        case StreamKind.pixels | StreamKind.embedding:
            return _rows(stream, item, like)


def _known(stream: Stream, item: Given, n: int) -> Bool[Tensor, "b n"]:
    """The places that are known; nothing of a sample whose length is 0."""
    there = torch.arange(n)[None] < item.column.lengths.cpu()[:, None]
    if item.known is None:
        return there
    if item.known.shape != there.shape:
        raise GenerationError(
            f"The mask of {stream.name} has shape {tuple(item.known.shape)}, expected {tuple(there.shape)}: "
            "one flag for each sample and place."
        )
    return there & item.known.cpu()


def _grid(stream: Stream, item: Given, device: torch.device) -> Part:
    ids = item.column.values.flatten(1).long()
    if ids.shape[1] != stream.num_tokens:
        raise GenerationError(f"{stream.name} takes {stream.num_tokens} tokens, got {ids.shape[1]}.")
    known = _known(stream, item, stream.num_tokens)
    _check_ids(stream, ids.cpu()[known])
    known = known.to(device)
    return Part(ids=torch.where(known, ids.to(device), 0), known=known, most=_most(known))


def _sequence(stream: Stream, item: Given, device: torch.device) -> Part:
    if item.known is not None:
        raise GenerationError(f"{stream.name} is a sequence and takes no mask: write [S_1] where something is missing.")
    ids = item.column.values.long()
    known = torch.arange(ids.shape[1])[None] < item.column.lengths.cpu()[:, None]
    _check_ids(stream, ids.cpu()[known])
    for row, there in zip(ids.cpu(), known, strict=True):
        marks = [token - SENTINEL_0 for token in row[there].tolist() if is_sentinel(token)]
        if marks != list(range(1, len(marks) + 1)):
            found = " ".join(f"[S_{mark}]" for mark in marks)
            raise GenerationError(f"Gaps of {stream.name} must be numbered [S_1], [S_2], ... in order, got {found}.")
        length = int(there.sum()) - len(marks)
        if length > stream.num_tokens:
            raise GenerationError(f"{stream.name} takes at most {stream.num_tokens} tokens, got {length}.")
    known = known.to(device)
    return Part(ids=torch.where(known, ids.to(device), 0), known=known, most=_most(known))


def _rows(stream: Stream, item: Given, like: Tensor) -> Part:
    device = like.device
    values = item.column.values
    is_pixels = stream.kind is StreamKind.pixels and values.ndim == 4
    n = stream.num_tokens if is_pixels else values.shape[1]
    side = stream.grid * stream.patch
    if is_pixels and tuple(values.shape[1:3]) != (side, side):
        raise GenerationError(f"{stream.name} takes images of {side} x {side}, got {tuple(values.shape[1:3])}.")
    if not is_pixels and (values.shape[2] != stream.channels or n > stream.num_tokens):
        raise GenerationError(
            f"{stream.name} takes {stream.num_tokens} vectors of {stream.channels}, not {n} of {values.shape[2]}."
        )
    known = _known(stream, item, n)
    sample, place = np.nonzero(known.numpy())
    cut = patches(values, sample, place, stream.patch) if is_pixels else vectors(values, sample, place)
    if is_pixels and stream.mean:
        cut = standardised(cut, stream.mean, stream.std)
    packed = Packed(
        values=cut.to(like), sample=torch.from_numpy(sample).to(device), place=torch.from_numpy(place).to(device)
    )
    return Part(
        ids=torch.zeros(known.shape, dtype=torch.int64, device=device),
        known=known.to(device),
        most=_most(known),
        packed=packed,
    )


def _check_ids(stream: Stream, ids: Tensor) -> None:
    if ids.numel() and not (int(ids.min()) >= 0 and int(ids.max()) < stream.vocab):
        wrong = int(ids.max()) if int(ids.max()) >= stream.vocab else int(ids.min())
        raise GenerationError(f"{stream.name} has tokens 0 to {stream.vocab - 1}, got {wrong}.")


def _most(known: Bool[Tensor, "b n"]) -> int:
    return int(known.sum(dim=1).max()) if len(known) else 0


def _has_gap(part: Part) -> bool:
    return any(is_sentinel(token) for row in part.rows() for token in row) or not bool(part.known.any())
