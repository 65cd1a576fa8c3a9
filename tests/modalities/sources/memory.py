"""A source that lies in memory, for tests of what all stored sources share."""

from collections.abc import Mapping, Sequence
from typing import Any

from modalities.sources.config import SourceConfig
from modalities.sources.stored import Stored, StoredSource
from modalities.spec import Modality


class MemorySource(StoredSource):
    """Samples by key, each with what is stored of some modalities; all of them are in the training split."""

    kind = "memory"

    def __init__(
        self, samples: Mapping[str, Mapping[str, Stored]], modalities: Mapping[str, Modality], **options: Any
    ) -> None:
        super().__init__(SourceConfig(kind="memory", options=options), modalities)
        self.samples = samples

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    def sample_keys(self, split: str) -> Sequence[str]:
        return list(self.samples)

    def stored(self, key: str, modality: Modality) -> Stored | None:
        return self.samples[key].get(modality.name)

    def explain_missing(self, modality: Modality) -> str | None:
        return None

    def data_fingerprint(self, modality: Modality) -> str:
        return repr(sorted(self.samples))
