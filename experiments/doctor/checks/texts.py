"""Lengths of texts in tokens against the limit of each modality, and the share of unknown tokens."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from experiments.doctor.findings import Finding, FindingLog, Severity
from experiments.doctor.samples import Sample
from experiments.doctor.spool import Spool
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Embeddings, Text
from modalities.spec import Modality, SequenceModality, Value, learned_tokenizer
from modalities.vocabulary import UNK_ID
from networks.tokenizers.text import TextTokenizer

TRAIN_SPLIT = "train"
BATCH = 1024
"""Texts that are encoded together."""
MAX_UNKNOWN = 0.2
"""Share of unknown tokens in one text above which it is worth a warning."""


@dataclass(kw_only=True)
class TextSummary:
    """Lengths of one sequence modality in one split, in tokens with the end token, or in vectors."""

    modality: str
    split: str
    limit: int
    """Tokens that a run keeps of a sample."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Number of sequences of each length."""
    unknown: int = 0
    """Tokens that stand for letters or words outside the vocabulary."""

    @property
    def count(self) -> int:
        """Number of sequences."""
        return self.lengths.total()

    @property
    def total(self) -> int:
        """Sum of their lengths."""
        return sum(length * number for length, number in self.lengths.items())

    @property
    def longest(self) -> int:
        """The longest sequence."""
        return max(self.lengths, default=0)

    @property
    def mean(self) -> float:
        """Mean length."""
        return self.total / max(1, self.count)

    @property
    def mean_kept(self) -> float:
        """Mean length of what a run keeps."""
        return sum(min(length, self.limit) * number for length, number in self.lengths.items()) / max(1, self.count)

    @property
    def num_over(self) -> int:
        """Sequences over the limit."""
        return sum(number for length, number in self.lengths.items() if length > self.limit)

    @property
    def unknown_share(self) -> float:
        """Share of unknown tokens."""
        return self.unknown / max(1, self.total)


@dataclass(frozen=True, kw_only=True)
class _Text:
    """One text, kept on disk until the vocabulary is known."""

    modality: str
    split: str
    key: str
    origin: str
    text: str


def _text(record: Sequence[str]) -> _Text:
    modality, split, key, origin, text = record
    return _Text(modality=modality, split=split, key=key, origin=origin, text=text)


class _TrainingTexts(Iterable[str]):
    """The texts that a vocabulary is learned from, read from disk each time that they are iterated."""

    def __init__(self, texts: Spool, free: set[str]) -> None:
        self._texts, self._free = texts, free

    def __iter__(self) -> Iterator[str]:
        """The texts of the training split, without records."""
        for item in map(_text, self._texts):
            if item.modality in self._free and item.split == TRAIN_SPLIT:
                yield item.text


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
        self._texts = Spool()
        self._found = FindingLog()

    def observe(self, sample: Sample) -> None:
        """Keep the texts of one sample, and measure its embeddings."""
        for name, modality in self.modalities.items():
            reading = sample.readings[name]
            place = {"modality": name, "split": sample.split, "key": sample.key, "origin": reading.origin}
            if isinstance(modality, SequenceModality):
                is_free = isinstance(modality, FreeTextModality)
                values = reading.stored if is_free else () if reading.value is None else (reading.value,)
                for value in values:
                    self._texts.append(astuple(_Text(text=spell(modality, value), **place)))
            elif reading.value is not None:
                self._measure(_Text(text="", **place), len(reading.value), 0, "vectors")

    def _train_tokenizer(self) -> TextTokenizer:
        """The text tokenizer that a run would learn."""
        free = {name for name, item in self.modalities.items() if isinstance(item, FreeTextModality)}
        return TextTokenizer.train(_TrainingTexts(self._texts, free), self._class_names)

    def findings(self) -> Iterator[Finding]:
        """Texts over the limit, then texts with unknown tokens."""
        tokenizer = self._train_tokenizer()
        self.vocab_size = tokenizer.vocab_size
        texts = map(_text, self._texts)
        while batch := list(islice(texts, BATCH)):
            for item, ids in zip(batch, tokenizer.encode_batch([item.text for item in batch]), strict=True):
                self._measure(item, len(ids) + 1, ids.count(UNK_ID), "tokens")
        yield from self._found

    def _measure(self, item: _Text, length: int, unknown: int, unit: str) -> None:
        limit = self.modalities[item.modality].num_tokens
        summary = self.summaries.setdefault(
            (item.modality, item.split), TextSummary(modality=item.modality, split=item.split, limit=limit)
        )
        summary.lengths[length] += 1
        summary.unknown += unknown
        if length > limit:
            what = f"{item.modality} takes {length:,} {unit}, of which a run keeps {limit:,}: shorten it"
            self._warn("too_long", f"{item.origin}: {what}, or raise scale.max_tokens.", item)
        if unknown > MAX_UNKNOWN * length:
            what = f"{unknown:,} of {length:,} tokens of {item.modality} are unknown"
            self._warn("unknown_tokens", f"{item.origin}: {what}: their letters do not occur in {TRAIN_SPLIT}.", item)

    def _warn(self, check: str, message: str, item: _Text) -> None:
        self._found.add(
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
