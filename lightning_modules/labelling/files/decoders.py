"""What the numbers that a network gives mean: a map, classes, a mask, keypoints, a vector."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, TypeAlias

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from lightning_modules.labelling.files.frame import Frame
from modalities.errors import DataError
from modalities.spec import Value
from modalities.storage.serialization import from_plain

Outputs: TypeAlias = Mapping[str, NDArray[Any]]
"""Tensors by name."""


class Activation(Enum):
    """Function that is applied to a network's numbers first."""

    none = "none"
    sigmoid = "sigmoid"
    softmax = "softmax"
    exp = "exp"


@dataclass(frozen=True, kw_only=True)
class Decoder(abc.ABC):
    """From a network's tensors to a value, in the coordinates of the whole picture."""

    kind: ClassVar[str]

    tensor: str = ""
    """Name of the tensor; empty where the file has one."""
    activation: Activation = Activation.none
    scale: float = 1.0
    """Factor of the numbers, after the activation."""
    offset: float = 0.0
    """Number added afterwards."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the value; empty where it has none."""
        return ()

    @abc.abstractmethod
    def decode(self, outputs: Outputs, frame: Frame) -> Value | None:
        """The value, or None where the network found nothing.

        Raises:
            DataError: A tensor is missing or of another shape.
        """

    def numbers(self, outputs: Outputs, name: str | None = None) -> Float32[np.ndarray, "..."]:
        """A tensor without its batch axis, activated, scaled and shifted."""
        found = pick_tensor(outputs, self.tensor if name is None else name)
        activated = _activate(np.asarray(found[0], dtype=np.float32), self.activation)
        return (activated * self.scale + self.offset).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class MapDecoder(Decoder):
    """A number, or several, for each pixel (depth, normals)."""

    kind: ClassVar[str] = "map"

    channels_first: bool = False
    """True for (c, h, w)."""

    def decode(self, outputs: Outputs, frame: Frame) -> Float32[np.ndarray, "..."]:
        """The map at the picture's resolution, (h, w) or (h, w, c)."""
        layers = frame.whole(as_layers(self.numbers(outputs), channels_first=self.channels_first))
        return layers[..., 0] if layers.shape[-1] == 1 else layers


@dataclass(frozen=True, kw_only=True)
class ClassesDecoder(Decoder):
    """The class of the greatest score of each pixel."""

    kind: ClassVar[str] = "classes"

    classes: list[str]
    """Names, by index."""
    channels_first: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self.classes)

    def decode(self, outputs: Outputs, frame: Frame) -> NDArray[np.uint8]:
        """Class indices at the picture's resolution."""
        layers = as_layers(self.numbers(outputs), channels_first=self.channels_first)
        if layers.shape[-1] != len(self.classes):
            raise DataError(f"the network gives {layers.shape[-1]} scores a pixel, classes names {len(self.classes)}")
        classes: NDArray[np.uint8] = frame.whole(layers).argmax(-1).astype(np.uint8)
        return classes


@dataclass(frozen=True, kw_only=True)
class MaskDecoder(Decoder):
    """1 where a number reaches a threshold, else 0."""

    kind: ClassVar[str] = "mask"

    threshold: float
    channels_first: bool = False
    channel: int = 0

    def decode(self, outputs: Outputs, frame: Frame) -> NDArray[np.uint8]:
        """The mask at the picture's resolution."""
        layers = frame.whole(as_layers(self.numbers(outputs), channels_first=self.channels_first))
        mask: NDArray[np.uint8] = (layers[..., self.channel] >= self.threshold).astype(np.uint8)
        return mask


@dataclass(frozen=True, kw_only=True)
class VectorDecoder(Decoder):
    """One vector for the picture."""

    kind: ClassVar[str] = "vector"

    def decode(self, outputs: Outputs, frame: Frame) -> Float32[np.ndarray, " c"]:
        """The numbers in a row."""
        return self.numbers(outputs).reshape(-1)


