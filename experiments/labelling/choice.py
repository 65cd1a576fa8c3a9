"""From what a command line asks for to a plan: modalities, labellers, settings, and the source's scale."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from experiments.labelling.plan import LabelFormat, LabelPlan, order_labellers
from experiments.labelling.writers import split_folder
from modalities.errors import ConfigError
from modalities.labellers.base import Labeller, copy_labeller, with_settings
from modalities.labellers.registry import LabellerRegistry
from modalities.layouts import ScaleConfig
from modalities.registry import Registry, default_registry
from modalities.sources.base import Source
from modalities.sources.config import SCENES, SourceConfig
from modalities.sources.open import open_source
from modalities.sources.registry import SourceRegistry
from modalities.variants import with_classes

SCENE_SIZE = 224
"""Side of scenes where no size is asked for, in pixels."""
DEFAULT_PATCH = 16


@dataclass(frozen=True, kw_only=True)
class LabelChoice:
    """What is made, and by which labellers."""

    outputs: tuple[str, ...]
    copies: tuple[str, ...] = ()
    experts: Mapping[str, str] = field(default_factory=dict)
    """Models, or descriptions of files, by modality."""
    labellers: Mapping[str, str] = field(default_factory=dict)
    """Names of labellers by modality."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Values as written, by ``modality.setting``."""


def make_plan(
    source: SourceConfig,
    choice: LabelChoice,
    registry: LabellerRegistry,
    *,
    out: Path,
    format: LabelFormat = LabelFormat.folder,
    size: int = 0,
    skips_failures: bool = False,
    num_threads: int = 0,
    classes: Mapping[str, Sequence[str]] | None = None,
    modalities: Registry | None = None,
    sources: SourceRegistry | None = None,
) -> LabelPlan:
    """The plan of what ``choice`` asks for.

    Args:
        classes: Names of classes of the data's own labels, by modality.

    Raises:
        UserError: A modality, a labeller or a setting does not exist, or does not fit.
    """
    known = modalities or default_registry()
    scale = _scale(source, size)
    _check_names(choice)
    chosen = [_find(name, choice, registry, known) for name in choice.outputs]
    names = {name for item in chosen for name in (item.output, *item.inputs, *item.optional_inputs)}
    needed = {name: known[name].scaled(scale) for name in sorted(names | {*choice.copies})}
    needed |= {name: with_classes(needed[name], found) for name, found in (classes or {}).items() if name in needed}
    needed |= {item.output: with_classes(needed[item.output], item.class_names) for item in chosen if item.class_names}
    opened = open_source(source, needed, sources)
    chosen += [copy_labeller(name, opened.license) for name in choice.copies]
    fitted = [item.for_modalities(needed) for item in chosen]
    labellers = order_labellers(_with_settings(fitted, _parse_settings(choice.settings)))
    return LabelPlan(
        source=source,
        modalities=needed,
        labellers=labellers,
        out=out,
        format=format,
        size=size,
        has_split_folders=_has_split_folders(opened),
        skips_failures=skips_failures,
        num_threads=num_threads,
        sources=sources,
    )


def _find(output: str, choice: LabelChoice, registry: LabellerRegistry, modalities: Registry) -> Labeller:
    """The labeller that is asked for, or the only one that makes ``output``."""
    if output in choice.experts and output in choice.labellers:
        raise ConfigError(f"{output!r} is given an expert and a labeller: choose one.")
    if output in choice.experts:
        # Networks need torch, which takes seconds to import.
        from lightning_modules.labelling.choose import expert_labeller

        return expert_labeller(modalities[output], choice.experts[output])
    if output not in choice.labellers:
        return registry.find(output)
    labeller = registry[choice.labellers[output]]
    if labeller.output != output:
        raise ConfigError(f"Labeller {labeller.name!r} makes {labeller.output!r}, not {output!r}.")
    return labeller


def _check_names(choice: LabelChoice) -> None:
    """Check that experts and labellers are for what is made.

    Raises:
        ConfigError: One is for another modality.
    """
    for option, names in (("--expert", choice.experts), ("--labeller", choice.labellers)):
        for name in names:
            if name not in choice.outputs:
                raise ConfigError(f"{option} {name}=… is for a modality that is not made: add it to --to.")


def _scale(source: SourceConfig, size: int) -> ScaleConfig:
    """The scale that values are read at where the source knows no other."""
    side = size if size and source.kind == SCENES else SCENE_SIZE
    return ScaleConfig(size=side, patch=math.gcd(side, DEFAULT_PATCH))


def _has_split_folders(source: Source) -> bool:
    """True where every key begins with its split, so that a folder of the split can hold it."""
    first = [(split, keys[0]) for split in source.splits if len(keys := source.keys(split))]
    return bool(first) and all(split_folder(split, key) for split, key in first)


def _parse_settings(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Settings by modality, their values read as YAML.

    Raises:
        ConfigError: A name has another form, or a value is no YAML.
    """
    settings: dict[str, dict[str, Any]] = {}
    for name, text in texts.items():
        output, separator, key = name.partition(".")
        if not (output and separator and key):
            raise ConfigError(f"--set takes MODALITY.SETTING=VALUE, got {name}={text!r}.")
        try:
            found: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        except Exception as error:
            raise ConfigError(f"--set {name}={text!r} is no YAML value.") from error
        settings.setdefault(output, {})[key] = found["value"]
    return settings


def _with_settings(labellers: list[Labeller], settings: Mapping[str, Mapping[str, Any]]) -> list[Labeller]:
    """The labellers with their settings.

    Raises:
        ConfigError: A setting is for a modality that is not made.
    """
    outputs = [labeller.output for labeller in labellers]
    for output in settings:
        if output not in outputs:
            raise ConfigError(f"--set {output}.… is for a modality that is not made; made are {', '.join(outputs)}.")
    return [with_settings(labeller, settings.get(labeller.output, {})) for labeller in labellers]
