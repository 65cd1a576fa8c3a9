"""The contract of a modality: layout, tokenizer, files, values. No data source, no networks.

Letters: b batch, n tokens, d width, c channels, h w grid, v vocabulary.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, assert_never

import numpy as np
from numpy.typing import NDArray

from modalities.decoding import DecodingDefaults, map_decoding, sequence_decoding
from modalities.errors import DataError
from modalities.layouts import Dense, Embeddings, Layout, ScaleConfig, Text, Vector, scaled_layout
from modalities.tokenizer_specs import (
    EmbeddedCodes,
    LearnedTokenizer,
    TokenizerSpec,
    TokenizerTask,
    WordPiece,
    scaled_tokenizer,
)
from modalities.values import Parsed, ValueSpec

if TYPE_CHECKING:
    import torchmetrics


M = TypeVar("M", bound="Modality")

UNSPECIFIED_NORMALIZATION = "values as Modality.preprocess gives them"
"""The normalization of a modality that does not describe its own."""

Value: TypeAlias = Any
"""One raw sample of one modality, in the form that the modality documents (an array, a string, a list of records)."""


class Provenance(Enum):
    """Origin of the labels."""

    exact = "exact"
    """Computed from the data set's ground truth or from the image without error."""
    expert = "expert"
    """Predicted by an expert network."""
    proxy = "proxy"
    """A deterministic stand-in for an expert network whose weights are not at hand."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The square part of an image that a sample shows."""

    left: float
    """Left edge, as a share of the image's width."""
    top: float
    width: float
    """Width of the part, as a share of the image's width."""
    height: float
    flip: bool = False
    """True where the part is mirrored left to right."""


def center_crop(height: int, width: int) -> Crop:
    """The largest centred square of an image of ``height`` x ``width`` pixels."""
    side = min(height, width)
    return Crop(left=(1 - side / width) / 2, top=(1 - side / height) / 2, width=side / width, height=side / height)


