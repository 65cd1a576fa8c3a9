"""Names in the labels of the built-in modalities: classes of maps and boxes, colors and sizes in captions.

They are defaults. A data set with other labels has modalities with other names, such as
``replace(MODALITY, classes=...)``.
"""

from collections.abc import Iterable

from modalities.vocabulary import COCO_CLASSES

CLASSES: tuple[str, ...] = (
    "sky",
    "ceiling",
    "wall",
    "floor",
    "grass",
    "rug",
    "ball",
    "box",
    "can",
    "log",
    "lamp",
    "table",
    "person",
)
"""Classes of a semantic map, by index."""
THINGS: frozenset[str] = frozenset({"ball", "box", "can", "log", "lamp", "table", "person"})
"""Those that can be counted."""
WALKABLE: frozenset[str] = frozenset({"floor", "grass", "rug"})
"""Those that a person can walk on."""

BOX_CLASSES: tuple[str, ...] = (*COCO_CLASSES, *sorted(THINGS.difference(COCO_CLASSES)))
"""Classes of bounding boxes: COCO's, then the further countable ones."""

COLOR_NAMES: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "white",
    "black",
    "gray",
    "beige",
)
"""Colors that captions name."""
SIZE_NAMES: tuple[str, ...] = ("small", "large")
"""Sizes that captions name."""


def fact_words(class_names: Iterable[str]) -> frozenset[str]:
    """Words of a caption that state a fact: of classes, colors, sizes, places and counts."""
    places, counts = ("left", "right", "front", "behind"), ("no", "one", "two", "three")
    names = (*class_names, *COLOR_NAMES, *SIZE_NAMES, *places, *counts)
    return frozenset(word for name in names for word in name.lower().split())
