"""Initialisation of a model from another one's weights: those with the same meaning and shape are copied."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from networks.fourm.model import FourM
from networks.pretrained.fourm_weights import published_views


@dataclass(frozen=True, kw_only=True)
class WarmStartReport:
    """Copied and other weights, by the published names of weights with our names of streams."""

    taken: tuple[str, ...]
    kept: tuple[str, ...]
    """Weights of the new model that have no counterpart in the other, or one of another shape."""
    shared: tuple[str, ...]
    """Weights of the other model for a table that several streams share here and that an earlier stream has filled."""

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} weights taken"]
        if self.kept:
            parts.append(f"{len(self.kept)} start afresh ({_first(self.kept)})")
        if self.shared:
            parts.append(f"{len(self.shared)} have no table of their own here ({_first(self.shared)})")
        return "; ".join(parts)


@torch.no_grad()
def warm_start(model: FourM, other: FourM) -> WarmStartReport:
    """Copy into ``model`` every weight of ``other`` that has the same meaning and the same shape.

    Weights correspond by the name of their stream, not by their place in a table. If sequences share one table here and
    have one each in ``other``, the table of the first sequence is copied.
    """
    mine, theirs = _views(model), _views(other)
    taken: list[str] = []
    kept: list[str] = []
    shared: list[str] = []
    filled: dict[int, str] = {}
    for name, view in mine.items():
        source = theirs.get(name)
        if filled.get(view.data_ptr()) is not None:
            if source is not None and not torch.equal(source, view):
                shared.append(name)
        elif source is None or source.shape != view.shape:
            kept.append(name)
        else:
            view.copy_(source)
            filled[view.data_ptr()] = name
            taken.append(name)
    return WarmStartReport(taken=tuple(taken), kept=tuple(kept), shared=tuple(shared))


def _views(model: FourM) -> dict[str, Tensor]:
    """A model's weights by names that do not depend on their place in a table."""
    streams = tuple(replace(stream, published_name=stream.name) for stream in model.streams)
    own = {name: value.detach() for name, value in model.named_parameters(remove_duplicate=False)}
    beside = {name: value for name, value in own.items() if name.startswith("input_projections.") and ".mlp." in name}
    return {**published_views(streams, model.config, own), **beside}


def _first(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
