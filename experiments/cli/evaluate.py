"""Measures one model's folder on held-out samples: a model trained here, or an imported one."""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from evaluation.references.measure import measure_reference_levels
from evaluation.report.input import ReportInput
from evaluation.report.tables import build_tables
from evaluation.report.terminal import summary_table
from evaluation.samples import EvalSplit
from evaluation.scores import Score, write_scores
from evaluation.tasks.base import ModelRef, TaskContext
from evaluation.tasks.measure import measure_model
from experiments.cli.options import add_model_options, print_lines
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import find_config, load_config
from experiments.stages.inputs import inference_device
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import LoadedModel, load_model
from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.data.store import TokenStore, write_tokens
from lightning_modules.data.tokenize import tokenize_shard
from modalities.errors import ConfigError, DataError
from modalities.layouts import Dense
from modalities.registry import Registry, default_registry
from modalities.sources.open import open_source
from modalities.spec import Modality
from networks.streams import PixelStream, Stream, pixel_stream_name
from networks.tokenizers.codec import Codec

StatusCallback = Callable[[str], None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the model, the settings and the split."""
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="config or key=value",
        help="config and settings, as for `fourm ablate`; all are optional",
    )
    add_model_options(parser)
    parser.add_argument("--out", type=Path, default=Path("evaluation-of-model"), help="folder of scores.json")
    parser.add_argument(
        "--split",
        choices=("test", "validation"),
        default="test",
        help="test samples, which nothing else uses, or the validation samples that arms are compared on",
    )


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure a model, and print its table.

    Raises:
        UserError: The settings or the model do not fit.
    """
    names = [item for item in arguments.settings if "=" not in item]
    if len(names) > 1:
        raise ConfigError(f"fourm evaluate takes one config, got {', '.join(names)}.")
    overrides = [item for item in arguments.settings if "=" in item]
    config = load_config(find_config(names[0]) if names else None, overrides)
    with console.status("") as status:
        evaluation = evaluate_model(
            arguments.model,
            config,
            arguments.out,
            arm=arguments.arm,
            seed=arguments.model_seed,
            split=arguments.split,
            progress=lambda status_text: status.update(f"{status_text} ..."),
        )
    print_lines(console, evaluation.lines, style="yellow")
    console.print(evaluation.table)
    print_lines(console, [f"Scores:  {evaluation.scores}"])


@dataclass(frozen=True, kw_only=True)
class EvaluationOutput:
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
    progress: StatusCallback = lambda _: None,
) -> EvaluationOutput:
    """Measure a model by `ExperimentConfig.evaluation` on `data.validation` samples, and write ``scores.json``.

    Chance comes from training samples: `evaluation.num_chance` of them, at most `data.train`.

    Args:
        split: ``test``, which nothing else looks at, or ``validation``, by which an ablation compares its arms.

    Raises:
        CheckpointError: The model's folder is incomplete.
        DataError: The model can measure nothing, for want of tokenizers, or the scores cannot be written.
    """
    folder = find_model(model, arm, seed)
    loaded = load_model(folder)
    all_modalities = loaded.build_modalities(registry or default_registry())
    measurable, lines = _measurable_modalities(loaded, all_modalities, registry or default_registry())
    codec = loaded.codec(registry or default_registry(), measurable)
    rendered = {
        name: item
        for name, item in all_modalities.items()
        if name in measurable or pixel_stream_name(name) in loaded.model.index
    }
    measurable_streams = tuple(stream for stream in loaded.streams if stream.modality in measurable)
    input_streams = tuple(stream for stream in loaded.streams if isinstance(stream, PixelStream))
    streams = tuple(dict.fromkeys((*measurable_streams, *input_streams)))
    model_ref = ModelRef(arm=str(loaded.card.get("arm", "model")), seed=int(loaded.card.get("seed", 0)))
    device = inference_device(config)
    for item in codec.tokenizers.values():
        item.to(device)
    with tempfile.TemporaryDirectory() as scratch:
        sizes = {"train": min(config.data.train, config.evaluation.num_chance), split: config.data.validation}
        splits = {
            name: _build_split(Path(scratch) / name, name, count, rendered, streams, loaded, codec, progress)
            for name, count in sizes.items()
        }
        progress("chance and round trips")
        reference_levels = measure_reference_levels(codec, splits["train"], splits[split], config.evaluation)
        progress("the model")
        measured = measure_model(
            TaskContext(
                model=loaded.model.to(device),
                codec=codec,
                held_out=splits[split],
                reference_levels=reference_levels,
                common_inputs=sorted(stream.name for stream in streams if stream.is_input),
                model_ref=model_ref,
                config=config.evaluation,
            )
        )
    lines += [f"Not measured: {line}." for line in measured.skipped]
    scores = [*reference_levels.scores, *measured.scores]
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / "scores.json", scores)
    report = _report(
        str(model),
        f"{config.data.validation} {split} {open_source(rendered).description}",
        config,
        measurable,
        model_ref,
        scores,
    )
    return EvaluationOutput(table=summary_table(build_tables(report)), scores=out / "scores.json", lines=lines)


