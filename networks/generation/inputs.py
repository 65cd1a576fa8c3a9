"""Validation of the inputs of generation, and their conversion to known tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from modalities.errors import UnknownNameError
from modalities.vocabulary import SENTINEL_0_ID
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.config import GenerationError
from networks.generation.state import KnownRows, KnownTokens
from networks.masking.assemble import gather_vectors, pixel_inputs
from networks.masking.spans import is_sentinel
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream


@dataclass(frozen=True, kw_only=True)
class ConditionInput:
    """Values of one stream for a whole batch. Gaps of a sequence are sentinels, the first ``[S_1]``."""

    tokens: PaddedTokens
    """As in a batch of samples; pixels also as patches (b, n, c), already cut and scaled."""
    known: Bool[Tensor, "b n"] | None = None
    """True for known tokens or patches of a grid; None for all."""


ConditionInputs = Mapping[str, ConditionInput]


def prepare_inputs(model: FourM, inputs: ConditionInputs, targets: Sequence[str]) -> dict[str, KnownTokens]:
    """Known tokens of ``inputs``, by stream.

    Raises:
        UnknownNameError: There is no stream of a name.
        GenerationError: A stream cannot be an input or a target, or its values, their mask or number do not fit.
    """
    _check_targets(model, targets)
    sizes = {name: len(item.tokens.lengths) for name, item in inputs.items()}
    if len(set(sizes.values())) > 1:
        raise GenerationError(f"Inputs must have as many samples as each other, got {sizes}.")
    known_streams: dict[str, KnownTokens] = {}
    for name, item in inputs.items():
        stream = _stream(model, name)
        if not stream.is_input and name not in targets:
            raise GenerationError(f"{name} cannot be an input of this model: it is a target only.")
        known_streams[name] = _known_tokens(stream, item, model.mask_token)
        if name in targets and isinstance(stream, GridStream) and bool(known_streams[name].known.all()):
            raise GenerationError(f"{name} is a target but known everywhere: mask what is to be generated.")
        if name in targets and isinstance(stream, SequenceStream) and not _has_missing_span(known_streams[name]):
            raise GenerationError(f"{name} is a target but given whole: write [S_1] where something is missing.")
    return known_streams


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


def _known_tokens(stream: Stream, item: ConditionInput, reference: Tensor) -> KnownTokens:
    match stream:
        case GridStream():
            return _grid(stream, item, reference.device)
        case SequenceStream():
            return _sequence(stream, item, reference.device)
        case PixelStream() | EmbeddingStream():
            return _rows(stream, item, reference)
        case _:
            assert_never(stream)


def _known_mask(stream: Stream, item: ConditionInput, n: int) -> Bool[Tensor, "b n"]:
    """True for known positions; all False for samples of length 0."""
    is_present = torch.arange(n)[None] < item.tokens.lengths.cpu()[:, None]
    if item.known is None:
        return is_present
    if item.known.shape != is_present.shape:
        raise GenerationError(
            f"The mask of {stream.name} has shape {tuple(item.known.shape)}, expected {tuple(is_present.shape)}: "
            "one flag for each sample and place."
        )
    return is_present & item.known.cpu()


def _grid(stream: GridStream, item: ConditionInput, device: torch.device) -> KnownTokens:
    ids = item.tokens.values.flatten(1).long()
    if ids.shape[1] != stream.num_tokens:
        raise GenerationError(f"{stream.name} takes {stream.num_tokens} tokens, got {ids.shape[1]}.")
    known = _known_mask(stream, item, stream.num_tokens)
    _check_ids(stream, ids.cpu()[known])
    known = known.to(device)
    return KnownTokens(ids=torch.where(known, ids.to(device), 0), known=known, max_known=_max_known(known))


def _sequence(stream: SequenceStream, item: ConditionInput, device: torch.device) -> KnownTokens:
    if item.known is not None:
        raise GenerationError(f"{stream.name} is a sequence and takes no mask: write [S_1] where something is missing.")
    ids = item.tokens.values.long()
    known = torch.arange(ids.shape[1])[None] < item.tokens.lengths.cpu()[:, None]
    _check_ids(stream, ids.cpu()[known])
    for row, is_present in zip(ids.cpu(), known, strict=True):
        sentinel_numbers = [token - SENTINEL_0_ID for token in row[is_present].tolist() if is_sentinel(token)]
        if sentinel_numbers != list(range(1, len(sentinel_numbers) + 1)):
            found = " ".join(f"[S_{mark}]" for mark in sentinel_numbers)
            raise GenerationError(f"Gaps of {stream.name} must be numbered [S_1], [S_2], ... in order, got {found}.")
        length = int(is_present.sum()) - len(sentinel_numbers)
        if length > stream.num_tokens:
            raise GenerationError(f"{stream.name} takes at most {stream.num_tokens} tokens, got {length}.")
    known = known.to(device)
    return KnownTokens(ids=torch.where(known, ids.to(device), 0), known=known, max_known=_max_known(known))


def _rows(stream: PixelStream | EmbeddingStream, item: ConditionInput, reference: Tensor) -> KnownTokens:
    device = reference.device
    values = item.tokens.values
    if isinstance(stream, PixelStream) and values.ndim == 4:
        side = stream.grid * stream.patch
        if tuple(values.shape[1:3]) != (side, side):
            raise GenerationError(f"{stream.name} takes images of {side} x {side}, got {tuple(values.shape[1:3])}.")
        known = _known_mask(stream, item, stream.num_tokens)
        sample, position = np.nonzero(known.numpy())
        vectors_in = pixel_inputs(values, sample, position, stream)
    else:
        n = values.shape[1]
        if values.shape[2] != stream.channels or n > stream.num_tokens:
            raise GenerationError(
                f"{stream.name} takes {stream.num_tokens} vectors of {stream.channels}, not {n} of {values.shape[2]}."
            )
        known = _known_mask(stream, item, n)
        sample, position = np.nonzero(known.numpy())
        vectors_in = gather_vectors(values, sample, position)
    packed = KnownRows(
        values=vectors_in.to(reference),
        sample=torch.from_numpy(sample).to(device),
        position=torch.from_numpy(position).to(device),
    )
    return KnownTokens(
        ids=torch.zeros(known.shape, dtype=torch.int64, device=device),
        known=known.to(device),
        max_known=_max_known(known),
        packed=packed,
    )


def _check_ids(stream: TokenStream, ids: Tensor) -> None:
    if ids.numel() and not (int(ids.min()) >= 0 and int(ids.max()) < stream.vocab_size):
        wrong = int(ids.max()) if int(ids.max()) >= stream.vocab_size else int(ids.min())
        raise GenerationError(f"{stream.name} has tokens 0 to {stream.vocab_size - 1}, got {wrong}.")


def _max_known(known: Bool[Tensor, "b n"]) -> int:
    return int(known.sum(dim=1).max()) if len(known) else 0


def _has_missing_span(part: KnownTokens) -> bool:
    return any(is_sentinel(token) for row in part.rows() for token in row) or not bool(part.known.any())
