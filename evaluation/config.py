"""Configuration of the evaluation of trained models."""

from dataclasses import dataclass, field

from modalities.errors import ConfigError
from modalities.presets import ARGMAX_TARGETS, EVALUATION_CHAINS, EVALUATION_PROBES, EVALUATION_ROUTES


@dataclass(frozen=True, kw_only=True)
class RetrievalPair:
    """Queries and the gallery that they search; sample i of the one belongs to sample i of the other."""

    query: list[str] = field(default_factory=list, metadata={"names": "modality"})
    """Modalities that form one query."""
    gallery: list[str] = field(default_factory=list, metadata={"names": "modality"})
    """Modalities that form one entry of the gallery."""
    share: float = 1.0
    """Share of the patches or tokens of the query's grids that is shown, at random places; sequences are whole."""

    def __post_init__(self) -> None:
        if not self.query or not self.gallery:
            raise ConfigError(
                "A pair of evaluation.retrieval needs a query and a gallery, as {query: [a], gallery: [b]}."
            )
        if not 0 < self.share <= 1:
            raise ConfigError(f"evaluation.retrieval: share must lie in 0..1, 0 excluded, got {self.share}.")
        if self.share == 1 and set(self.query) == set(self.gallery):
            raise ConfigError(f"evaluation.retrieval: {'+'.join(self.query)} finds itself; set a share below 1.")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Held-out samples, tasks and decoding; the same for every arm and seed."""

    num_samples: int = 512
    """Held-out samples that are measured: the first of the split."""
    num_sequences: int = 256
    """Held-out samples whose sequences are generated, which costs a step per token."""
    num_chance: int = 4096
    """Training samples from which chance levels are computed."""
    batch_size: int = 64
    """Samples per forward pass, at most 64 for masked tokens. It changes nothing but speed and memory."""
    max_tokens: int | None = None
    """Longest generated sequence, in tokens; each modality's own limit where None."""
    routes: dict[str, list[str]] = field(
        default_factory=lambda: {source: list(targets) for source, targets in EVALUATION_ROUTES.items()},
        metadata={"names": "modality", "merge": "replace"},
    )
    """Targets to predict from one whole modality, by that modality; an empty list stands for every target."""
    chains: list[list[str]] = field(
        default_factory=lambda: [list(names) for names in EVALUATION_CHAINS],
        metadata={"names": "modality"},
    )
    """Source, modalities generated in between, and target; measured beside the direct route, and skipped where a model
    lacks one of them."""
    probes: dict[str, str] = field(
        default_factory=lambda: dict(EVALUATION_PROBES), metadata={"names": "modality", "merge": "replace"}
    )
    """Target to predict from an input-only modality, by that modality, which shows what the input is worth."""
    retrieval: list[RetrievalPair] = field(default_factory=list, metadata={"names": "modality"})
    """Queries and galleries of retrieval, as ``[{query: [caption], gallery: [rgb]}]``; none by default. Every arm is
    measured with its pooled encoder outputs and with the global features that it predicts."""
    argmax: list[str] = field(default_factory=lambda: list(ARGMAX_TARGETS), metadata={"names": "modality"})
    """Modalities decoded from their most likely codes, which keeps maps sharp. All others are decoded from the
    probability-weighted mean of the code vectors, which has a lower mean error."""
    masked_inputs: int = 64
    """Visible tokens in the masked cross-entropy."""
    num_pictures: int = 6
    """Held-out samples shown as pictures."""
    num_generated: int = 4
    """Variations on each sheet of generated samples; 0 for no such sheets."""
    resamples: int = 2000
    """Bootstrap resamples of the held-out samples."""
    seed: int = 0
    """Seed of the masks and of the bootstrap."""

    def __post_init__(self) -> None:
        counts = ("num_samples", "num_sequences", "num_chance", "batch_size", "masked_inputs", "resamples")
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"evaluation.{name} must be at least 1, got {getattr(self, name)}.")
        for names in self.chains:
            if len(names) < 3 or len(set(names)) < len(names):
                raise ConfigError(
                    f"A chain of evaluation.chains needs three different modalities or more, got {names}."
                )
        for name in ("num_pictures", "num_generated"):
            if getattr(self, name) < 0:
                raise ConfigError(f"evaluation.{name} must be at least 0, got {getattr(self, name)}.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"evaluation.max_tokens must be at least 1, got {self.max_tokens}.")
