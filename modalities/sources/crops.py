"""Crops and mirrorings of samples, and the choice among several captions: drawn by hash from a sample's key.

A draw depends on the key, the number of the crop and the seed alone: not on other samples, their order, or processes.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, overload, runtime_checkable

from modalities.errors import ConfigError, DataError
from modalities.sources.base import Source
from modalities.spec import Crop, center_crop

WHOLE = Crop(left=0.0, top=0.0, width=1.0, height=1.0)
"""The crop of a sample that has no image."""

_CROP_KEY = re.compile(r"(?s)(.*)#crop(\d+)")


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Square crops of training samples, drawn ahead once for all modalities. Held-out samples have the centred one."""

    count: int = 1
    """Crops of each training sample: the largest centred square first, as published, then random ones."""
    min_area: float = 0.2
    """Area of the smallest random crop, as a share of the largest square's."""
    flip: float = 0.5
    """Probability that a random crop is mirrored left to right."""
    seed: int = 0
    """Seed of crops, mirrorings and the choice among captions."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"data.crops.count must be at least 1, got {self.count}.")
        if not 0 < self.min_area <= 1:
            raise ConfigError(f"data.crops.min_area must be above 0 and at most 1, got {self.min_area}.")
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"data.crops.flip must be from 0 to 1, got {self.flip}.")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        reason = "data.crops.count=1 takes the centred crop alone"
        return dict.fromkeys(("min_area", "flip"), reason) if self.count == 1 else {}


@runtime_checkable
class CropSource(Source, Protocol):
    """A source that can show several crops of a training sample."""

    def with_crops(self, crops: CropConfig) -> "CropSource":
        """The same source with other crops."""


def with_crops(source: Source, crops: CropConfig) -> Source | None:
    """The same source with other crops, or None where its samples have the centred one alone."""
    # A check against the protocol would read every property of the source, and with it list all of its files.
    return cast(CropSource, source).with_crops(crops) if hasattr(source, "with_crops") else None


class CropKeys(Sequence[str]):
    """Keys of a split with all their crops, key by key, made when they are read."""

    def __init__(self, keys: Sequence[str], count: int) -> None:
        """Take the keys.

        Raises:
            DataError: A key reads like that of a crop.
        """
        for key in keys:
            if _CROP_KEY.fullmatch(key):
                raise DataError(
                    f"The sample {key!r} is named like a crop of another. Rename it, or set data.crops.count=1."
                )
        self._keys, self._count = keys, count

    def __len__(self) -> int:
        return len(self._keys) * self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        sample, crop = divmod(range(len(self))[index], self._count)
        return crop_key(self._keys[sample], crop)


def crop_key(key: str, number: int) -> str:
    """The key of a sample's crop; the first has the sample's own."""
    return key if number == 0 else f"{key}#crop{number}"


def split_crop_key(key: str) -> tuple[str, int]:
    """A sample's key and the number of the crop, out of the key of a crop."""
    match = _CROP_KEY.fullmatch(key)
    return (match[1], int(match[2])) if match else (key, 0)


def draw_crop(key: str, number: int, height: int, width: int, config: CropConfig) -> Crop:
    """Draw a crop of an image of ``height`` x ``width`` pixels: the centred one for number 0, else a random square.

    The area is uniform from `CropConfig.min_area` to the largest square's, the place uniform among those inside the
    image. The published crops are of any ratio from 3:4 to 4:3; ours are square, which keeps angles.
    """
    if number == 0:
        return center_crop(height, width)
    area, x, y, mirror = hashed_uniforms(f"{config.seed}/{number}/crop/{key}")
    side = min(height, width) * (config.min_area + (1 - config.min_area) * area) ** 0.5
    share_x, share_y = side / width, side / height
    return Crop(left=x * (1 - share_x), top=y * (1 - share_y), width=share_x, height=share_y, flip=mirror < config.flip)


def draw_choice(key: str, number: int, count: int, seed: int) -> int:
    """Draw one of ``count`` alternatives, such as captions, for a crop of a sample."""
    return int(hashed_uniforms(f"{seed}/{number}/choice/{key}")[0] * count)


def hashed_uniforms(text: str) -> tuple[float, float, float, float]:
    """Four numbers in [0, 1) that follow from a text and are unrelated to those of others."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    # 53 bits fill a float; more could round up to 1.
    first, second, third, fourth = (
        (int.from_bytes(digest[start : start + 8], "big") >> 11) / (1 << 53) for start in range(0, 32, 8)
    )
    return first, second, third, fourth
