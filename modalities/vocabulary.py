"""The shared text vocabulary: its special tokens, their published ids, and how a grammar spells numbers and codes.

Ids 0 to 4283 are those of the published 4M tokenizer (arXiv:2406.09406, appendix D.6); class names of other data sets
and the grammars' own words follow.
"""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PAD = "[PAD]"
UNK = "[UNK]"
SOS = "[SOS]"
EOS = "[EOS]"
PAD_ID, UNK_ID, SOS_ID, EOS_ID = range(4)

NUM_SENTINELS = 200
SENTINEL_0_ID = 4
"""Id of ``[S_0]``. Masking begins at ``[S_1]``, as published."""

NUM_AXES = 4
NUM_BINS = 1000
COORDINATE_0_ID = SENTINEL_0_ID + NUM_SENTINELS
"""Id of ``v0=0``; ``v1=0`` follows `NUM_BINS` later, and so on."""

CODES_ON_AXIS_0 = 512
"""A learned code below this is spelled on axis 0, and one from here on axis 1."""

NUM_SPELLED_CODES = CODES_ON_AXIS_0 + NUM_BINS
"""Size of the largest codebook whose codes can be spelled inside a text."""

COCO_CLASSES: tuple[str, ...] = (
    "airplane",
    "apple",
    "backpack",
    "banana",
    "baseball bat",
    "baseball glove",
    "bear",
    "bed",
    "bench",
    "bicycle",
    "bird",
    "boat",
    "book",
    "bottle",
    "bowl",
    "broccoli",
    "bus",
    "cake",
    "car",
    "carrot",
    "cat",
    "cell phone",
    "chair",
    "clock",
    "couch",
    "cow",
    "cup",
    "dining table",
    "dog",
    "donut",
    "elephant",
    "fire hydrant",
    "fork",
    "frisbee",
    "giraffe",
    "hair drier",
    "handbag",
    "horse",
    "hot dog",
    "keyboard",
    "kite",
    "knife",
    "laptop",
    "microwave",
    "motorcycle",
    "mouse",
    "orange",
    "oven",
    "parking meter",
    "person",
    "pizza",
    "potted plant",
    "refrigerator",
    "remote",
    "sandwich",
    "scissors",
    "sheep",
    "sink",
    "skateboard",
    "skis",
    "snowboard",
    "spoon",
    "sports ball",
    "stop sign",
    "suitcase",
    "surfboard",
    "teddy bear",
    "tennis racket",
    "tie",
    "toaster",
    "toilet",
    "toothbrush",
    "traffic light",
    "train",
    "truck",
    "tv",
    "umbrella",
    "vase",
    "wine glass",
    "zebra",
)
"""The 80 COCO classes in the order of their published ids, 4204 to 4283."""

GRAMMAR_KEYWORDS: tuple[str, ...] = ("human", "pose", "global", "camera", "shape", "point", "polygon", "none")
"""Words of the grammars of poses and instances: one token each, whatever the texts that are trained on."""

_CONTROL_TOKEN = re.compile(r"\[(?:PAD|UNK|SOS|EOS|S_\d+)\]")


def sentinel_token(index: int) -> str:
    """The token that stands for the hidden span number ``index``."""
    return f"[S_{index}]"


def sentinel_token_id(index: int) -> int:
    """The id of ``sentinel_token(index)``."""
    return SENTINEL_0_ID + index


def coordinate_token(axis: int, value: int) -> str:
    """The token of a number 0..999 on an axis 0..3, as in ``v0=12``."""
    return f"v{axis}={value}"


def coordinate_tokens(values: Iterable[int]) -> str:
    """Numbers on axes 0, 1, 2, ... in turn, as in ``v0=12 v1=5``."""
    return " ".join(coordinate_token(axis, value) for axis, value in enumerate(values))


def code_tokens(codes: Iterable[int] | NDArray[np.int64]) -> str:
    """Learned codes 0..1511 as tokens: ``v0=c`` below 512, and ``v1=c-512`` from there, as published."""
    return " ".join(
        coordinate_token(0, code) if code < CODES_ON_AXIS_0 else coordinate_token(1, code - CODES_ON_AXIS_0)
        for code in map(int, codes)
    )


CONTROL_TOKENS: tuple[str, ...] = (PAD, UNK, SOS, EOS, *(sentinel_token(index) for index in range(NUM_SENTINELS)))
"""Tokens that no text may contain by itself."""

COORDINATE_TOKENS: tuple[str, ...] = tuple(
    coordinate_token(axis, value) for axis in range(NUM_AXES) for value in range(NUM_BINS)
)

PUBLISHED_TOKENS: tuple[str, ...] = CONTROL_TOKENS + COORDINATE_TOKENS + COCO_CLASSES
"""Tokens whose ids are those of the published tokenizer, in the order of their ids."""


def special_tokens(class_names: Iterable[str]) -> tuple[str, ...]:
    """Every token with a fixed id, in the order of ids: published, further class names, the grammars' words.

    Args:
        class_names: Classes of the data set; those that COCO has keep their published ids.
    """
    known = set(PUBLISHED_TOKENS) | set(GRAMMAR_KEYWORDS)
    further = tuple(name for name in dict.fromkeys(name.lower() for name in class_names) if name not in known)
    return PUBLISHED_TOKENS + further + GRAMMAR_KEYWORDS


def strip_control_tokens(text: str) -> str:
    """``text`` without anything that reads as ``[EOS]``, ``[PAD]``, ``[UNK]``, ``[SOS]`` or a sentinel."""
    return _CONTROL_TOKEN.sub(" ", text)