def _report(
    title: str,
    data: str,
    config: ExperimentConfig,
    modalities: Mapping[str, Modality],
    model_ref: ModelRef,
    scores: list[Score],
) -> ReportInput:
    """One model's scores in the form of an ablation's."""
    return ReportInput(
        title=title,
        command="fourm evaluate",
        data=data,
        arms={model_ref.arm: list(modalities)},
        seeds=[model_ref.seed],
        modalities=modalities,
        scores=scores,
        resamples=config.evaluation.resamples,
    )


def _measurable_modalities(
    loaded: LoadedModel, modalities: Mapping[str, Modality], registry: Registry
) -> tuple[dict[str, Modality], list[str]]:
    """The modalities that can be turned into tokens and measured, and a line on each that cannot."""
    measurable: dict[str, Modality] = {}
    lines: list[str] = []
    for name, modality in modalities.items():
        missing_option = loaded.missing_option(modality)
        variant = loaded.variants.get(name)
        base = registry[variant.base].layout if variant else modality.layout
        if name not in loaded.model.index:
            continue
        if missing_option is not None:
            lines.append(f"{name} is left out: the model was imported without its tokenizer ({missing_option}).")
        elif _has_other_classes(modality, base):
            lines.append(f"{name} is left out: its classes are not those of the data source.")
        else:
            measurable[name] = modality
    if not any(loaded.streams[loaded.model.index[name]].is_target for name in measurable):
        raise DataError(f"Nothing of this model can be measured. {' '.join(lines)}")
    return measurable, lines


def _has_other_classes(modality: Modality, base: object) -> bool:
    """True for class maps of another list of classes."""
    layout = modality.layout
    if not isinstance(layout, Dense) or not isinstance(base, Dense):
        return False
    return layout.categorical and layout.channels != base.channels


def _build_split(
    folder: Path,
    split: str,
    count: int,
    modalities: Mapping[str, Modality],
    streams: tuple[Stream, ...],
    loaded: LoadedModel,
    codec: Codec,
    progress: StatusCallback,
) -> EvalSplit:
    """Samples of a split, read from the source and turned into tokens below ``folder``."""
    progress(f"{count} {split} samples")
    write_shard(folder / "raw", modalities, open_source(modalities), split, range(count))
    raw = RawStore.open([folder / "raw"], modalities)
    tokenizable = RawStore.open([folder / "raw"], codec.modalities)
    tokenize_shard(folder / "tokens", tokenizable, codec, loaded.fingerprints)
    for name in modalities:
        if name not in codec.modalities:
            write_tokens(folder / "tokens", pixel_stream_name(name), raw[name][:], "raw")
    return EvalSplit(values=raw, tokens=TokenStore([folder / "tokens"], streams), streams=streams, num_samples=count)
