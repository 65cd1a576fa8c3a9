"""Measures one model's folder on held-out scenes: a model trained here, or an imported one."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.crossentropy import Who
from evaluation.held_out import Codecs, Split
from evaluation.records import Score, write_scores
from evaluation.report import ReportInput, summary
from evaluation.roundtrip import measure_baselines
from evaluation.transfer import measure_model
from experiments.ablation import find_model
from experiments.config import ExperimentConfig
from experiments.context import device_for
from lightning_modules.checkpoint import LoadedModel, load_model
from lightning_modules.data.raw import RawStore, render_shard
from lightning_modules.data.store import TokenStore, write_tokens
from lightning_modules.data.tokenise import tokenise
from modalities.errors import DataError
from modalities.registry import Registry, default_registry
from modalities.spec import Dense, Modality
from networks.streams import PIXELS, Stream

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What to tell the person who asked."""

    table: Any
    scores: Path
    lines: list[str]


def evaluate_model(
    model: Path,
    config: ExperimentConfig,
    out: Path,
    *,
    arm: str | None = None,
    seed: int | None = None,
    split: str = "test",
    registry: Registry | None = None,
    progress: Progress = lambda _: None,
) -> Evaluated:
    """Measure a model by `ExperimentConfig.evaluation` on `data.validation` scenes, and write ``scores.json``.

    Chance comes from training scenes: `evaluation.num_chance` of them, at most `data.train`.

    Args:
        split: ``test``, which nothing else looks at, or ``validation``, by which an ablation compares its arms.

    Raises:
        CheckpointError: The model's folder is incomplete.
        DataError: The model can measure nothing, for want of tokenizers, or the scores cannot be written.
    """
    folder = find_model(model, arm, seed)
    loaded = load_model(folder)
    everything = loaded.modalities_from(registry or default_registry())
    chosen, lines = _measurable(loaded, everything, registry or default_registry())
    codecs = Codecs(
        modalities=chosen,
        streams=tuple(stream for stream in loaded.streams if stream.name.removesuffix(PIXELS) in chosen),
        learnt={name: item.tokenizer for name, item in loaded.tokenizers.items()},
        text=loaded.text,
    )
    shown = {name: item for name, item in everything.items() if name in chosen or name + PIXELS in loaded.model.index}
    entrances = tuple(stream for stream in loaded.streams if stream.name.endswith(PIXELS))
    streams = tuple(dict.fromkeys((*codecs.streams, *entrances)))
    who = Who(arm=str(loaded.card.get("arm", "model")), seed=int(loaded.card.get("seed", 0)))
    device = device_for(config)
    for item in codecs.learnt.values():
        item.to(device)
    with tempfile.TemporaryDirectory() as scratch:
        sizes = {"train": min(config.data.train, config.evaluation.num_chance), split: config.data.validation}
        splits = {
            name: _split(Path(scratch) / name, name, count, shown, streams, loaded, codecs, progress)
            for name, count in sizes.items()
        }
        progress("chance and round trips")
        baselines = measure_baselines(codecs, splits["train"], splits[split], config.evaluation)
        progress("the model")
        measured = measure_model(
            loaded.model.to(device),
            codecs,
            splits[split],
            baselines,
            sorted(stream.name for stream in streams if stream.is_input),
            who,
            config.evaluation,
        )
    scores = [*baselines.scores, *measured.scores]
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / "scores.json", scores)
    report = _report(str(model), f"{config.data.validation} {split} scenes", config, chosen, who, scores)
    return Evaluated(table=summary(report), scores=out / "scores.json", lines=lines)


def _report(
    title: str, data: str, config: ExperimentConfig, modalities: Mapping[str, Modality], who: Who, scores: list[Score]
) -> ReportInput:
    """One model's scores in the form of an ablation's."""
    return ReportInput(
        title=title,
        command="fourm evaluate",
        data=data,
        arms={who.arm: list(modalities)},
        seeds=[who.seed],
        modalities=modalities,
        scores=scores,
        resamples=config.evaluation.resamples,
    )


def _measurable(
    loaded: LoadedModel, modalities: Mapping[str, Modality], registry: Registry
) -> tuple[dict[str, Modality], list[str]]:
    """The modalities that can be turned into tokens and measured, and a line on each that cannot."""
    chosen: dict[str, Modality] = {}
    lines: list[str] = []
    for name, modality in modalities.items():
        option = loaded.lacks(modality)
        variant = loaded.variants.get(name)
        base = registry[variant.base].layout if variant else modality.layout
        if name not in loaded.model.index:
            continue
        if option is not None:
            lines.append(f"{name} is left out: the model was imported without its tokenizer ({option}).")
        elif _is_foreign(modality, base):
            lines.append(f"{name} is left out: its classes are not those of the embedded data set.")
        else:
            chosen[name] = modality
    if not any(loaded.streams[loaded.model.index[name]].is_target for name in chosen):
        raise DataError(f"Nothing of this model can be measured. {' '.join(lines)}")
    return chosen, lines


def _is_foreign(modality: Modality, base: object) -> bool:
    """True for class maps of another list of classes."""
    layout = modality.layout
    if not isinstance(layout, Dense) or not isinstance(base, Dense):
        return False
    return layout.categorical and layout.channels != base.channels


def _split(
    folder: Path,
    split: str,
    count: int,
    modalities: Mapping[str, Modality],
    streams: tuple[Stream, ...],
    loaded: LoadedModel,
    codecs: Codecs,
    progress: Progress,
) -> Split:
    """Scenes of a split, rendered and turned into tokens below ``folder``."""
    progress(f"{count} {split} scenes")
    render_shard(folder / "raw", modalities, split, range(count))
    raw = RawStore.open([folder / "raw"], modalities)
    spelled = RawStore.open([folder / "raw"], codecs.modalities)
    tokenise(folder / "tokens", spelled, codecs.learnt, loaded.text, loaded.fingerprints)
    for name in modalities:
        if name not in codecs.modalities:
            write_tokens(folder / "tokens", name + PIXELS, raw[name][:], "raw")
    return Split(values=raw, tokens=TokenStore([folder / "tokens"], streams), num_samples=count)
