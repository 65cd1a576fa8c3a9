"""The data source of an experiment's settings: how a command line names it, opening it, and how much of it is read."""

from collections.abc import Mapping
from pathlib import Path

from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import load_config
from experiments.schema.sections import DataConfig
from modalities.errors import ConfigError, DataError
from modalities.sources.base import Source, count_samples, require_modalities, source_notes
from modalities.sources.config import SourceConfig, parse_source
from modalities.sources.open import open_source
from modalities.sources.registry import default_sources
from modalities.sources.stored import StoredSource
from modalities.spec import Modality

TRAINING_SPLITS = ("train", "validation")
"""Splits that an experiment reads."""

YAML_SUFFIXES = (".yaml", ".yml")
"""Types of files of settings."""

FOLDER = "folder"
"""Kind of source that a path alone stands for."""


def open_data_source(config: DataConfig, modalities: Mapping[str, Modality]) -> Source:
    """The source that ``data.source`` chooses, with the crops of ``data.crops``.

    Raises:
        UserError: The settings do not fit the kind of source, or its data cannot be found.
    """
    return open_source(config.source, modalities, crops=config.crops)


def split_sizes(config: DataConfig, source: Source) -> dict[str, int]:
    """The number of samples of each split that an experiment reads: ``data.train`` and ``data.validation``, or all.

    Raises:
        DataError: The source has fewer samples than are asked for, or none.
        ConfigError: All samples of an endless source are asked for.
    """
    wanted = {"train": config.train, "validation": config.validation}
    return {split: count_samples(source, split, wanted[split], f"data.{split}") for split in TRAINING_SPLITS}


def check_source(source: Source, modalities: Mapping[str, Modality]) -> list[str]:
    """Check that training samples have each modality, as far as the source knows without reading them.

    Returns a line on each thing that is left out: files that are not read, modalities that no held-out sample has.

    Raises:
        DataError: The source has no values of a modality, or no training sample has one.
    """
    require_modalities(source, modalities.values())
    lines = source_notes(source)
    if not isinstance(source, StoredSource):
        return lines
    for name, modality in modalities.items():
        found = {split: source.num_values(split, modality) for split in TRAINING_SPLITS}
        if found["train"] == 0:
            raise DataError(
                f"No training sample of {source.name} has {name}: leave it out of the arms, add some, or choose other "
                "splits."
            )
        if found["validation"] == 0:
            lines.append(f"No held-out sample of {source.name} has {name}: it is trained on, but not measured.")
    return lines


def describe_data(config: ExperimentConfig, modalities: Mapping[str, Modality], counts: str) -> str:
    """The samples of the run's source in words, after their counts."""
    size = config.scale.size
    return f"{counts} {open_data_source(config.data, modalities).description} at {size} × {size} pixels"


def parse_data(text: str) -> tuple[DataConfig, list[str]]:
    """The data that SOURCE names on a command line, all samples of it, and a line on what was guessed.

    SOURCE is a kind and a path, ``folder:photos``; a kind alone, ``scenes``; a path or URL alone, which stands for a
    folder; or a YAML file of settings, of which the section ``data`` counts.

    Raises:
        ConfigError: It is none of these.
    """
    if text.endswith(YAML_SUFFIXES):
        return load_config(Path(text)).data, []
    kind, _, _ = text.partition(":")
    if kind not in default_sources() and ("://" in text or Path(text).is_dir()):
        line = f"{text} is read as a folder; write KIND:{text} for another kind of source."
        return DataConfig(source=SourceConfig(kind=FOLDER, path=text), train=None, validation=None), [line]
    if kind not in default_sources() and ":" not in text:
        raise ConfigError(f"{text!r} is no data: there is no such folder, and no kind of source is called so.")
    return DataConfig(source=parse_source(text), train=None, validation=None), []
