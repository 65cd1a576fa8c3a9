"""A source whose samples a test writes down: by split and key, what is stored of each modality."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.doctor.subject import Subject
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.sections import DataConfig
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.stored import Stored, StoredSource, StoredValue
from modalities.spec import Modality

SCALE = ScaleConfig(size=32, patch=8, max_channels=8, max_vocab=64, max_tokens=24)

Table = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By split, key and modality: a value, or what is stored of it."""


class TableSource(StoredSource):
    """The samples of a table."""

    kind = "table"

    def __init__(self, table: Table, modalities: Mapping[str, Modality], **options: Any) -> None:
        super().__init__(SourceConfig(kind="table", options=options), modalities)
        self.table = table

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.table)

    def sample_keys(self, split: str) -> Sequence[str]:
        return list(self.table[split])

    def stored(self, key: str, modality: Modality) -> Stored | None:
        for split, samples in self.table.items():
            if key in samples:
                item = samples[key].get(modality.name)
                is_stored = item is None or isinstance(item, Stored)
                return item if is_stored else StoredValue(value=item, origin=f"{split}/{key}/{modality.name}")
        raise KeyError(key)

    def explain_missing(self, modality: Modality) -> str | None:
        return None

    def data_fingerprint(self, modality: Modality) -> str:
        return repr(self.table)


def modalities_at_scale(*names: str) -> dict[str, Modality]:
    registry = default_registry()
    return {name: registry[name].scaled(SCALE) for name in names}


def subject_of(table: Table, *names: str, has_run: bool = False, **options: Any) -> Subject:
    """A table as what is examined."""
    modalities = modalities_at_scale(*names)
    return Subject(
        config=ExperimentConfig(
            arms={"examined": list(names)}, scale=SCALE, data=DataConfig(train=None, validation=None)
        ),
        has_run=has_run,
        source=TableSource(table, modalities, **{"license": "CC0-1.0", **options}),
        modalities=modalities,
    )
