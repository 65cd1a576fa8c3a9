"""What a modality is: its layout, its tokenizer, what it knows of files, scenes and people. No networks, no training.

Letters: b batch, n tokens, d width, c channels, h w grid, v vocabulary.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, assert_never

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torchmetrics import Metric

    from modalities.scene import Scene

M = TypeVar("M", bound="Modality")

Value: TypeAlias = Any
"""One raw sample of one modality, in the form that the modality documents (an array, a string, a list of records)."""


class Provenance(Enum):
    """Where the labels of the embedded data set come from."""

    exact = "exact"
    """Computed from the scene or the image without error."""
    expert = "expert"
    """Predicted by an expert network."""
    proxy = "proxy"
    """A deterministic stand-in for an expert network whose weights are not at hand."""


class Loss(Enum):
    """What a tokenizer's decoder is trained with."""

    mse = "mse"
    smooth_l1 = "smooth_l1"
    cross_entropy = "cross_entropy"
    bce = "bce"
    cosine = "cosine"


class Keep(Enum):
    """How the share of a sequence that stays visible is drawn (4M's span masking)."""

    random = "random"
    """Uniform in (0, 1)."""
    all = "all"
    """Everything, as far as the budget goes."""
    binary = "binary"
    """Everything or nothing, at even odds."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a run is: resolution, patch, and upper limits on what the published sizes ask for."""

    size: int = 224
    """Side of the image, in pixels."""
    patch: int = 16
    """Side of the square that one token covers, in pixels."""
    max_channels: int | None = None
    """Most channels of a feature modality; None leaves the published widths."""
    max_vocab: int | None = None
    """Most codes in one codebook; None leaves the published sizes."""
    max_tokens: int | None = None
    """Longest sequence, in tokens; None leaves the published lengths."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """Values on a grid; each patch becomes one token, predicted by unmasking."""

    channels: int
    """Channels of a value, or number of classes where `categorical`."""
    size: int
    """Side of the image that the values describe, in pixels."""
    patch: int
    """Side of the square that one token covers, in pixels."""
    categorical: bool = False
    """True where a value holds class indices."""
    cell: int = 1
    """Side of the square that one value covers, in pixels: above 1 for feature maps."""

    @property
    def grid(self) -> int:
        """Side of the token grid."""
        return self.size // self.patch

    @property
    def num_tokens(self) -> int:
        """Tokens in one sample, counted over the whole grid."""
        return self.grid**2

    @property
    def side(self) -> int:
        """Side of the value array, in values."""
        return self.size // self.cell

    @property
    def value_patch(self) -> int:
        """Side of the square that one token covers, in values."""
        return self.patch // self.cell


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One vector for the whole image, spelled as a few product codes without a place; predicted by unmasking."""

    channels: int
    num_tokens: int
    """Product codes in one sample."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A sequence in the shared text vocabulary, predicted from left to right."""

    max_tokens: int
    """Longest sequence that is kept, in tokens, end token included."""
    chunk: int = 1
    """Tokens that are hidden or shown together, and whose chunks come in any order where above 1."""
    keep: Keep = Keep.random


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """A sequence of vectors; an input only, never predicted."""

    channels: int
    max_tokens: int


Layout: TypeAlias = Dense | Vector | Text | Embeddings


@dataclass(frozen=True, kw_only=True)
class ViTVQ:
    """A transformer encoder, a vector quantiser and a decoder (4M section 'tokenization'): for `Dense` layouts."""

    name: str
    """Modalities whose tokenizers have one name share one tokenizer and one vocabulary."""
    vocab: int
    loss: Loss
    latent: int = 32
    """Width of a code vector."""
    diffusible: bool = False
    """True where the papers decode with a diffusion model; the run's config chooses."""


@dataclass(frozen=True, kw_only=True)
class ProductMLP:
    """A bottleneck MLP with product codes (Memcodes): for `Vector` layouts."""

    name: str
    vocab: int
    """Codes in each codebook; a vector takes `layout.num_tokens` of them, one from each."""
    loss: Loss


