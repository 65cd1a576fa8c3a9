"""One value or a list of values for each modality, split into samples; and token ids as a person gives them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.inference.inputs import UserInput
from lightning_modules.inference.request import resolve_alias
from modalities.errors import DataError
from modalities.spec import Modality
from networks.generation.config import GenerationError
from networks.tokenizers.codec import Codec


def split_samples(
    inputs: Mapping[str, Any], modalities: Mapping[str, Modality], masks: Mapping[str, Any] | None = None
) -> tuple[list[dict[str, UserInput]], bool]:
    """The inputs of each sample, and whether they came as lists."""
    masks = masks or {}
    for name in masks:
        if name not in inputs:
            raise GenerationError(f"A mask is given for {name}, which is not among the inputs.")
    lengths = {name: len(value) if isinstance(value, list) else None for name, value in inputs.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        described = ", ".join(f"{name} {'one value' if n is None else f'a list of {n}'}" for name, n in lengths.items())
        raise DataError(f"Inputs are single values, or lists of equal lengths above 0; found {described}.")
    count = next(iter(lengths.values()), None)
    if count is None:
        sample = {name: UserInput(value=value, mask=masks.get(name)) for name, value in inputs.items()}
        return [_resolve_names(sample, modalities)], False
    for name, mask in masks.items():
        if not isinstance(mask, list) or len(mask) != count:
            raise DataError(f"The masks of {name} must be a list of {count}, as its values are.")
    return [
        _resolve_names(
            {
                name: UserInput(value=value[number], mask=masks[name][number] if name in masks else None)
                for name, value in inputs.items()
            },
            modalities,
        )
        for number in range(count)
    ], True


def _resolve_names(sample: Mapping[str, UserInput], modalities: Mapping[str, Modality]) -> dict[str, UserInput]:
    """The inputs by their modalities' names."""
    return {resolve_alias(name, modalities): source for name, source in sample.items()}


def check_ids(codec: Codec, name: str, ids: Any) -> Int[np.ndarray, " n"]:
    """Token ids of one value as int64.

    Raises:
        DataError: They are not the modality's: another type, number or range.
    """
    array: NDArray[Any] = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
    size, num_tokens, is_dense = codec.vocab_size(name), codec.modalities[name].num_tokens, codec.is_dense(name)
    if size is None:
        raise DataError(f"{name} has vectors, no tokens.")
    is_list = array.ndim == 1 and array.dtype.kind in "iu"
    if not is_list or len(array) > num_tokens or (is_dense and len(array) < num_tokens):
        raise DataError(
            f"The tokens of {name} have type {array.dtype} and shape {array.shape}, expected integers "
            f"({'' if is_dense else 'at most '}{num_tokens},); a list stands for several samples."
        )
    if array.size and not 0 <= array.min() <= array.max() < size:
        raise DataError(f"The tokens of {name} are {array.min()} to {array.max()}, expected 0 to {size - 1}.")
    return array.astype(np.int64)