@dataclass(frozen=True, kw_only=True)
class KeypointsDecoder(Decoder):
    """The points of one person or thing, of which the tensor holds some numbers each."""

    kind: ClassVar[str] = "keypoints"

    num_points: int
    """Points that are kept; a tensor's further ones are helpers of the network."""
    stride: int
    """Numbers of a point; the first two are x and y in pixels of the network's input."""
    score: int | None = None
    """Place of the point's score among its numbers; None for a score of 1."""
    score_activation: Activation = Activation.none
    presence: str = ""
    """Tensor of one number that says whether there is anyone; empty for always."""
    min_presence: float = 0.5

    def decode(self, outputs: Outputs, frame: Frame) -> Float32[np.ndarray, "1 k 3"] | None:
        """X and y as shares of the picture, and the score."""
        if self.presence and float(pick_tensor(outputs, self.presence).ravel()[0]) < self.min_presence:
            return None
        numbers = self.numbers(outputs).reshape(-1)
        if numbers.size % self.stride or numbers.size // self.stride < self.num_points:
            raise DataError(f"the network gives {numbers.size} numbers, expected {self.num_points} x {self.stride}")
        points = numbers.reshape(-1, self.stride)[: self.num_points]
        scores = np.ones(len(points), np.float32)
        if self.score is not None:
            scores = _activate(points[:, self.score], self.score_activation)
        x, y = frame.shares(points[:, 0], points[:, 1])
        return np.stack([x, y, scores], axis=-1)[None].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class LinesDecoder(Decoder):
    """Straight lines: a score for each place of a grid, and the offsets of both ends from it (M-LSD).

    Source: Gu et al. 2021 (arXiv:2106.00186), section 3.4: maxima of 3 x 3 places are lines.
    """

    kind: ClassVar[str] = "lines"

    offsets: str
    """Tensor (h, w, 4) of x and y of both ends, in places of the grid; `tensor` has the scores."""
    threshold: float
    """Least score of a line."""
    min_length: float = 0.0
    """Shortest line, as a share of the picture's side."""
    max_lines: int = 200
    """Most lines, those of the highest score."""

    def decode(self, outputs: Outputs, frame: Frame) -> Float32[np.ndarray, "n 4"]:
        """X and y of both ends as shares of the picture, the surest line first."""
        scores = as_layers(self.numbers(outputs), channels_first=False)[..., 0]
        offsets = as_layers(np.asarray(pick_tensor(outputs, self.offsets)[0], np.float32), channels_first=False)
        rows, columns = np.nonzero((scores >= self.threshold) & (scores >= _largest_neighbor(scores)))
        order = np.argsort(-scores[rows, columns], kind="stable")[: self.max_lines]
        rows, columns = rows[order], columns[order]
        ends = np.stack([columns, rows, columns, rows], axis=-1) + offsets[rows, columns]
        pixels = ends * np.tile([frame.width / scores.shape[1], frame.height / scores.shape[0]], 2)
        x0, y0 = frame.shares(pixels[:, 0], pixels[:, 1])
        x1, y1 = frame.shares(pixels[:, 2], pixels[:, 3])
        long = np.hypot(x1 - x0, y1 - y0) >= self.min_length
        return np.stack([x0, y0, x1, y1], axis=-1)[long].astype(np.float32)


DECODERS: tuple[type[Decoder], ...] = (
    MapDecoder,
    ClassesDecoder,
    MaskDecoder,
    VectorDecoder,
    KeypointsDecoder,
    LinesDecoder,
)


def read_decoder(plain: Any) -> Decoder:
    """The decoder that a mapping with the entry ``kind`` describes.

    Raises:
        ValueError: The kind is unknown, or an entry is.
    """
    known = {decoder.kind: decoder for decoder in DECODERS}
    if not isinstance(plain, Mapping) or plain.get("kind") not in known:
        found = plain.get("kind") if isinstance(plain, Mapping) else plain
        raise ValueError(f"output.kind is {found!r}, expected one of {', '.join(known)}")
    rest = {name: value for name, value in plain.items() if name != "kind"}
    decoder: Decoder = from_plain(known[plain["kind"]], rest)
    return decoder


def pick_tensor(outputs: Outputs, name: str) -> NDArray[Any]:
    """The tensor of that name, or the only one.

    Raises:
        DataError: There is none, or no name and several.
    """
    if name in outputs:
        return outputs[name]
    if not name and len(outputs) == 1:
        return next(iter(outputs.values()))
    found = ", ".join(f"{key} {list(value.shape)}" for key, value in outputs.items())
    raise DataError(f"the network has no output {name!r}; it has {found}" if name else f"name one of {found}")


def as_layers(numbers: Float32[np.ndarray, "..."], *, channels_first: bool) -> Float32[np.ndarray, "h w c"]:
    """A map as (h, w, c).

    Raises:
        DataError: It has another number of axes.
    """
    if numbers.ndim == 2:
        return numbers[..., None]
    if numbers.ndim != 3:
        raise DataError(f"the network gives shape {list(numbers.shape)}, expected a map of two or three axes")
    return np.moveaxis(numbers, 0, -1) if channels_first else numbers


def _largest_neighbor(scores: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """The greatest of the 3 x 3 scores around each place, its own included."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    height, width = scores.shape
    shifts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(np.max(shifts, axis=0))


def _activate(numbers: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    match activation:
        case Activation.none:
            return numbers
        case Activation.sigmoid:
            return np.asarray(1 / (1 + np.exp(-np.clip(numbers, -60, 60))), np.float32)
        case Activation.exp:
            return np.exp(numbers)
        case Activation.softmax:
            shifted = np.exp(numbers - numbers.max(-1, keepdims=True))
            return np.asarray(shifted / shifted.sum(-1, keepdims=True), np.float32)