@dataclass(frozen=True, kw_only=True)
class Codes:
    """A learnt tokenizer whose codes are spelled inside a text sequence (masks, body poses)."""

    layout: Dense | Vector
    tokenizer: ViTVQ | ProductMLP


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """The text tokenizer that all sequence modalities share."""

    codes: Codes | None = None
    """What part of the value is spelled by learnt codes, if any."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """No tokens: vectors enter the encoder through a linear map."""


TokenizerSpec: TypeAlias = ViTVQ | ProductMLP | WordPiece | Linear


@dataclass(frozen=True, kw_only=True)
class View:
    """The square part of an image that a sample shows."""

    left: float
    """Left edge, as a share of the image's width."""
    top: float
    width: float
    """Width of the part, as a share of the image's width."""
    height: float
    flip: bool = False
    """True where the part is mirrored left to right."""


def center_view(height: int, width: int) -> View:
    """The largest centred square of an image of ``height`` x ``width`` pixels."""
    side = min(height, width)
    return View(left=(1 - side / width) / 2, top=(1 - side / height) / 2, width=side / width, height=side / height)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric as a modality declares it: what is computed, in which unit, and which way is better."""

    metric: "Metric"
    """A fresh torchmetrics object, updated with ``(prediction, target)`` in the form of `Modality.batch`."""
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Modality(abc.ABC):
    """One kind of thing that 4M reads or writes. Subclasses give the behaviours; fields are the facts."""

    name: str
    """A Python identifier: also the file name, the config key and the metric prefix."""
    title: str
    """What a person reads in a table or above a picture."""
    layout: Layout
    tokenizer: TokenizerSpec
    provenance: Provenance = Provenance.exact
    """How the embedded data set's labels come about."""
    labeller: str = ""
    """The expert that labels real photographs, for the record."""
    licence: str = "CC0-1.0"
    """Licence of the embedded data set's labels."""
    suffix: str = ".npy"
    """Type of the files that `read` and `write` use."""
    pixels: bool = False
    """True where the raw value also enters the encoder as linear patches (RGB)."""

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

    def at(self: M, scale: Scale) -> M:
        """The same modality at another scale of resolution, codebook and sequence length."""
        return replace(self, layout=layout_at(self.layout, scale), tokenizer=tokenizer_at(self.tokenizer, scale))

    @abc.abstractmethod
    def look(self, scene: "Scene") -> Value:
        """This modality's exact value in a scene that was made at `layout.size`."""

    @abc.abstractmethod
    def read(self, path: Path) -> Value:
        """The value in a file. Raises `DataError` naming the file where it is missing, corrupt or of another shape."""

    @abc.abstractmethod
    def write(self, path: Path, value: Value) -> None:
        """Write ``value`` to a file that `read` takes back without loss beyond the format's quantisation."""

    @abc.abstractmethod
    def augment(self, value: Value, view: View) -> Value:
        """The value as seen through ``view``, resampled to the layout."""

    @abc.abstractmethod
    def draw(self, value: Value) -> NDArray[np.uint8] | str:
        """A picture (h, w, 3) for a person, or a text where a picture would say less."""

    @abc.abstractmethod
    def metrics(self) -> dict[str, Measure]:
        """Fresh metrics, by name; the first is the one that a table shows."""

    @abc.abstractmethod
    def typical(self, values: Sequence[Value]) -> Value:
        """The best constant guess: per-pixel mean or majority of training values, or their sequence equivalent."""

    def batch(self, values: Sequence[Value]) -> Any:
        """Values in the form that the metrics take: a stacked tensor for arrays, the list itself for records."""
        return list(values)

    def prepare(self, value: Value) -> NDArray[Any]:
        """Rows for the learnt tokenizer, (rows, c, h, w) or (rows, h, w) classes or (rows, c): one for a dense value."""
        raise NotImplementedError(f"{self.name} has no learnt tokenizer")

    def restore(self, row: NDArray[np.float32]) -> Value:
        """The value that a learnt tokenizer's reconstruction (c, h, w) or (c,) stands for. Class maps come as logits."""
        raise NotImplementedError(f"{self.name} has no learnt tokenizer")


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What a generated text means."""

    value: Value
    """The value, its coded parts left out until `SequenceModality.with_codes` fills them in."""
    well_formed: bool
    """True where the text follows the modality's grammar from end to end."""
    codes: NDArray[np.int64] | None = None
    """(parts, codes) of the learnt tokenizer, in the order of the value's parts."""


