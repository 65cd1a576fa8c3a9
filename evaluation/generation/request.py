"""From what is asked for to what a model makes of it: targets in order, settings over defaults, values at the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from evaluation.decoding import decode_dense, decode_sequences, is_dense
from evaluation.generation.inputs import Source, Taken, is_whole_image, take
from evaluation.generation.settings import Settings, plan_of
from evaluation.held_out import Codecs
from evaluation.instances import INSTANCES, dense_instances
from modalities.errors import UnknownNameError
from networks.batch import Column
from networks.fourm import FourM
from networks.generation.canvas import Part
from networks.generation.defaults import in_order
from networks.generation.generate import generate_iter
from networks.generation.inputs import Given
from networks.generation.plan import GenerationError, Plan
from networks.streams import PIXELS, StreamKind

ALIASES = {"boxes": "bounding_boxes", "instances": "sam_instances", "poses": "human_poses", "palette": "color_palette"}
"""Short names that a request may use."""

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

    def words(self) -> list[str]:
        """The request as ``fourm generate`` takes it, without the model and where to write."""
        words: list[str] = []
        for name, source in self.sources.items():
            words += ["--from", f"{name}={source.value}"]
            words += ["--mask", f"{name}={source.mask}"] if source.mask is not None else []
        words += ["--to", ",".join(self.targets)]
        words += [] if self.is_ordered else ["--in-order"]
        words += self.settings.words()
        for name, default in (("num", 1), ("points", 0)):
            words += [f"--{name}", str(getattr(self, name))] if getattr(self, name) != default else []
        return [*words, "--seed", str(self.seed)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a request came to."""

    targets: list[str]
    """In the order in which they were generated."""
    taken: Taken
    plan: Plan
    parts: Mapping[str, Part]
    values: dict[str, list[Any]]
    """By target, one for each variation."""


def fulfil(model: FourM, codecs: Codecs, request: Request, progress: Progress = lambda *_: None) -> Outcome:
    """Generate what is asked for.

    Raises:
        UserError: An input, a target or a setting does not fit the model, or a file cannot be read.
    """
    targets = [known_target(name, codecs) for name in request.targets]
    targets = in_order(targets) if request.is_ordered else targets
    sources = {full_name(name): source for name, source in request.sources.items()}
    if request.num < 1:
        raise GenerationError(f"--num must be at least 1, got {request.num}.")
    taken = take(model, codecs, sources, targets, request.num)
    plan = plan_of(
        request.settings,
        codecs.streams,
        targets,
        from_image=is_whole_image(taken.given, model),
        rename=lambda name: _entrance(full_name(name), taken),
        given=taken.given,
    )
    parts = _run(model, taken, targets, plan, request, progress)
    values = {name: _values(codecs, name, parts[name]) for name in targets if name in parts}
    if request.points and INSTANCES in targets:
        given = {**taken.given, **{name: _given(parts[name]) for name in values}}
        generator = torch.Generator().manual_seed(request.seed)
        values[INSTANCES] = [dense_instances(model, codecs, given, plan, request.points, generator)]
    return Outcome(targets=targets, taken=taken, plan=plan, parts=parts, values=values)


def full_name(name: str) -> str:
    """A modality's name for a short one."""
    return ALIASES.get(name, name)


def known_target(name: str, codecs: Codecs) -> str:
    """The target that is meant by ``name``.

    Raises:
        UnknownNameError: The model has no such target.
        GenerationError: It is an input only.
    """
    full = full_name(name)
    targets = [stream.name for stream in codecs.streams if stream.is_target]
    if full in targets:
        return full
    if full in codecs.modalities:
        raise GenerationError(f"{full} is an input only and cannot be generated. Targets: {', '.join(targets)}.")
    raise UnknownNameError("target of this model", name, targets)


def _run(
    model: FourM, taken: Taken, targets: Sequence[str], plan: Plan, request: Request, progress: Progress
) -> Mapping[str, Part]:
    """Every part at the end. What a dense map of instances needs is generated without them."""
    chosen = [name for name in targets if not (request.points and name == INSTANCES)]
    generator = torch.Generator().manual_seed(request.seed)
    parts: Mapping[str, Part] = {}
    if not chosen and targets:
        return parts
    for state in generate_iter(model, taken.given, chosen, plan, generator, num_samples=request.num):
        stream = model.streams[model.index[state.target]]
        progress(state.target, state.step, plan.of(state.target).steps if stream.kind is StreamKind.grid else 0)
        parts = state.parts
    return parts


def _given(part: Part) -> Given:
    """A finished target as an input."""
    return Given(column=Column(values=part.ids, lengths=part.known.sum(dim=1)))


def _entrance(name: str, taken: Taken) -> str:
    """The stream that a condition means: an image's pixels where only those are given."""
    return name + PIXELS if name not in taken.given and name + PIXELS in taken.given else name


@torch.no_grad()
def _values(codecs: Codecs, name: str, part: Part) -> list[Any]:
    if is_dense(codecs, name):
        return decode_dense(codecs, name, part.ids)
    return decode_sequences(codecs, name, part.rows()).values
