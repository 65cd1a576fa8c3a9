"""Branches of classifier-free guidance, each with its own visible inputs."""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from networks.fourm.model import Context, FourM
from networks.generation.config import DecodingConfig, GenerationConfig, GenerationError
from networks.generation.state import (
    FIRST_SENTINEL,
    KnownStreams,
    KnownTokens,
    encoder_batch,
    encoder_width,
    hide_stream,
    known_sequences,
)
from networks.streams import SequenceStream

MIN_WIDTH_RATIO = 0.75
"""Minimum ratio of the numbers of visible tokens of two branches that are encoded as one batch."""


@dataclass(frozen=True, kw_only=True)
class GuidanceBranches:
    """Streams hidden from each branch, the unconditional one first, and the weights of the others."""

    excluded: tuple[frozenset[str], ...]
    weights: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """Number of branches."""
        return len(self.excluded)


def guidance_branches(
    decoding: DecodingConfig, target: str, given: Collection[str], finished: Collection[str], plan: GenerationConfig
) -> GuidanceBranches:
    """The branches for the guidance of a target.

    Args:
        given: The inputs.
        finished: Completed targets; inputs with `GenerationConfig.accumulate_conditioning`, else visible to all
            branches.

    Raises:
        GenerationError: A condition is not among the inputs.
    """
    accumulated = set(finished) if plan.accumulate_conditioning else set()
    if decoding.conditions:
        return _conditioned_branches(decoding, target, {*given, *finished}, accumulated)
    inputs = frozenset({*given, *accumulated} - {target})
    if decoding.guidance == 1 or not inputs:
        return GuidanceBranches(excluded=(frozenset(),))
    if decoding.guidance == 0:
        return GuidanceBranches(excluded=(inputs,))
    return GuidanceBranches(excluded=(inputs, frozenset()), weights=(decoding.guidance,))


def _conditioned_branches(
    decoding: DecodingConfig, target: str, available: set[str], accumulated: set[str]
) -> GuidanceBranches:
    """One branch for each condition; accumulated targets belong to each of them."""
    for condition in decoding.conditions:
        for name in condition.streams:
            if name not in available - {target}:
                known = ", ".join(sorted(available - {target})) or "none"
                raise GenerationError(f"Guidance of {target} names the condition {name!r}; its inputs are: {known}.")
    shared = accumulated - {target}
    every = frozenset({name for item in decoding.conditions for name in item.streams} | shared)
    return GuidanceBranches(
        excluded=(every, *(every - set(item.streams) - shared for item in decoding.conditions)),
        weights=tuple(item.weight for item in decoding.conditions),
    )


def encode_branches(
    model: FourM,
    known_streams: KnownStreams,
    target: str,
    branches: GuidanceBranches,
    b: int,
    device: torch.device,
    *,
    prompt_with_sentinel: bool,
) -> list[Context]:
    """Contexts of all branches for the decoder, in the order of branches.

    Branches with about as many visible tokens are encoded as one batch. A branch with far fewer, such as the
    unconditional one, is encoded separately: in one batch most of it would be padding.
    """
    branch_streams = [
        _branch_streams(model, known_streams, target, excluded, b, device, prompt_with_sentinel=prompt_with_sentinel)
        for excluded in branches.excluded
    ]
    groups: list[list[KnownStreams]] = []
    for visible in branch_streams:
        last, now = encoder_width(groups[-1][-1]) if groups else 0, encoder_width(visible)
        if min(last, now) >= MIN_WIDTH_RATIO * max(last, now):
            groups[-1].append(visible)
        else:
            groups.append([visible])
    return [model.encode(encoder_batch(group, model.streams, b, device)) for group in groups]


def _branch_streams(
    model: FourM,
    known_streams: KnownStreams,
    target: str,
    excluded: frozenset[str],
    b: int,
    device: torch.device,
    *,
    prompt_with_sentinel: bool,
) -> KnownStreams:
    """The known tokens that one branch sees."""
    visible: dict[str, KnownTokens] = {}
    for name, part in known_streams.items():
        stream = model.streams[model.index[name]]
        replacement = hide_stream(part, stream, prompt_with_sentinel=prompt_with_sentinel) if name in excluded else part
        if replacement is not None:
            visible[name] = replacement
    is_text = isinstance(model.streams[model.index[target]], SequenceStream)
    if prompt_with_sentinel and is_text and target not in visible:
        visible[target] = known_sequences([[FIRST_SENTINEL]] * b, device)
    return visible
