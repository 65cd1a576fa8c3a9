"""What a command line says about how targets are generated, on top of the published defaults."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modalities.errors import ConfigError, UnknownNameError
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig, GuidanceCondition
from networks.generation.defaults import default_generation_config
from networks.generation.schedules import Temperature, TokenSchedule
from networks.streams import GridStream, PixelStream, Stream

OPTION_PARSERS: dict[str, Callable[[str], Any]] = {
    "scheme": DecodingScheme,
    "steps": int,
    "tokens": TokenSchedule,
    "temperature": Temperature.parse,
    "top_k": float,
    "top_p": float,
    "guidance": float,
}
"""The fields of `Decoding` that an option sets, and how its value is read."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Options as they were typed: each is a value for all targets, or ``target=value``, several apart by commas."""

    options: Mapping[str, str] = field(default_factory=dict)
    """By the field of `Decoding`."""
    conditions: str = ""
    """Weighted inputs in place of guidance, as ``caption=3,depth=-1``."""
    accumulate_conditioning: bool = True
    prompt_with_sentinel: bool = True

    def to_argv(self) -> list[str]:
        """The settings as they are typed."""
        words = [word for name, value in self.options.items() for word in ("--" + name.replace("_", "-"), value)]
        words += ["--conditions", self.conditions] if self.conditions else []
        words += [] if self.accumulate_conditioning else ["--no-accumulate"]
        return words if self.prompt_with_sentinel else [*words, "--no-sentinel-prompt"]


def build_generation_plan(
    settings: GenerationOptions,
    streams: Sequence[Stream],
    targets: Sequence[str],
    *,
    from_image: bool,
    resolve_stream: Callable[[str], str],
    condition_inputs: Collection[str] = (),
) -> GenerationConfig:
    """The plan for ``targets``: published defaults, and over them what was typed.

    Args:
        rename: From a name as it is typed to a stream's.
        given: Streams of the inputs: a target of a higher resolution than one of them is refined from it.

    Raises:
        ConfigError: A value is not of the option's kind or out of its range.
        UnknownNameError: A setting names what is not asked for.
    """
    coarsest = max((_stride(stream) for stream in streams if stream.name in condition_inputs), default=0.0)
    finer = [stream.name for stream in streams if _stride(stream) < coarsest]
    plan = default_generation_config(streams, from_image=from_image, finer=finer)
    decodings = {name: plan.for_stream(name) for name in targets}
    for option, raw_value in settings.options.items():
        for name, value in _values_by_target(option, raw_value, targets, resolve_stream).items():
            decodings[name] = _with_option(decodings[name], option, value)
    if settings.conditions:
        conditions = tuple(_parse_condition(item, resolve_stream) for item in settings.conditions.split(","))
        decodings = {name: replace(item, conditions=conditions) for name, item in decodings.items()}
    return replace(
        plan,
        decodings=decodings,
        accumulate_conditioning=settings.accumulate_conditioning,
        prompt_with_sentinel=settings.prompt_with_sentinel,
    )


def _stride(stream: Stream) -> float:
    """Tokens of the finest grid that one token covers; 1 for streams without a grid."""
    return stream.stride if isinstance(stream, GridStream | PixelStream) else 1.0


def plan_to_dict(plan: GenerationConfig, targets: Sequence[str]) -> dict[str, Any]:
    """The plan as plain values, for a record beside the results."""
    return {name: _decoding_to_dict(plan.for_stream(name)) for name in targets} | {
        "grow": plan.accumulate_conditioning,
        "prompted": plan.prompt_with_sentinel,
    }


def describe_plan(plan: GenerationConfig, streams: Sequence[Stream], targets: Sequence[str]) -> str:
    """The plan for a person: targets that are generated alike together, in their order."""
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


def _values_by_target(
    option: str, raw_value: str, targets: Sequence[str], resolve_stream: Callable[[str], str]
) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for item in raw_value.split(","):
        name, equals, value = item.rpartition("=")
        if not equals:
            chosen |= dict.fromkeys(targets, value.strip())
        elif resolve_stream(name.strip()) in targets:
            chosen[resolve_stream(name.strip())] = value.strip()
        else:
            raise UnknownNameError(f"target with --{option.replace('_', '-')}", name.strip(), targets)
    return chosen


def _with_option(decoding: DecodingConfig, option: str, value: str) -> DecodingConfig:
    try:
        return replace(decoding, **{option: OPTION_PARSERS[option](value)})
    except ValueError:
        kind = OPTION_PARSERS[option]
        known = (
            f"one of {', '.join(item.value for item in kind)}" if isinstance(kind, type(DecodingScheme)) else "a number"
        )
        raise ConfigError(f"--{option.replace('_', '-')} takes {known}, got {value!r}.") from None


def _parse_condition(item: str, resolve_stream: Callable[[str], str]) -> GuidanceCondition:
    names, _, weight = item.rpartition("=")
    try:
        return GuidanceCondition(
            streams=tuple(resolve_stream(name.strip()) for name in names.split("+") if name.strip()),
            weight=float(weight),
        )
    except ValueError:
        raise ConfigError(
            f"{item!r} is not a weighted condition: expected INPUT=WEIGHT, or ONE+OTHER=WEIGHT."
        ) from None
