"""Writes the stamps: one folder for each modality, files of one stamp by one name; most stamps lack some."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fourm_stamps import modalities as stamps
from fourm_stamps.package import PACKAGE, Stamp, read_stamps
from fourm_stamps.sound import FLOOR, log_mel, read_sound
from modalities import DataError, Modality
from modalities.builtin import caption, rgb
from modalities.storage.atomic import atomic_file

SIDE = 128
"""Side of the pictures that are written, in pixels; smaller stamps are not enlarged."""
TEXTS = {"en": caption.MODALITY, "fr": stamps.CAPTION_FR, "ru": stamps.CAPTION_RU, "ja": stamps.CAPTION_JA}
"""Modality of the name in each language."""


def build(root: Path, out: Path) -> dict[str, int]:
    """Write all stamps below ``out``, and return how many there are of each modality.

    Raises:
        DataError: There is no stamp, a picture is damaged, or a file cannot be written.
    """
    items = read_stamps(root)
    if not items:
        raise DataError(f"{root} has no stamp, expected pictures (.png) with names (.txt).")
    counts: Counter[str] = Counter()
    for item in items:
        counts.update(write_stamp(out, item))
    record = {"package": PACKAGE, "samples": dict(counts), "license": stamps.LICENSE}
    with atomic_file(out / "data.json") as file:
        file.write(json.dumps(record, indent=2).encode() + b"\n")
    return dict(counts)


def write_stamp(out: Path, stamp: Stamp) -> list[str]:
    """Write what a stamp has, and return the names of its modalities."""
    picture, mask = read_picture(stamp.picture)
    rgb.MODALITY.write_file(_path(out, rgb.MODALITY, stamp, ".png"), picture)
    stamps.MASK.write_file(_path(out, stamps.MASK, stamp, ".png"), mask)
    stamps.CATEGORY.write_file(_path(out, stamps.CATEGORY, stamp, ".txt"), stamp.category)
    written = [rgb.MODALITY.name, stamps.MASK.name, stamps.CATEGORY.name]
    for language, text in TEXTS.items():
        if name := stamp.names.get(language):
            text.write_file(_path(out, text, stamp, ".txt"), name)
            written.append(text.name)
    for modality, file in ((stamps.SOUND, stamp.sound), (stamps.SPEECH, stamp.speech)):
        if file is not None and is_audible(file):
            shutil.copyfile(file, _path(out, modality, stamp, file.suffix))
            written.append(modality.name)
    return written


def is_audible(path: Path) -> bool:
    """False where the part of a sound that is read has no level above silence; such files count as missing.

    Raises:
        DataError: The file is damaged.
    """
    return bool(log_mel(*read_sound(path)).max() > FLOOR)


def read_picture(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """The colours over white in the middle of a square, and 1 where more than half covers the background.

    Raises:
        DataError: The picture is damaged.
    """
    try:
        with Image.open(path) as image:
            drawn = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is not a whole image: {error}.") from error
    full = max(drawn.size)
    square = Image.new("RGBA", (full, full), (255, 255, 255, 0))
    square.paste(drawn, ((full - drawn.width) // 2, (full - drawn.height) // 2))
    colors = Image.alpha_composite(Image.new("RGBA", square.size, (255, 255, 255, 255)), square).convert("RGB")
    alpha = square.getchannel("A")
    if full > SIDE:
        colors, alpha = (layer.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for layer in (colors, alpha))
    return np.asarray(colors), (np.asarray(alpha) >= 128).astype(np.uint8)


def _path(out: Path, modality: Modality, stamp: Stamp, suffix: str) -> Path:
    path = out / modality.name / f"{stamp.key}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
