"""Starts a model from another one's weights: what has the same meaning and shape is taken, all else stays as it was."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from networks.fourm.model import FourM
from networks.pretrained.fourm_weights import published_views


@dataclass(frozen=True, kw_only=True)
class WarmStartReport:
    """What was taken and what was not, by the published names of weights with our names of streams."""

    taken: tuple[str, ...]
    kept: tuple[str, ...]
    """Weights of the new model that the other has none for, or one of another shape."""
    shared: tuple[str, ...]
    """Weights that the other model has, of a table that the new model shares and has taken from an earlier stream."""

    def __str__(self) -> str:
        told = [f"{len(self.taken)} weights taken"]
        if self.kept:
            told.append(f"{len(self.kept)} start afresh ({_first(self.kept)})")
        if self.shared:
            told.append(f"{len(self.shared)} have no table of their own here ({_first(self.shared)})")
        return "; ".join(told)


@torch.no_grad()
def adopt(model: FourM, other: FourM) -> WarmStartReport:
    """Copy into ``model`` every weight of ``other`` that is for the same thing and has the same shape.

    Weights belong together by the name of their stream, not by their place in a table. Where the model's sequences
    share one table and the other's have one each, the table is the first sequence's.
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
    """A model's weights by names that do not depend on where a table has them."""
    streams = tuple(replace(stream, published_name=stream.name) for stream in model.streams)
    own = {name: value.detach() for name, value in model.named_parameters(remove_duplicate=False)}
    beside = {name: value for name, value in own.items() if name.startswith("input_projections.") and ".mlp." in name}
    return {**published_views(streams, model.config, own), **beside}


def _first(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
