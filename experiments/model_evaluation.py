"""Measures one model's folder on held-out samples: a model trained here, or an imported one."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.references.measure import measure_reference_levels
from evaluation.samples import EvalSplit
from evaluation.scores import Score
from evaluation.tasks.base import ModelRef, TaskContext
from evaluation.tasks.measure import measure_model
from experiments.evaluation_data import evaluation_sizes, model_data, open_evaluation_data
from experiments.evaluation_samples import (
    StatusCallback,
    build_splits,
)
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.sections import DataConfig
from experiments.stages.inputs import inference_device
from lightning_modules.checkpoints.model import LoadedModel, load_model
from modalities.registry import Registry, default_registry
from modalities.spec import Modality
from networks.tokenizers.codec import Codec


@dataclass(frozen=True, kw_only=True)
class ModelEvaluation:
    """Scores of one model, with its reference levels."""

    model_ref: ModelRef
    modalities: Mapping[str, Modality]
    """Those that were measured."""
    data: str
    """The held-out samples in words."""
    scores: list[Score]
    notes: list[str]
    """A line on each modality and measurement that was left out."""


def evaluate_model(
    folder: Path,
    config: ExperimentConfig,
    *,
    data: DataConfig | None = None,
    split: str = "test",
    registry: Registry | None = None,
    progress: StatusCallback = lambda _: None,
) -> ModelEvaluation:
    """Measure a model by `ExperimentConfig.evaluation` on `data.validation` samples of ``data``.

    Chance levels come from training samples: `evaluation.num_chance` of them, at most `data.train`. Data without a
    training split give them from the measured samples.

    Args:
        data: The data to measure on; None is `model_data`.
        split: ``test``, which nothing else reads, ``validation``, on which an ablation compares its arms, or ``all``.

    Raises:
        CheckpointError: The model's folder is incomplete.
        DataError: No target can be measured, for want of tokenizers.
    """
    registry = registry or default_registry()
    loaded = load_model(folder)
    opened = open_evaluation_data(loaded, model_data(loaded, config.data) if data is None else data, registry)
    codec = loaded.codec(registry, opened.measurable)
    sizes, notes = evaluation_sizes(opened, config.evaluation.num_chance, split)
    with tempfile.TemporaryDirectory() as scratch:
        splits = build_splits(Path(scratch), sizes, loaded, codec, opened.source, opened.readable, progress)
        scores, skipped = _measure(loaded, codec, splits.get("train", splits[split]), splits[split], config, progress)
    return ModelEvaluation(
        model_ref=_model_ref(loaded),
        modalities=opened.measurable,
        data=f"{sizes[split]} {split} {opened.source.description}",
        scores=scores,
        notes=[*opened.notes, *notes, *(f"Not measured: {line}." for line in skipped)],
    )


def _measure(
    loaded: LoadedModel,
    codec: Codec,
    training: EvalSplit,
    held_out: EvalSplit,
    config: ExperimentConfig,
    progress: StatusCallback,
) -> tuple[list[Score], Sequence[str]]:
    """Scores of the reference levels and of the model, and what could not be measured."""
    device = inference_device(config)
    for item in codec.tokenizers.values():
        item.to(device)
    progress("chance levels and round trips")
    reference_levels = measure_reference_levels(codec, training, held_out, config.evaluation)
    progress("the model")
    context = TaskContext(
        model=loaded.model.to(device),
        codec=codec,
        held_out=held_out,
        reference_levels=reference_levels,
        common_inputs=sorted(stream.name for stream in held_out.streams if stream.is_input),
        model_ref=_model_ref(loaded),
        config=config.evaluation,
    )
    measured = measure_model(context)
    return [*reference_levels.scores, *measured.scores], measured.skipped


def _model_ref(loaded: LoadedModel) -> ModelRef:
    return ModelRef(arm=str(loaded.card.get("arm", "model")), seed=int(loaded.card.get("seed", 0)))
