"""Requests for generation, and their execution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lightning_modules.inference.inputs import (
    PreparedInputs,
    UserInput,
    has_full_image,
    prepare_user_inputs,
    repeat_inputs,
)
from lightning_modules.inference.instances import dense_instances, has_query_points
from lightning_modules.inference.settings import GenerationOptions, build_generation_plan
from modalities.errors import UnknownNameError
from modalities.spec import Modality
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.config import GenerationConfig, GenerationError
from networks.generation.defaults import sort_targets
from networks.generation.generate import generate_iter
from networks.generation.inputs import ConditionInput
from networks.generation.state import KnownTokens
from networks.streams import GridStream, pixel_stream_name
from networks.tokenizers.codec import Codec

Progress = Callable[[str, int, int], None]
"""Takes the target at work, its steps done, and its steps in all; 0 where that is open."""


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """Targets to generate from inputs, and how."""

    sources: Mapping[str, UserInput] = field(default_factory=dict)
    targets: Sequence[str] = ()
    options: GenerationOptions = field(default_factory=GenerationOptions)
    num: int = 1
    """Variations."""
    seed: int = 0
    num_points: int = 0
    """Query points of a dense map of instances, side by side in one batch; 0 writes instances as one sequence."""
    is_ordered: bool = True
    """True for the published order of targets, False for the order given."""


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """Generated values, and what led to them."""

    targets: list[str]
    """In the order in which they were generated."""
    prepared: PreparedInputs
    plan: GenerationConfig
    parts: Mapping[str, KnownTokens]
    values: dict[str, list[Any]]
    """By target, one for each variation."""


def run_request(
    model: FourM, codec: Codec, request: GenerationRequest, progress: Progress = lambda *_: None
) -> GenerationResult:
    """Generate the requested targets.

    Raises:
        UserError: An input, a target or a setting does not fit the model, or a file cannot be read.
    """
    targets = [resolve_target(name, model, codec) for name in request.targets]
    targets = sort_targets(targets, codec.modalities) if request.is_ordered else targets
    sources = {resolve_alias(name, codec.modalities): source for name, source in request.sources.items()}
    if request.num < 1:
        raise GenerationError(f"num must be at least 1, got {request.num}.")
    prepared = prepare_user_inputs(model, codec, sources, targets)
    plan = build_generation_plan(
        request.options,
        model.streams,
        targets,
        modalities=codec.modalities,
        from_image=has_full_image(prepared.condition_inputs, model),
        resolve_stream=lambda name: _condition_stream(resolve_alias(name, codec.modalities), prepared),
        condition_inputs=prepared.condition_inputs,
    )
    dense = [name for name in targets if request.num_points and has_query_points(codec.modalities[name])]
    chosen = [name for name in targets if name not in dense]
    parts = {} if dense and not chosen else _generate_parts(model, prepared, chosen, plan, request, progress)
    values = {name: _decode_values(codec, name, parts[name]) for name in targets if name in parts}
    inputs = {**prepared.condition_inputs, **{name: _as_condition(parts[name]) for name in values}}
    for name in dense:
        generator = torch.Generator().manual_seed(request.seed)
        values[name] = [dense_instances(model, codec, name, inputs, plan, request.num_points, generator)]
    return GenerationResult(targets=targets, prepared=prepared, plan=plan, parts=parts, values=values)


def resolve_alias(name: str, modalities: Mapping[str, Modality]) -> str:
    """The name of the modality that is called ``name`` for short; ``name`` itself where none is."""
    return next((full for full, modality in modalities.items() if name in modality.aliases), name)


def resolve_target(name: str, model: FourM, codec: Codec) -> str:
    """The target that is meant by ``name``.

    Raises:
        UnknownNameError: The model has no such target.
        GenerationError: It is an input only.
    """
    full = resolve_alias(name, codec.modalities)
    targets = [stream.name for stream in model.streams if stream.is_target]
    if full in targets:
        return full
    if full in codec.modalities:
        raise GenerationError(f"{full} is an input only and cannot be generated. Targets: {', '.join(targets)}.")
    raise UnknownNameError("target of this model", name, targets)


def _generate_parts(
    model: FourM,
    prepared: PreparedInputs,
    targets: Sequence[str],
    plan: GenerationConfig,
    request: GenerationRequest,
    progress: Progress,
) -> Mapping[str, KnownTokens]:
    """Every part at the end."""
    generator = torch.Generator().manual_seed(request.seed)
    parts: Mapping[str, KnownTokens] = {}
    condition_inputs = repeat_inputs(prepared.condition_inputs, request.num)
    for state in generate_iter(model, condition_inputs, targets, plan, generator, num_samples=request.num):
        stream = model.streams[model.index[state.target]]
        progress(state.target, state.step, plan.for_stream(state.target).steps if isinstance(stream, GridStream) else 0)
        parts = state.parts
    return parts


def _as_condition(part: KnownTokens) -> ConditionInput:
    """A finished target as an input."""
    return ConditionInput(tokens=PaddedTokens(values=part.ids, lengths=part.known.sum(dim=1)))


def _condition_stream(name: str, prepared: PreparedInputs) -> str:
    """The stream that a condition means: an image's pixels where only those are given."""
    return (
        pixel_stream_name(name)
        if name not in prepared.condition_inputs and pixel_stream_name(name) in prepared.condition_inputs
        else name
    )


@torch.no_grad()
def _decode_values(codec: Codec, name: str, part: KnownTokens) -> list[Any]:
    return codec.decode(name, part.ids if codec.is_dense(name) else part.rows()).values
