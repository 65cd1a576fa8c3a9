"""What goes into a network in a file and what comes out, as a small YAML says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lightning_modules.labelling.files.decoders import Decoder, read_decoder
from modalities.errors import ConfigError
from modalities.presets import IMAGE
from modalities.storage.serialization import from_plain


class Runtime(Enum):
    """The program that runs a file."""

    onnx = "onnx"
    tflite = "tflite"


class ChannelOrder(Enum):
    """Order of a picture's channels; alpha is full everywhere."""

    rgb = "RGB"
    bgr = "BGR"
    rgba = "RGBA"
    gray = "GRAY"


class Axes(Enum):
    """Order of the axes of a tensor of pictures."""

    nchw = "NCHW"
    nhwc = "NHWC"


class Fit(Enum):
    """How a picture gets the network's size."""

    stretch = "stretch"
    """Resized to it, whatever its proportions."""
    pad = "pad"
    """Resized in proportion, and centred on a border."""


@dataclass(frozen=True, kw_only=True)
class PictureInput:
    """The tensor that a network takes. Every field that changes numbers has to be stated."""

    width: int
    height: int
    channels: ChannelOrder
    axes: Axes
    range: float
    """Number that a full level is given as: 255 for raw bytes, 1 for levels from 0 to 1."""
    tensor: str = ""
    """Name of the tensor; empty where the file has one."""
    fit: Fit = Fit.stretch
    border: float = 0.0
    """Level 0 to 1 of the border of `Fit.pad`."""
    mean: list[float] = field(default_factory=list)
    """Subtracted from each channel, in the units of `range`; empty for 0."""
    std: list[float] = field(default_factory=list)
    """What each channel is divided by afterwards; empty for 1."""
    alpha: float | None = None
    """Number of the alpha channel, in the units of `range`; None for `range` itself."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.range <= 0:
            raise ValueError("width, height and range must be positive")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values and len(values) != NUM_CHANNELS[self.channels]:
                raise ValueError(f"{name} has {len(values)} numbers, expected {NUM_CHANNELS[self.channels]}")
        if any(value == 0 for value in self.std):
            raise ValueError("std has a 0")


NUM_CHANNELS = {ChannelOrder.rgb: 3, ChannelOrder.bgr: 3, ChannelOrder.rgba: 4, ChannelOrder.gray: 1}


@dataclass(frozen=True, kw_only=True)
class FileDescription:
    """A network in a file: what it makes, under which licence, and what goes in and comes out."""

    file: Path
    """The .onnx or .tflite file."""
    license: str
    runtime: Runtime
    picture: PictureInput
    output: Decoder
    description: str = ""
    modality: str = ""
    """Modality that it was made for; empty for any that takes such values."""
    reads: str = IMAGE
    """Modality that goes in."""


def read_description(path: Path) -> FileDescription:
    """The description in a YAML file.

    Raises:
        ConfigError: The file is missing or not YAML, an entry is unknown or missing, or there is no such network.
    """
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}.") from None
    except Exception as error:
        raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{path} holds {type(plain).__name__}, expected entries such as file, license and input.")
    try:
        return _parse(path, dict(plain))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}.") from error


def _parse(path: Path, plain: dict[str, Any]) -> FileDescription:
    missing = {"file", "license", "input", "output"} - set(plain)
    unknown = set(plain) - {"file", "license", "input", "output", "runtime", "description", "modality", "reads"}
    if missing or unknown:
        problems = [f"missing {sorted(missing)}"] * bool(missing) + [f"unknown {sorted(unknown)}"] * bool(unknown)
        raise ValueError(f"{', '.join(problems)} among its entries")
    file = (path.parent / Path(str(plain["file"])).expanduser()).resolve()
    if not file.is_file():
        raise ValueError(f"there is no file {file}; fetch it, or correct the entry 'file'")
    runtime = plain.get("runtime", file.suffix.removeprefix("."))
    if runtime not in [item.value for item in Runtime]:
        raise ValueError(f"runtime is {runtime!r}, expected one of {[item.value for item in Runtime]}")
    return FileDescription(
        file=file,
        license=str(plain["license"]),
        runtime=Runtime(runtime),
        picture=from_plain(PictureInput, plain["input"]),
        output=read_decoder(plain["output"]),
        description=str(plain.get("description", "")),
        modality=str(plain.get("modality", "")),
        reads=str(plain.get("reads", IMAGE)),
    )
