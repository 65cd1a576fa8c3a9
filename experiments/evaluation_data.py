"""The data that one model is measured on: which source, which of its modalities, how many samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from experiments.schema.sections import DataConfig
from lightning_modules.checkpoints.model import LoadedModel
from modalities.errors import CheckpointError, DataError
from modalities.layouts import Dense
from modalities.registry import Registry
from modalities.sources.base import ALL_SPLITS, Source, count_samples, source_notes, split_keys_of
from modalities.sources.config import SCENES, SourceConfig
from modalities.sources.open import open_source
from modalities.spec import Modality
from modalities.storage.serialization import from_plain
from modalities.variants import class_names_of, read_class_names
from networks.streams import pixel_stream_name


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """A source, and what of a model can be measured on it."""

    source: Source
    config: DataConfig
    measurable: Mapping[str, Modality]
    """The modalities that can be turned into tokens and measured."""
    readable: Mapping[str, Modality]
    """These, and those that enter the model as pixels."""
    notes: Sequence[str]
    """A line on each modality that is left out, and on what the source does not read."""


def open_evaluation_data(loaded: LoadedModel, config: DataConfig, registry: Registry) -> EvaluationData:
    """Open the data and find what of the model can be measured on them.

    Raises:
        DataError: No target can be measured, for want of tokenizers or of values.
        UserError: The data cannot be opened.
    """
    measurable, notes = _measurable_modalities(loaded, registry, config)
    source = open_source(config.source, _readable_modalities(loaded, registry, measurable))
    measurable, unavailable = _available_modalities(source, measurable)
    return EvaluationData(
        source=source,
        config=config,
        measurable=measurable,
        readable=_readable_modalities(loaded, registry, measurable),
        notes=[*notes, *unavailable, *source_notes(source)],
    )


def model_data(loaded: LoadedModel, data: DataConfig) -> DataConfig:
    """The data that a model is measured on if nothing else is said: the source of ``data``, or the model's own.

    The settings count where they choose a source; else what the model's card says that it was trained on. Numbers of
    samples are those of the settings.

    Raises:
        CheckpointError: The card's settings are not those of a data source.
    """
    kept = loaded.card.get("data_settings")
    if kept is None or data.source != SourceConfig():
        return data
    try:
        return replace(from_plain(DataConfig, kept), train=data.train, validation=data.validation)
    except ValueError as error:
        raise CheckpointError(f"The model's card does not say which data it was trained on: {error}.") from error


def _measurable_modalities(
    loaded: LoadedModel, registry: Registry, data: DataConfig
) -> tuple[dict[str, Modality], list[str]]:
    """The modalities that can be turned into tokens and measured on ``data``, and a line on each that cannot.

    Raises:
        DataError: No target can be measured.
    """
    measurable: dict[str, Modality] = {}
    lines: list[str] = []
    for name, modality in loaded.build_modalities(registry).items():
        missing_option = loaded.missing_option(modality)
        if name not in loaded.model.index:
            continue
        if missing_option is not None:
            lines.append(f"{name} is left out: the model was imported without its tokenizer ({missing_option}).")
        elif _has_other_classes(modality, registry, data):
            lines.append(f"{name} is left out: its classes are not those of the data source.")
        else:
            measurable[name] = modality
    if not any(loaded.streams[loaded.model.index[name]].is_target for name in measurable):
        raise DataError(f"Nothing of this model can be measured. {' '.join(lines)}")
    return measurable, lines


def _available_modalities(source: Source, measurable: Mapping[str, Modality]) -> tuple[dict[str, Modality], list[str]]:
    """The modalities that a source has values of, and a line on each that it has not.

    Raises:
        DataError: It has none that can be predicted.
    """
    problems = {name: source.explain_missing(item) for name, item in measurable.items()}
    available = {name: item for name, item in measurable.items() if problems[name] is None}
    lines = [f"{name} is left out: {problem}" for name, problem in problems.items() if problem is not None]
    if not any(item.is_target for item in available.values()):
        raise DataError(f"Nothing of this model can be measured on {source.name}. {' '.join(lines)}")
    return available, lines


def evaluation_sizes(data: EvaluationData, num_chance: int, split: str) -> tuple[dict[str, int], list[str]]:
    """The number of samples to read of ``split`` and of the training split, and a line on what the settings do not say.

    The training split is left out where the source has none, or where ``split`` holds it.

    Raises:
        UserError: There is no such split, or it is empty or endless.
    """
    source = data.source
    size, notes = _available_size(source, split, data.config.validation, "data.validation")
    if split == ALL_SPLITS or "train" not in source.splits or not len(source.keys("train")):
        reason = "all splits are measured" if split == ALL_SPLITS else f"{source.name} has no training samples"
        return {split: size}, [*notes, f"Chance levels are those of the measured samples: {reason}."]
    train, _ = _available_size(source, "train", data.config.train, "data.train")
    return {"train": min(train, num_chance), split: size}, notes


def _available_size(source: Source, split: str, wanted: int | None, setting: str) -> tuple[int, list[str]]:
    available = len(split_keys_of(source, split))
    if wanted is None or wanted <= available:
        return count_samples(source, split, wanted, setting), []
    size = count_samples(source, split, available, setting)
    if wanted == getattr(DataConfig(), setting.removeprefix("data.")):
        return size, []
    line = f"{setting} is {wanted}, but {source.name} has {available} samples in split {split!r}: all are measured."
    return size, [line]


def _has_other_classes(modality: Modality, registry: Registry, data: DataConfig) -> bool:
    """True for class maps of another list of classes than the data's; data that do not state theirs have the map's."""
    if not isinstance(modality.layout, Dense) or not modality.layout.categorical:
        return False
    base = modality.base or modality.name
    if base in data.classes:
        expected = read_class_names(data.classes[base], data.source.path)
    elif data.source.kind == SCENES:
        expected = class_names_of(registry[base])
    else:
        return False
    return modality.layout.channels != len(expected) or class_names_of(modality) != expected


def _readable_modalities(
    loaded: LoadedModel, registry: Registry, measurable: Mapping[str, Modality]
) -> dict[str, Modality]:
    """The measurable modalities, and those that enter the model as pixels."""
    return {
        name: item
        for name, item in loaded.build_modalities(registry).items()
        if name in measurable or pixel_stream_name(name) in loaded.model.index
    }
