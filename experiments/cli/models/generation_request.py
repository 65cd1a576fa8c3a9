"""Requests for generation as words of the command line: parsed into a `GenerationRequest`, and written from one."""

import argparse
from collections.abc import Callable, Mapping
from enum import Enum, EnumType
from pathlib import Path
from typing import Any

from experiments.cli.models.generate_options import SAMPLING_OPTIONS
from experiments.cli.options import parse_pairs, split_names
from lightning_modules.inference.inputs import UserInput
from lightning_modules.inference.request import GenerationRequest
from lightning_modules.inference.settings import DecodingOptions, GenerationOptions
from modalities.errors import ConfigError
from networks.generation.config import DecodingScheme, GuidanceCondition
from networks.generation.schedules import Temperature, TokenSchedule

OPTION_PARSERS: dict[str, Callable[[str], Any]] = {
    "scheme": DecodingScheme,
    "steps": int,
    "tokens": TokenSchedule,
    "temperature": Temperature.parse,
    "top_k": float,
    "top_p": float,
    "guidance": float,
}
"""Parsers of the values of `SAMPLING_OPTIONS`."""


def parse_request(arguments: argparse.Namespace) -> GenerationRequest:
    """The request in the options of ``fourm generate``.

    Raises:
        ConfigError: An option is not of the form that it takes.
    """
    values, masks = parse_pairs("--from", arguments.sources), parse_pairs("--mask", arguments.masks)
    for name in masks:
        if name not in values:
            raise ConfigError(f"--mask {name}=... masks an input that --from does not give.")
    sampling = {name: getattr(arguments, name) for name in SAMPLING_OPTIONS if getattr(arguments, name) is not None}
    decoding, by_target = _parse_decoding(sampling)
    return GenerationRequest(
        sources={
            name: UserInput(value=value, mask=Path(masks[name]) if name in masks else None)
            for name, value in values.items()
        },
        targets=split_names(arguments.to),
        options=GenerationOptions(
            decoding=decoding,
            by_target=by_target,
            conditions=tuple(_parse_condition(item) for item in split_names(arguments.conditions)),
            accumulate_conditioning=not arguments.no_accumulate,
            prompt_with_sentinel=not arguments.no_sentinel_prompt,
        ),
        num=arguments.num,
        seed=arguments.seed,
        num_points=arguments.num_points,
        is_ordered=not arguments.in_order,
    )


def request_to_argv(request: GenerationRequest) -> list[str]:
    """The words from which `parse_request` reads a request, whose inputs are files and texts."""
    words: list[str] = []
    for name, source in request.sources.items():
        words += ["--from", f"{name}={source.value}"]
        words += ["--mask", f"{name}={source.mask}"] if source.mask is not None else []
    words += ["--to", ",".join(request.targets)]
    words += [] if request.is_ordered else ["--in-order"]
    words += _format_decoding(request.options)
    if request.options.conditions:
        weights = [f"{'+'.join(item.streams)}={item.weight:g}" for item in request.options.conditions]
        words += ["--conditions", ",".join(weights)]
    words += [] if request.options.accumulate_conditioning else ["--no-accumulate"]
    words += [] if request.options.prompt_with_sentinel else ["--no-sentinel-prompt"]
    words += ["--num", str(request.num)] if request.num != 1 else []
    words += ["--num-points", str(request.num_points)] if request.num_points else []
    return [*words, "--seed", str(request.seed)]


def _parse_decoding(sampling: Mapping[str, str]) -> tuple[DecodingOptions, dict[str, DecodingOptions]]:
    """Settings of all targets and of some; of two values for one target the later counts."""
    common: dict[str, Any] = {}
    by_target: dict[str, dict[str, Any]] = {}
    for option, text in sampling.items():
        for item in text.split(","):
            name, equals, value = item.rpartition("=")
            parsed = _parse_value(option, value.strip())
            if equals:
                by_target.setdefault(name.strip(), {})[option] = parsed
                continue
            common[option] = parsed
            for chosen in by_target.values():
                chosen.pop(option, None)
    return DecodingOptions(**common), {name: DecodingOptions(**chosen) for name, chosen in by_target.items() if chosen}


def _parse_value(option: str, value: str) -> Any:
    kind = OPTION_PARSERS[option]
    try:
        return kind(value)
    except ValueError:
        choices: list[str] = [item.value for item in list[Enum](kind)] if isinstance(kind, EnumType) else []
        known = f"one of {', '.join(choices)}" if choices else "a number"
        raise ConfigError(f"--{option.replace('_', '-')} takes {known}, got {value!r}.") from None


def _parse_condition(item: str) -> GuidanceCondition:
    names, _, weight = item.rpartition("=")
    try:
        return GuidanceCondition(
            streams=tuple(name.strip() for name in names.split("+") if name.strip()), weight=float(weight)
        )
    except ValueError:
        raise ConfigError(
            f"{item!r} is not a weighted condition: expected INPUT=WEIGHT, or ONE+OTHER=WEIGHT."
        ) from None


def _format_decoding(options: GenerationOptions) -> list[str]:
    words: list[str] = []
    for option in SAMPLING_OPTIONS:
        common = getattr(options.decoding, option)
        parts = [] if common is None else [_format_value(common)]
        by_target = {name: getattr(chosen, option) for name, chosen in options.by_target.items()}
        parts += [f"{name}={_format_value(value)}" for name, value in by_target.items() if value is not None]
        words += ["--" + option.replace("_", "-"), ",".join(parts)] if parts else []
    return words


def _format_value(value: Any) -> str:
    match value:
        case Enum():
            return str(value.value)
        case float():
            return f"{value:g}"
        case _:
            return str(value)
