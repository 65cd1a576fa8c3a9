"""Labels by a network in a file, as its description says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from lightning_modules.labelling.files.description import (
    NUM_CHANNELS,
    Axes,
    ChannelOrder,
    FileDescription,
    Fit,
    PictureInput,
    read_description,
)
from lightning_modules.labelling.files.frame import Frame
from lightning_modules.labelling.files.runtimes import open_session
from lightning_modules.labelling.weights import hash_weights
from modalities.errors import ConfigError
from modalities.labellers.base import Labeller
from modalities.spec import Modality, Provenance, Value
from modalities.storage.serialization import to_plain


@dataclass(frozen=True, kw_only=True)
class FileExpert(Labeller):
    """A network in an .onnx or .tflite file."""

    provenance: Provenance = Provenance.expert
    network: FileDescription

    @property
    def settings(self) -> dict[str, Any]:
        """The description."""
        plain = to_plain(self.network)
        return {**plain, "file": self.network.file.name, "kind": self.network.output.kind}

    @property
    def weights_digest(self) -> str:
        """A hash of the file."""
        return hash_weights(self.network.file)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the description names."""
        return self.network.output.class_names

    def prepare(self) -> None:
        """Load the file, and compare its input with the description.

        Raises:
            ConfigError: The shapes differ.
        """
        picture = self.network.picture
        found = open_session(self.network.file, self.network.runtime).input_shape(picture.tensor)
        expected = input_shape(picture)
        if len(found) != 4 or any(length not in (None, size) for length, size in zip(found, expected, strict=True)):
            raise ConfigError(
                f"{self.network.file} takes {_words(found)}, its description gives {_words(expected)} "
                f"({picture.axes.value}, {picture.channels.value})."
            )

    def label(self, values: Mapping[str, Value]) -> Value | None:
        """The value that the network's outputs mean."""
        (picture,) = (values[name] for name in self.inputs)
        tensor, frame = prepare_picture(picture, self.network.picture)
        outputs = open_session(self.network.file, self.network.runtime).run(self.network.picture.tensor, tensor)
        return self.network.output.decode(outputs, frame)


def file_labeller(modality: Modality, path: Path) -> FileExpert:
    """The labeller of ``modality`` by the network that a YAML file describes.

    Raises:
        ConfigError: The description is malformed, or is for another modality.
    """
    network = read_description(path)
    if network.modality and modality.name != network.modality:
        raise ConfigError(f"{path} makes {network.modality!r}, not {modality.name!r}.")
    return FileExpert(
        name=path.stem,
        output=modality.name,
        inputs=(network.reads,),
        license=network.license,
        description=network.description or network.file.name,
        network=network,
    )


def input_shape(picture: PictureInput) -> tuple[int, int, int, int]:
    """Shape of the tensor that a description says."""
    channels = NUM_CHANNELS[picture.channels]
    if picture.axes is Axes.nchw:
        return 1, channels, picture.height, picture.width
    return 1, picture.height, picture.width, channels


def prepare_picture(
    picture: UInt8[np.ndarray, "h w 3"], settings: PictureInput
) -> tuple[Float32[np.ndarray, "1 _ _ _"], Frame]:
    """A picture as the network takes it, and its place in the input."""
    frame = place_picture(picture.shape[0], picture.shape[1], settings)
    image = Image.fromarray(picture).resize((frame.shown_width, frame.shown_height), Image.Resampling.BILINEAR)
    canvas = np.full((settings.height, settings.width, 3), settings.border, np.float32)
    canvas[frame.top : frame.top + frame.shown_height, frame.left : frame.left + frame.shown_width] = (
        np.asarray(image, np.float32) / 255
    )
    levels = _channels(canvas * settings.range, settings)
    levels = levels - np.array(settings.mean or [0], np.float32)
    levels = (levels / np.array(settings.std or [1], np.float32)).astype(np.float32)
    axes = np.moveaxis(levels, -1, 0) if settings.axes is Axes.nchw else levels
    return np.ascontiguousarray(axes[None]), frame


def place_picture(height: int, width: int, settings: PictureInput) -> Frame:
    """The part of the input that a picture of this size fills."""
    if settings.fit is Fit.stretch:
        shown_width, shown_height = settings.width, settings.height
    else:
        scale = min(settings.width / width, settings.height / height)
        shown_width, shown_height = max(round(width * scale), 1), max(round(height * scale), 1)
    return Frame(
        width=settings.width,
        height=settings.height,
        picture_width=width,
        picture_height=height,
        left=(settings.width - shown_width) // 2,
        top=(settings.height - shown_height) // 2,
        shown_width=shown_width,
        shown_height=shown_height,
    )


def _channels(levels: Float32[np.ndarray, "h w 3"], settings: PictureInput) -> Float32[np.ndarray, "h w c"]:
    match settings.channels:
        case ChannelOrder.rgb:
            return levels
        case ChannelOrder.bgr:
            return levels[..., ::-1]
        case ChannelOrder.gray:
            return levels @ np.array([[0.299], [0.587], [0.114]], np.float32)
        case ChannelOrder.rgba:
            alpha = np.full(levels.shape[:2], settings.range if settings.alpha is None else settings.alpha, np.float32)
            return np.concatenate([levels, alpha[..., None]], axis=-1)


def _words(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if length is None else str(length) for length in shape)
