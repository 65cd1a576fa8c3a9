"""What the tests of sequence modalities share: the modalities at the demo's scale, scenes, and random codes."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.scenes.scene import Scene, make_scene
from modalities.spec import SequenceModality, learned_tokenizer

NAMES = (
    "caption",
    "web_text",
    "bounding_boxes",
    "metadata_semantic",
    "metadata_geometric",
    "metadata_image",
    "color_palette",
    "human_poses",
    "sam_instances",
)
SCALE = ScaleConfig(size=64, patch=8, max_vocab=300)


@functools.cache
def modality_of(name: str) -> SequenceModality:
    """A modality at the demo's scale."""
    modality = default_registry()[name].scaled(SCALE)
    assert isinstance(modality, SequenceModality)
    return modality


@functools.cache
def scenes() -> tuple[Scene, ...]:
    """A few scenes, with and without people."""
    return tuple(make_scene(seed, size=64) for seed in range(12))


def random_codes(modality: SequenceModality, value: Any, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Random codes for the learnt parts of a value, or None where it has none."""
    spec = learned_tokenizer(modality)
    if spec is None:
        return None
    return rng.integers(0, spec.tokenizer.vocab_size, (len(modality.preprocess(value)), spec.layout.num_tokens))
