"""Writes the emoji: one folder for each modality, files of one emoji by one name."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fourm_emoji import modalities as emoji_modalities
from fourm_emoji.package import PACKAGE, PICTURES, Emoji, read_emoji
from modalities import DataError
from modalities.builtin import caption, rgb
from modalities.storage.atomic import atomic_file

RGB, CAPTION = rgb.MODALITY, caption.MODALITY
MASK, CATEGORY = emoji_modalities.MASK, emoji_modalities.CATEGORY

LICENSES = {
    "rgb": "Noto Emoji, Google (Apache-2.0)",
    "caption": "emoji-datasource, Cal Henderson (MIT); names by Unicode",
}
"""Licences of what is written; mask and category are computed from these."""


def build(root: Path, out: Path) -> int:
    """Write all emoji of the package below ``out``, and return how many there are.

    Raises:
        DataError: The package lacks its list or a picture, or a file cannot be written.
    """
    for modality in (RGB, CAPTION, MASK, CATEGORY):
        (out / modality.name).mkdir(parents=True, exist_ok=True)
    emoji = read_emoji(root)
    for item in emoji:
        write_emoji(root, out, item)
    record = {"package": PACKAGE, "emoji": len(emoji), "licenses": LICENSES}
    with atomic_file(out / "data.json") as file:
        file.write(json.dumps(record, indent=2).encode() + b"\n")
    return len(emoji)


def write_emoji(root: Path, out: Path, emoji: Emoji) -> None:
    """Write the picture, mask, names and category of one emoji."""
    picture, mask = read_picture(root / PICTURES / emoji.image)
    RGB.write_file(out / RGB.name / f"{emoji.key}.png", picture)
    MASK.write_file(out / MASK.name / f"{emoji.key}.png", mask)
    # A line is a caption; a run draws one of them.
    CAPTION.write_file(out / CAPTION.name / f"{emoji.key}.txt", "\n".join(emoji.names))
    CATEGORY.write_file(out / CATEGORY.name / f"{emoji.key}.txt", emoji.category.lower())


def read_picture(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """The colours over white, and 1 where more than half covers the background.

    Raises:
        DataError: The picture is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            drawn = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is not a whole image: {error}.") from error
    white = Image.new("RGBA", drawn.size, (255, 255, 255, 255))
    colors = np.asarray(Image.alpha_composite(white, drawn).convert("RGB"))
    return colors, (np.asarray(drawn.getchannel("A")) >= 128).astype(np.uint8)
