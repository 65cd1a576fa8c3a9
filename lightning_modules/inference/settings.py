"""Generation settings: options on top of the published settings, and the resulting config in words."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from modalities.errors import UnknownNameError
from modalities.spec import Modality
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig, GuidanceCondition
from networks.generation.defaults import default_generation_config
from networks.generation.schedules import Temperature, TokenSchedule
from networks.streams import GridStream, PixelStream, Stream


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """Changes to a `DecodingConfig`; None keeps the published setting."""

    scheme: DecodingScheme | None = None
    steps: int | None = None
    tokens: TokenSchedule | None = None
    temperature: Temperature | None = None
    top_k: float | None = None
    top_p: float | None = None
    guidance: float | None = None

    def apply(self, decoding: DecodingConfig) -> DecodingConfig:
        """Change ``decoding`` by the settings that are not None.

        Raises:
            ConfigError: A value is out of its range.
        """
        return replace(decoding, **self.changes())

    def changes(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Options of generation on top of the published settings."""

    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    """For all targets."""
    by_target: Mapping[str, DecodingOptions] = field(default_factory=dict)
    """For some targets, on top of `decoding`."""
    conditions: tuple[GuidanceCondition, ...] = ()
    """Weighted inputs in place of guidance, by the names of their modalities."""
    accumulate_conditioning: bool = True
    """See `GenerationConfig`."""
    prompt_with_sentinel: bool = True
    """See `GenerationConfig`."""


def build_generation_plan(
    options: GenerationOptions,
    streams: Sequence[Stream],
    targets: Sequence[str],
    *,
    modalities: Mapping[str, Modality],
    from_image: bool,
    resolve_stream: Callable[[str], str] = str,
    condition_inputs: Collection[str] = (),
) -> GenerationConfig:
    """The generation config of ``targets``: published settings, and the options over them.

    Args:
        from_image: True where a whole image is among the inputs.
        resolve_stream: From a name in the options to a stream's.
        condition_inputs: Streams of the inputs: a target of a higher resolution than one of them is refined from it.

    Raises:
        ConfigError: A value is out of its range.
        UnknownNameError: The options name a target that is not generated.
    """
    coarsest = max((_stride(stream) for stream in streams if stream.name in condition_inputs), default=0.0)
    finer = [stream.name for stream in streams if _stride(stream) < coarsest]
    plan = default_generation_config(streams, modalities, from_image=from_image, finer=finer)
    decodings = {name: options.decoding.apply(plan.for_stream(name)) for name in targets}
    for name, changes in options.by_target.items():
        stream = resolve_stream(name)
        if stream not in decodings:
            raise UnknownNameError(f"target with {'/'.join(changes.changes())}", name, targets)
        decodings[stream] = changes.apply(decodings[stream])
    if options.conditions:
        conditions = tuple(
            replace(item, streams=tuple(map(resolve_stream, item.streams))) for item in options.conditions
        )
        decodings = {name: replace(item, conditions=conditions) for name, item in decodings.items()}
    return replace(
        plan,
        decodings=decodings,
        accumulate_conditioning=options.accumulate_conditioning,
        prompt_with_sentinel=options.prompt_with_sentinel,
    )


def _stride(stream: Stream) -> float:
    """Tokens of the finest grid that one token covers; 1 for streams without a grid."""
    return stream.stride if isinstance(stream, GridStream | PixelStream) else 1.0


def plan_to_dict(plan: GenerationConfig, targets: Sequence[str]) -> dict[str, Any]:
    """The config as plain values, for a record beside the results."""
    return {name: _decoding_to_dict(plan.for_stream(name)) for name in targets} | {
        "accumulate_conditioning": plan.accumulate_conditioning,
        "prompt_with_sentinel": plan.prompt_with_sentinel,
    }


def describe_plan(plan: GenerationConfig, streams: Sequence[Stream], targets: Sequence[str]) -> str:
    """The config in words: targets with equal settings together, in their order."""
    by_name = {stream.name: stream for stream in streams}
    groups: dict[str, list[str]] = {}
    for name in targets:
        groups.setdefault(_describe_decoding(plan.for_stream(name), by_name[name]), []).append(name)
    return "; ".join(f"{', '.join(names)}: {words}" for words, names in groups.items())


def _describe_decoding(decoding: DecodingConfig, stream: Stream) -> str:
    words: list[str] = []
    if isinstance(stream, GridStream):
        count = f"{decoding.steps} step{'s' if decoding.steps > 1 else ''}"
        words += [decoding.scheme.value, f"{count} ({decoding.tokens.value})" if decoding.steps > 1 else count]
    words.append(f"temperature {decoding.temperature}")
    words += [f"top-k {decoding.top_k:g}"] if decoding.top_k else []
    words += [f"top-p {decoding.top_p:g}"] if decoding.top_p < 1 else []
    if decoding.conditions:
        weights = [f"{'+'.join(item.streams)} {item.weight:+g}" for item in decoding.conditions]
        return ", ".join([*words, "weights " + " and ".join(weights)])
    return ", ".join([*words, f"guidance {decoding.guidance:g}"] if decoding.guidance != 1 else words)


def _decoding_to_dict(decoding: DecodingConfig) -> dict[str, Any]:
    return {
        "scheme": decoding.scheme.value,
        "steps": decoding.steps,
        "tokens": decoding.tokens.value,
        "temperature": str(decoding.temperature),
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        "guidance": decoding.guidance,
        "conditions": [{"streams": list(item.streams), "weight": item.weight} for item in decoding.conditions],
    }