@dataclass(frozen=True, kw_only=True)
class Modality(abc.ABC):
    """One kind of thing that 4M reads or writes. Subclasses give the behaviours; fields are the facts."""

    name: str
    """A Python identifier: also the file name, the config key and the metric prefix."""
    title: str
    """Name for a person, in tables and above pictures."""
    layout: Layout
    tokenizer: TokenizerSpec
    provenance: Provenance = Provenance.exact
    """Origin of the labels of the data source in use."""
    labeller: str = ""
    """The expert that labels real photographs, for the record."""
    license: str = "CC0-1.0"
    """License of the labels."""
    base: str = ""
    """Name of the modality that this one is a variant of, at another size; empty for a modality of its own."""
    suffix: str = ".npy"
    """Type of the files that `read_file` and `write_file` use."""
    has_pixel_stream: bool = False
    """True where the raw value also enters the encoder as linear patches (RGB)."""
    decoding: DecodingDefaults | None = None
    """Default decoding; None for that of its data type, generated after all modalities that declare one."""
    aliases: tuple[str, ...] = ()
    """Short names that a request may use."""

    @property
    def decoding_defaults(self) -> DecodingDefaults:
        """Default decoding, declared or of the data type."""
        return self.decoding or (map_decoding() if self.data_type == "dense" else sequence_decoding())

    @property
    def data_type(self) -> str:
        """``dense`` (predicted by unmasking) or ``sequence`` (predicted from left to right)."""
        match self.layout:
            case Dense() | Vector():
                return "dense"
            case Text() | Embeddings():
                return "sequence"
            case _:
                assert_never(self.layout)

    @property
    def is_target(self) -> bool:
        """True where the model can predict it."""
        return not isinstance(self.layout, Embeddings)

    @property
    def num_tokens(self) -> int:
        """Tokens in one sample; for sequences the most there can be."""
        match self.layout:
            case Dense() | Vector():
                return self.layout.num_tokens
            case Text() | Embeddings():
                return self.layout.max_tokens
            case _:
                assert_never(self.layout)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess` in words, with units and range, as tokenizers' cards quote it."""
        return UNSPECIFIED_NORMALIZATION

    def scaled(self: M, scale: ScaleConfig) -> M:
        """The same modality at another scale of resolution, codebook and sequence length."""
        return replace(
            self, layout=scaled_layout(self.layout, scale), tokenizer=scaled_tokenizer(self.tokenizer, scale)
        )

    @property
    def value_spec(self) -> ValueSpec:
        """Type, shape, unit and range of the values before cropping, which `check` enforces."""
        return ValueSpec(type="value", files=self.suffix)

    def check(self, value: Value, origin: str) -> Value:
        """The value in the modality's type and range; `modalities.checks.check_value` calls this for every value.

        Raises:
            DataError: The value does not fit `value_spec`; the message begins with ``origin``.
        """
        return value

    @abc.abstractmethod
    def read_file(self, path: Path) -> Value:
        """The checked value in a file. Raises `DataError` naming the file where it is missing, corrupt or unfit."""

    @abc.abstractmethod
    def write_file(self, path: Path, value: Value) -> None:
        """Write ``value`` to a file that `read_file` takes back without loss beyond the format's quantisation."""

    @abc.abstractmethod
    def transform(self, value: Value, crop: Crop) -> Value:
        """The part of the value inside ``crop``, resampled to the layout."""

    def image_size(self, value: Value) -> tuple[int, int] | None:
        """Height and width of the image that a value shows, in its own pixels; None for what has no pixels."""
        return (value.shape[0], value.shape[1]) if isinstance(self.layout, Dense) else None

    def coerce(self, value: Any) -> Value:
        """The value in what a program holds: an array or tensor of any resolution, a Pillow image, a text, a record.

        Raises:
            DataError: Type, shape or range are not this modality's; one line says what was found and expected.
        """
        raise DataError(f"{self.name} takes files only ({self.suffix}), found a {type(value).__name__}.")

    @property
    def is_flip_invariant(self) -> bool:
        """True where `transform` gives the same value of an image and of its mirror image."""
        return False

    @property
    def is_discrete(self) -> bool:
        """True where a mean of two values means nothing, as of class maps: decoded from the most likely codes."""
        return False

    @abc.abstractmethod
    def render(self, value: Value) -> NDArray[np.uint8] | str:
        """A picture (h, w, 3) for a person, or a text where a picture would say less."""

    @abc.abstractmethod
    def metrics(self) -> "torchmetrics.MetricCollection":
        """Fresh metrics of ``(prediction, target)`` as `collate` gives them; a table shows the first.

        The class of each has a ``title``, a ``unit`` and ``higher_is_better`` (see `modalities.metrics.base`).
        """

    @abc.abstractmethod
    def constant_baseline(self, values: Sequence[Value]) -> Value:
        """The best constant guess: per-pixel mean or majority of training values, or their sequence equivalent."""

    def collate(self, values: Sequence[Value]) -> Any:
        """Values in the form that the metrics take: a stacked tensor for arrays, the list itself for records."""
        return list(values)

    def preprocess(self, value: Value) -> NDArray[Any]:
        """Rows for the learned tokenizer, (rows, c, h, w), (rows, h, w) classes or (rows, c): one for a dense value."""
        raise NotImplementedError(f"{self.name} has no learned tokenizer")

    def postprocess(self, row: NDArray[np.float32]) -> Value:
        """The value that a learned tokenizer's reconstruction (c, h, w) or (c,) stands for; logits for class maps."""
        raise NotImplementedError(f"{self.name} has no learned tokenizer")


@dataclass(frozen=True, kw_only=True)
class SequenceModality(Modality):
    """A modality that is spelled as text."""

    @abc.abstractmethod
    def serialize(self, value: Value, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The text of ``value``. Where order or selection is free, ``rng`` draws it.

        Args:
            codes: (rows, n) codes of the rows that `preprocess` gave, where the modality has a learned part.
        """

    def elements(self, text: str) -> list[str]:
        """The parts of a serialized value between which a text over the token limit is cut: words by default."""
        return text.split()

    def join_elements(self, elements: Sequence[str]) -> str:
        """The text of the first few of `elements`."""
        return " ".join(elements)

    @abc.abstractmethod
    def parse(self, text: str) -> Parsed:
        """The value of ``text``. Never raises: parts that break the grammar are left out and not well-formed."""

    @abc.abstractmethod
    def to_json(self, value: Value) -> Any:
        """``value`` in types that JSON knows; not None, which stands for a missing value."""

    @abc.abstractmethod
    def from_json(self, data: Any) -> Value:
        """The value that `to_json` wrote. Raises KeyError, TypeError or ValueError for other data."""

    def coerce(self, value: Any) -> Value:
        """The value itself, if JSON holds all of it.

        Raises:
            DataError: It is no value of this modality.
        """
        try:
            plain = self.to_json(value)
            if self.to_json(self.from_json(plain)) != plain:
                raise ValueError("a part of it is unknown")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise DataError(
                f"{self.name} is a {type(value).__name__} that does not hold {self.title.lower()} ({reason}); "
                f"expected a value of {type(self).__name__}, or a file."
            ) from error
        return self.check(value, self.name)

    def reconstruction_metrics(self) -> "torchmetrics.MetricCollection | None":
        """Fresh metrics of the learned tokenizer's own rows, by name; None stands for the mean absolute error.

        They are updated with what the tokenizer decodes (rows, ...) and what `preprocess` gave, as float tensors.
        """
        return None

    def with_decoded_parts(self, value: Value, rows: NDArray[np.float32]) -> Value:
        """``value`` with its coded parts replaced by the tokenizer's reconstructions (parts, ...)."""
        return value


def tokenizer_tasks(modalities: Mapping[str, Modality]) -> dict[str, TokenizerTask]:
    """The learned tokenizers that ``modalities`` need, by name, each once."""
    tasks: dict[str, TokenizerTask] = {}
    for name, modality in modalities.items():
        codes = learned_tokenizer(modality)
        if codes is None:
            continue
        known = tasks.get(codes.tokenizer.name)
        members = (*known.members, name) if known else (name,)
        tasks[codes.tokenizer.name] = TokenizerTask(
            name=codes.tokenizer.name, layout=codes.layout, tokenizer=codes.tokenizer, members=members
        )
    return tasks


def learned_tokenizer(modality: Modality) -> EmbeddedCodes | None:
    """The learned tokenizer of a modality and what it reads, or None where there is none."""
    spec, layout = modality.tokenizer, modality.layout
    if isinstance(spec, LearnedTokenizer) and isinstance(layout, Dense | Vector):
        return EmbeddedCodes(layout=layout, tokenizer=spec)
    return spec.codes if isinstance(spec, WordPiece) else None
