"""The branches of guidance: what each may see of the inputs."""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from networks.fourm import Context, FourM
from networks.generation.canvas import FIRST_SENTINEL, Canvas, Part, num_shown, part_of_rows, shown, without
from networks.generation.plan import Decoding, GenerationError, Plan
from networks.streams import StreamKind

ALIKE = 0.75
"""Branches of which one shows at least this share of what the other shows are encoded together."""


@dataclass(frozen=True, kw_only=True)
class Branches:
    """What each branch does not see, the unconditional one first, and the weights of the others."""

    hidden: tuple[frozenset[str], ...]
    weights: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.hidden)


def branches_of(
    decoding: Decoding, target: str, given: Collection[str], finished: Collection[str], plan: Plan
) -> Branches:
    """The branches that a target's guidance needs.

    Args:
        given: The inputs.
        finished: Targets that are done; with `Plan.grow` they count as inputs, else every branch sees them.

    Raises:
        GenerationError: A condition is none of what there is.
    """
    grown = set(finished) if plan.grow else set()
    if decoding.conditions:
        return _weighted(decoding, target, {*given, *finished}, grown)
    inputs = frozenset({*given, *grown} - {target})
    if decoding.guidance == 1 or not inputs:
        return Branches(hidden=(frozenset(),))
    if decoding.guidance == 0:
        return Branches(hidden=(inputs,))
    return Branches(hidden=(inputs, frozenset()), weights=(decoding.guidance,))


def _weighted(decoding: Decoding, target: str, there: set[str], grown: set[str]) -> Branches:
    """One branch for each condition. What has grown belongs to every one of them."""
    for condition in decoding.conditions:
        for name in condition.streams:
            if name not in there - {target}:
                known = ", ".join(sorted(there - {target})) or "none"
                raise GenerationError(f"Guidance of {target} names the condition {name!r}; its inputs are: {known}.")
    shared = grown - {target}
    every = frozenset({name for item in decoding.conditions for name in item.streams} | shared)
    return Branches(
        hidden=(every, *(every - set(item.streams) - shared for item in decoding.conditions)),
        weights=tuple(item.weight for item in decoding.conditions),
    )


def encode_branches(
    model: FourM, canvas: Canvas, target: str, branches: Branches, b: int, device: torch.device, *, prompted: bool
) -> list[Context]:
    """What the decoder looks at: contexts that hold all branches, one under another.

    Branches that show about as much are encoded as one batch. One that shows much less, as the unconditional one does,
    is encoded by itself: as one batch it would be as wide as the others, and most of it padding.
    """
    views = [_view(model, canvas, target, hidden, b, device, prompted=prompted) for hidden in branches.hidden]
    groups: list[list[Canvas]] = []
    for view in views:
        last, now = num_shown(groups[-1][-1]) if groups else 0, num_shown(view)
        if min(last, now) >= ALIKE * max(last, now):
            groups[-1].append(view)
        else:
            groups.append([view])
    return [model.encode(shown(group, model.streams, b, device)) for group in groups]


def _view(
    model: FourM, canvas: Canvas, target: str, hidden: frozenset[str], b: int, device: torch.device, *, prompted: bool
) -> Canvas:
    """The canvas as one branch sees it."""
    view: dict[str, Part] = {}
    for name, part in canvas.items():
        stream = model.streams[model.index[name]]
        left = without(part, stream, prompted=prompted) if name in hidden else part
        if left is not None:
            view[name] = left
    is_text = model.streams[model.index[target]].kind is StreamKind.sequence
    if prompted and is_text and target not in view:
        view[target] = part_of_rows([[FIRST_SENTINEL]] * b, device)
    return view
