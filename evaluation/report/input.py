"""Input of a report, filled in by experiments; nothing here computes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.scores import Score
from lightning_modules.inference.gallery.gallery import GalleryItem
from modalities.rendering.sheet import ContactSheet
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """One loss curve of one training run."""

    arm: str
    seed: int
    name: str
    """``train`` or ``val``."""
    points: tuple[tuple[float, float], ...]
    """Step and loss."""


@dataclass(frozen=True, kw_only=True)
class TokenizerSummary:
    """The part of a tokenizer's card that the report shows."""

    name: str
    members: tuple[str, ...]
    vocab_size: int
    num_tokens: int
    used: float
    """Fraction of the codes that held-out data uses."""
    perplexity: float
    steps: int = 0
    provenance: str = ""

    @property
    def is_collapsed(self) -> bool:
        """True if under a tenth of the codes are used."""
        return self.used < 0.1


@dataclass(frozen=True, kw_only=True)
class StageDuration:
    """Start and duration of one stage."""

    kind: str
    name: str
    start: float
    """In seconds, on any clock that all stages share."""
    seconds: float
    reused: bool = False
    """True if the result of an earlier run was used."""


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """Everything that a report shows, before statistics."""

    title: str
    command: str
    """Command line that reproduces the run."""
    data: str
    """One sentence on the data: kind, number and size of samples."""
    arms: Mapping[str, Sequence[str]]
    """Modalities of each arm."""
    seeds: Sequence[int]
    modalities: Mapping[str, Modality]
    """Every modality of every arm, at the run's scale."""
    scores: Sequence[Score]
    """Of reference levels and models together."""
    histories: Sequence[LossCurve] = ()
    tokenizers: Sequence[TokenizerSummary] = ()
    sheets: Sequence[ContactSheet] = ()
    generated: Mapping[str, Sequence[GalleryItem]] = field(default_factory=dict)
    """Sheets of generated samples by arm, of the first seed's model."""
    stages: Sequence[StageDuration] = ()
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Summary of each arm's model as text: parameters, training tokens, tokens per second."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Versions, commit, hardware and fingerprints, as text."""
    wall_seconds: float = math.nan
    resamples: int = 2000
    """Bootstrap resamples of the held-out samples."""