@dataclass(frozen=True, kw_only=True)
class SequenceModality(Modality):
    """A modality that is spelled as text."""

    @abc.abstractmethod
    def serialise(self, value: Value, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The text of ``value``. Where order or selection is free, ``rng`` draws it.

        Args:
            codes: (rows, n) codes of the rows that `prepare` gave, where the modality has a learnt part.
        """

    @abc.abstractmethod
    def parse(self, text: str) -> Parsed:
        """What ``text`` means; never raises: what does not fit the grammar is left out and told by `well_formed`."""

    def with_codes(self, value: Value, rows: NDArray[np.float32]) -> Value:
        """``value`` with its coded parts replaced by the tokenizer's reconstructions (parts, ...)."""
        return value


def layout_at(layout: Layout, scale: Scale) -> Layout:
    """``layout`` at another scale. A patch of other than 16 pixels at 224 keeps its ratio where that divides the size."""
    channels = scale.max_channels or 1 << 30
    longest = scale.max_tokens or 1 << 30
    match layout:
        case Dense():
            ratio = layout.patch * scale.patch
            patch = ratio // 16 if ratio % 16 == 0 and scale.size % (ratio // 16) == 0 else scale.patch
            if layout.cell == 1:
                return replace(layout, size=scale.size, patch=patch)
            return replace(layout, size=scale.size, patch=patch, cell=patch, channels=min(layout.channels, channels))
        case Vector():
            return replace(layout, channels=min(layout.channels, channels))
        case Text():
            return replace(layout, max_tokens=min(layout.max_tokens, longest))
        case Embeddings():
            return replace(layout, channels=min(layout.channels, channels), max_tokens=min(layout.max_tokens, longest))
        case _:
            assert_never(layout)


def tokenizer_at(spec: TokenizerSpec, scale: Scale) -> TokenizerSpec:
    """``spec`` with its codebook cut to the scale's limit. Codes inside text keep their layout: it is not the image's."""
    most = scale.max_vocab or 1 << 30
    match spec:
        case ViTVQ() | ProductMLP():
            return replace(spec, vocab=min(spec.vocab, most))
        case WordPiece(codes=Codes() as codes):
            inner = replace(codes.tokenizer, vocab=min(codes.tokenizer.vocab, most))
            return replace(spec, codes=replace(codes, tokenizer=inner))
        case WordPiece() | Linear():
            return spec
        case _:
            assert_never(spec)


@dataclass(frozen=True, kw_only=True)
class TokenizerTask:
    """One tokenizer to be learnt, and the modalities that share it."""

    name: str
    layout: Dense | Vector
    tokenizer: ViTVQ | ProductMLP
    members: tuple[str, ...] = field(default=())


def tokenizer_tasks(modalities: Mapping[str, Modality]) -> dict[str, TokenizerTask]:
    """The learnt tokenizers that ``modalities`` need, by name, each once."""
    tasks: dict[str, TokenizerTask] = {}
    for name, modality in modalities.items():
        codes = learnt(modality)
        if codes is None:
            continue
        known = tasks.get(codes.tokenizer.name)
        members = (*known.members, name) if known else (name,)
        tasks[codes.tokenizer.name] = TokenizerTask(
            name=codes.tokenizer.name, layout=codes.layout, tokenizer=codes.tokenizer, members=members
        )
    return tasks


def learnt(modality: Modality) -> Codes | None:
    """The learnt tokenizer of a modality and what it reads, or None where there is none."""
    match modality.tokenizer, modality.layout:
        case (ViTVQ() | ProductMLP()) as spec, (Dense() | Vector()) as layout:
            return Codes(layout=layout, tokenizer=spec)
        case WordPiece(codes=codes), _:
            return codes
        case _:
            return None
