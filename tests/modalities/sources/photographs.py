"""A small folder of photographs as a person may have one: most samples lack something."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = ("red", "green", "blue", "yellow")
_LEVELS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 50, 200), "yellow": (220, 210, 40)}


def make_photographs(folder: Path, count: int = 60) -> None:
    """Write ``rgb/``, ``depth/`` (2 of 3), ``caption/`` (most; some have two) and a ``bounding_boxes.jsonl`` (half).

    Number 1 is a .png with transparency, number 2 a .jpg that its EXIF data turns by a quarter.
    """
    for name in ("rgb", "depth", "caption"):
        (folder / name).mkdir(parents=True)
    boxes = []
    for number in range(count):
        rng = np.random.default_rng(number)
        color, left = COLORS[number % 4], int(rng.integers(4, 20))
        levels = rng.integers(150, 256, (40, 48, 3), dtype=np.uint8)
        levels[10:30, left : left + 20] = _LEVELS[color]
        _write_photograph(folder / "rgb" / f"{number:04d}", levels, number)
        if number % 3:
            depth = np.full((40, 48), 6, np.float32)
            depth[10:30, left : left + 20] = 2 + number % 4
            depth[:2] = 0
            np.save(folder / "depth" / f"{number:04d}.npy", depth)
        if number % 5:
            side = "left" if left < 12 else "right"
            lines = [f"a {color} square on the {side}", f"something {color}"][: 1 + number % 2]
            (folder / "caption" / f"{number:04d}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if number % 2:
            box = {"box": [left / 48, 0.25, (left + 20) / 48, 0.75], "class_name": color}
            boxes.append(json.dumps({"key": f"{number:04d}", "value": [box]}))
    (folder / "bounding_boxes.jsonl").write_text("\n".join(boxes) + "\n")


def _write_photograph(stem: Path, levels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", number: int) -> None:
    match number:
        case 1:
            alpha = np.full((*levels.shape[:2], 1), 255, np.uint8)
            alpha[:5] = 0
            Image.fromarray(np.concatenate([levels, alpha], axis=-1)).save(stem.with_suffix(".png"))
        case 2:
            image = Image.fromarray(np.ascontiguousarray(np.rot90(levels)))
            exif = Image.Exif()
            exif[0x0112] = 6  # To be turned clockwise by a quarter.
            image.save(stem.with_suffix(".jpg"), exif=exif, quality=95)
        case _:
            Image.fromarray(levels).save(stem.with_suffix(".png"))
