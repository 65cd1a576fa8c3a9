"""What a command line gives to generate from: files and texts, as the model's streams take them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from modalities.errors import DataError, UnknownNameError
from modalities.layouts import Dense, Embeddings, Text
from modalities.spec import Crop, Modality, SequenceModality, center_crop
from modalities.vocabulary import EOS_ID
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.inputs import ConditionInput
from networks.masking.spans import is_sentinel
from networks.streams import PixelStream, pixel_stream_name
from networks.tokenizers.codec import Codec

MASK_THRESHOLD = 128
"""A mask's pixel from this level on is to be generated anew."""


@dataclass(frozen=True, kw_only=True)
class UserInput:
    """One modality as a person gave it."""

    value: str
    """A file, or a text of a sequence, ``[S_1]`` standing for what is missing."""
    mask: Path | None = None
    """An image of the same size, white where the modality is to be generated anew."""


@dataclass(frozen=True, kw_only=True)
class PreparedInputs:
    """Inputs as the model takes them, and as a person sees them."""

    condition_inputs: dict[str, ConditionInput]
    values: dict[str, Any]
    """Whole values, by modality, for pictures."""
    texts: dict[str, str]
    """Texts with gaps, by modality."""


def prepare_user_inputs(
    model: FourM, codec: Codec, sources: Mapping[str, UserInput], targets: list[str], num: int
) -> PreparedInputs:
    """Every source, ``num`` times. An image enters as pixels, and as tokens too where a part of it is asked for.

    Raises:
        UnknownNameError: The model has no such modality.
        DataError: A file cannot be read, or a mask is of another size.
    """
    prepared = PreparedInputs(condition_inputs={}, values={}, texts={})
    for name, source in sources.items():
        if name not in codec.modalities:
            raise UnknownNameError("modality of this model", name, codec.modalities)
        modality = codec.modalities[name]
        if isinstance(modality, SequenceModality) and isinstance(modality.layout, Text):
            ids = _sequence_ids(codec, modality, source, prepared)
            column = PaddedTokens(values=torch.tensor([ids] * num), lengths=torch.full((num,), len(ids)))
            prepared.condition_inputs[name] = ConditionInput(tokens=column)
        else:
            _prepare_dense(model, codec, modality, source, targets, num, prepared)
    return prepared


def _sequence_ids(codec: Codec, modality: SequenceModality, source: UserInput, prepared: PreparedInputs) -> list[int]:
    """The ids of a sequence. One that does not end in a gap ends with the end token, as in training."""
    if source.mask is not None:
        raise DataError(f"{modality.name} is a sequence and takes no mask: write [S_1] where something is missing.")
    assert codec.text_tokenizer is not None
    path = Path(source.value)
    if path.suffix == modality.suffix and path.is_file():
        value = modality.read(path)
        prepared.values[modality.name] = value
        written = codec.encode(modality.name, [value])[0]
        assert written is not None
        return [int(token) for token in written]
    prepared.texts[modality.name] = source.value
    ids = codec.text_tokenizer.encode(source.value)
    return ids if ids and is_sentinel(ids[-1]) else [*ids, EOS_ID]


def _prepare_dense(
    model: FourM,
    codec: Codec,
    modality: Modality,
    source: UserInput,
    targets: list[str],
    num: int,
    prepared: PreparedInputs,
) -> None:
    name, path = modality.name, Path(source.value)
    value = modality.read(path)
    known = None
    crop = _full_crop(value)
    if source.mask is not None:
        known = _known_mask(modality, source.mask, path, value)[None].expand(num, -1)
    value = modality.transform(value, crop)
    prepared.values[name] = value
    if modality.has_pixel_stream and pixel_stream_name(name) in model.index:
        column = _repeat(
            np.ascontiguousarray(value), num, model.streams[model.index[pixel_stream_name(name)]].num_tokens
        )
        prepared.condition_inputs[pixel_stream_name(name)] = ConditionInput(tokens=column, known=known)
        if name not in targets:
            return
    if isinstance(modality.layout, Embeddings):
        vectors = np.asarray(value, dtype=np.float32)
        prepared.condition_inputs[name] = ConditionInput(tokens=_repeat(vectors, num, len(vectors)))
        return
    ids = codec.encode(name, [value])[0]
    assert ids is not None
    flat = np.asarray(ids, dtype=np.int64).ravel()
    prepared.condition_inputs[name] = ConditionInput(tokens=_repeat(flat, num, len(flat)), known=known)


def _repeat(values: NDArray[Any], num: int, length: int) -> PaddedTokens:
    # A file's array may be read-only, which torch does not take.
    rows = torch.from_numpy(np.array(values))[None].expand(num, *values.shape).contiguous()
    return PaddedTokens(values=rows, lengths=torch.full((num,), length))


def _full_crop(value: Any) -> Crop:
    """The largest centred square of what has a height and a width."""
    shape = getattr(value, "shape", ())
    return center_crop(*shape[:2]) if len(shape) >= 2 else center_crop(1, 1)


def _known_mask(modality: Modality, mask: Path, path: Path, value: Any) -> torch.Tensor:
    """True at the tokens of which the mask shows nothing white."""
    if not isinstance(modality.layout, Dense):
        raise DataError(f"{modality.name} has no places that a mask could show.")
    try:
        with Image.open(mask) as picture:
            levels = np.array(picture.convert("L"))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{mask} cannot be read as an image: {error}.") from error
    height, width = np.shape(value)[:2]
    if levels.shape != (height, width):
        raise DataError(
            f"{mask} is {levels.shape[1]} x {levels.shape[0]} pixels, but {path} is {width} x {height}: "
            "a mask must have the size of what it masks."
        )
    side, grid = min(height, width), modality.layout.grid
    if side < grid:
        raise DataError(
            f"{path} is {width} x {height} pixels, fewer than the {grid} x {grid} places of {modality.name}."
        )
    top, left = (height - side) // 2, (width - side) // 2
    square = levels[top : top + side, left : left + side] >= MASK_THRESHOLD
    edges = np.linspace(0, side, grid + 1).astype(int)
    hidden = np.logical_or.reduceat(np.logical_or.reduceat(square, edges[:-1], axis=0), edges[:-1], axis=1)
    return torch.from_numpy(~hidden.ravel())


def has_full_image(condition_inputs: Mapping[str, ConditionInput], model: FourM) -> bool:
    """True where all of an image is known."""
    pixels = [
        item for name, item in condition_inputs.items() if isinstance(model.streams[model.index[name]], PixelStream)
    ]
    return any(item.known is None or bool(item.known.all()) for item in pixels)
