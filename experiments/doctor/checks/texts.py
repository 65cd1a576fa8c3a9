"""Lengths of texts in tokens against the limit of each modality, and the share of unknown tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.doctor.findings import Finding, Severity
from experiments.doctor.samples import Sample
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Embeddings, Text
from modalities.spec import Modality, SequenceModality, Value, learned_tokenizer
from modalities.vocabulary import UNK_ID
from networks.tokenizers.text import TextTokenizer

TRAIN_SPLIT = "train"
MAX_UNKNOWN = 0.2
"""Share of unknown tokens in one text above which it is worth a warning."""


@dataclass(kw_only=True)
class TextSummary:
    """Lengths of one sequence modality in one split, in tokens with the end token, or in vectors."""

    modality: str
    split: str
    limit: int
    """Tokens that a run keeps of a sample."""
    lengths: list[int] = field(default_factory=list)
    unknown: int = 0
    """Tokens that stand for letters or words outside the vocabulary."""

    @property
    def longest(self) -> int:
        """The longest sequence."""
        return max(self.lengths, default=0)

    @property
    def mean(self) -> float:
        """Mean length."""
        return float(np.mean(self.lengths)) if self.lengths else 0.0

    @property
    def mean_kept(self) -> float:
        """Mean length of what a run keeps."""
        return float(np.minimum(self.lengths, self.limit).mean()) if self.lengths else 0.0

    @property
    def num_over(self) -> int:
        """Sequences over the limit."""
        return sum(length > self.limit for length in self.lengths)

    @property
    def unknown_share(self) -> float:
        """Share of unknown tokens."""
        return self.unknown / max(1, sum(self.lengths))


@dataclass(frozen=True, kw_only=True)
class _Text:
    """One text, kept until the vocabulary is known."""

    modality: str
    split: str
    key: str
    origin: str
    text: str


class TextCheck:
    """Texts too long for the run, or spelled with what its vocabulary lacks.

    The vocabulary is learned from the texts of the training split that were read, as a run does.
    """

    name = "texts"

    def __init__(self, modalities: Mapping[str, Modality], class_names: Sequence[str]) -> None:
        self.modalities = {
            name: item for name, item in modalities.items() if isinstance(item.layout, Text | Embeddings)
        }
        self.summaries: dict[tuple[str, str], TextSummary] = {}
        self._class_names = class_names
        self.vocab_size = 0
        """Tokens of the vocabulary, once `findings` has learned it."""
        self._texts: list[_Text] = []
        self._found: list[Finding] = []

    def observe(self, sample: Sample) -> None:
        """Keep the texts of one sample, and measure its embeddings."""
        for name, modality in self.modalities.items():
            reading = sample.readings[name]
            place = {"modality": name, "split": sample.split, "key": sample.key, "origin": reading.origin}
            if isinstance(modality, SequenceModality):
                is_free = isinstance(modality, FreeTextModality)
                values = reading.stored if is_free else () if reading.value is None else (reading.value,)
                self._texts += [_Text(text=spell(modality, value), **place) for value in values]
            elif reading.value is not None:
                self._measure(_Text(text="", **place), len(reading.value), 0, "vectors")

    def _train_tokenizer(self) -> TextTokenizer:
        """The text tokenizer that a run would learn."""
        free = {name for name, item in self.modalities.items() if isinstance(item, FreeTextModality)}
        texts = [item.text for item in self._texts if item.modality in free and item.split == TRAIN_SPLIT]
        return TextTokenizer.train(texts, self._class_names)

    def findings(self) -> Iterator[Finding]:
        """Texts over the limit, then texts with unknown tokens."""
        tokenizer = self._train_tokenizer()
        self.vocab_size = tokenizer.vocab_size
        for item, ids in zip(self._texts, tokenizer.encode_batch([item.text for item in self._texts]), strict=True):
            self._measure(item, len(ids) + 1, ids.count(UNK_ID), "tokens")
        self._texts.clear()
        yield from self._found

    def _measure(self, item: _Text, length: int, unknown: int, unit: str) -> None:
        limit = self.modalities[item.modality].num_tokens
        summary = self.summaries.setdefault(
            (item.modality, item.split), TextSummary(modality=item.modality, split=item.split, limit=limit)
        )
        summary.lengths.append(length)
        summary.unknown += unknown
        if length > limit:
            what = f"{item.modality} takes {length:,} {unit}, of which a run keeps {limit:,}: shorten it"
            self._warn("too_long", f"{item.origin}: {what}, or raise scale.max_tokens.", item)
        if unknown > MAX_UNKNOWN * length:
            what = f"{unknown:,} of {length:,} tokens of {item.modality} are unknown"
            self._warn("unknown_tokens", f"{item.origin}: {what}: their letters do not occur in {TRAIN_SPLIT}.", item)

    def _warn(self, check: str, message: str, item: _Text) -> None:
        self._found.append(
            Finding(
                severity=Severity.warning,
                check=check,
                message=message,
                modality=item.modality,
                split=item.split,
                key=item.key,
                origin=item.origin,
            )
        )


def spell(modality: SequenceModality, value: Value) -> str:
    """The text of a value as the token store has it, coded parts spelled by the first code."""
    codes: NDArray[np.int64] | None = None
    part = learned_tokenizer(modality)
    if part is not None:
        codes = np.zeros((len(modality.preprocess(value)), part.layout.num_tokens), dtype=np.int64)
    return modality.serialize(value, np.random.default_rng(0), codes)
