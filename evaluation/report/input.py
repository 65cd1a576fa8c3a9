"""What a report is made of. Experiments fill it in; nothing here computes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.scores import Score
from lightning_modules.inference.gallery.gallery import GalleryItem
from modalities.rendering.sheet import ContactSheet
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """One curve of one training run."""

    arm: str
    seed: int
    name: str
    """``train`` or ``val``."""
    points: tuple[tuple[float, float], ...]
    """Step and loss."""


@dataclass(frozen=True, kw_only=True)
class TokenizerSummary:
    """What a tokenizer's card says, for the report."""

    name: str
    members: tuple[str, ...]
    vocab_size: int
    num_tokens: int
    used: float
    """Share of the codes that held-out data uses."""
    perplexity: float
    steps: int = 0
    provenance: str = ""

    @property
    def is_collapsed(self) -> bool:
        """True where under a tenth of the codes are used."""
        return self.used < 0.1


@dataclass(frozen=True, kw_only=True)
class StageDuration:
    """How long one stage took."""

    kind: str
    name: str
    start: float
    """In seconds, on any clock that the stages share."""
    seconds: float
    reused: bool = False
    """True where an earlier run's result was taken."""


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """Everything that a report is made of."""

    title: str
    command: str
    """What reproduces it."""
    data: str
    """One sentence on the data: which, how many, how large."""
    arms: Mapping[str, Sequence[str]]
    """Modalities of each arm."""
    seeds: Sequence[int]
    modalities: Mapping[str, Modality]
    """Every modality of every arm, at the run's scale."""
    scores: Sequence[Score]
    """Baselines and models together."""
    histories: Sequence[LossCurve] = ()
    tokenizers: Sequence[TokenizerSummary] = ()
    sheets: Sequence[ContactSheet] = ()
    generated: Mapping[str, Sequence[GalleryItem]] = field(default_factory=dict)
    """Sheets of what each arm's model generates, the first seed's."""
    stages: Sequence[StageDuration] = ()
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Facts of each arm's model in words: parameters, tokens seen, tokens per second."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Versions, commit, hardware, fingerprints, in words."""
    wall_seconds: float = math.nan
    resamples: int = 2000
    """Bootstrap resamples of the held-out samples."""
