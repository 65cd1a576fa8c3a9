"""A dense map of instances: many query points of one image in one batch, what they find merged into one set of masks.

Source: the dense instance generation of the 4M-21 demonstrations (arXiv:2406.09406), there with random points.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from lightning_modules.inference.inputs import repeat_inputs
from modalities.builtin.sam_instances import COORDINATE_UNITS, SamInstances
from modalities.geometry.masks import mask_iou
from modalities.spec import Modality
from modalities.vocabulary import coordinate_tokens
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.config import GenerationConfig
from networks.generation.generate import generate
from networks.generation.inputs import ConditionInput
from networks.generation.state import FIRST_SENTINEL
from networks.tokenizers.codec import Codec

SAME_INSTANCE_IOU = 0.7
"""Masks that overlap by more than this, as a share of their union, are one instance."""


def has_query_points(modality: Modality) -> bool:
    """True for a modality whose texts say what lies at points of the image, which `dense_instances` can spread."""
    return isinstance(modality, SamInstances)


def dense_instances(
    model: FourM,
    codec: Codec,
    target: str,
    conditions: Mapping[str, ConditionInput],
    plan: GenerationConfig,
    num_points: int,
    generator: torch.Generator,
) -> Bool[np.ndarray, "k h w"]:
    """The instances of the first sample of ``conditions``, the most often found first.

    Each point of a square grid of about ``num_points`` is a sequence of its own, of which the model writes the rest.
    """
    assert codec.text_tokenizer is not None
    queries = [
        [*codec.text_tokenizer.encode(f"point {coordinate_tokens((y, x))}"), FIRST_SENTINEL]
        for y, x in query_points(num_points)
    ]
    lengths = torch.tensor([len(ids) for ids in queries])
    ids = torch.tensor([[*row, *[0] * (int(lengths.max()) - len(row))] for row in queries])
    inputs = repeat_inputs({name: item for name, item in conditions.items() if name != target}, len(queries))
    inputs[target] = ConditionInput(tokens=PaddedTokens(values=ids, lengths=lengths))
    written = generate(model, inputs, [target], plan, generator)[target].rows()
    found = codec.decode(target, written).values
    return merge_instances(np.concatenate(found))


def query_points(num_points: int) -> list[tuple[int, int]]:
    """Points (y, x) of a square grid, in the units that instances are spelled with."""
    side = max(1, round(num_points**0.5))
    steps = [int((index + 0.5) * COORDINATE_UNITS / side) for index in range(side)]
    return [(y, x) for y in steps for x in steps]


def merge_instances(masks: Bool[np.ndarray, "n h w"]) -> Bool[np.ndarray, "k h w"]:
    """Each instance once: of masks that are the same, the one that most others agree with.

    Empty masks are left out; ties go to the larger mask, then to the earlier.
    """
    masks = masks[masks.any(axis=(1, 2))]
    if not len(masks):
        return masks
    overlap: Float[np.ndarray, "n n"] = mask_iou(masks, masks)
    votes = (overlap > SAME_INSTANCE_IOU).sum(axis=1)
    order = np.lexsort((-masks.sum(axis=(1, 2)), -votes))
    kept: list[Any] = []
    for index in order.tolist():
        if all(overlap[index, other] <= SAME_INSTANCE_IOU for other in kept):
            kept.append(index)
    return masks[kept]
