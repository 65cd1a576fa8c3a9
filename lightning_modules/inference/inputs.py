"""Inputs as a person gives them (arrays, images, texts, records, files) as the model's streams take them."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from modalities.checks import check_value
from modalities.errors import DataError, UnknownNameError
from modalities.layouts import Dense, Embeddings, Text
from modalities.spec import Modality, SequenceModality, center_crop
from modalities.vocabulary import EOS_ID
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.inputs import ConditionInput
from networks.masking.spans import is_sentinel
from networks.streams import PixelStream, pixel_stream_name
from networks.tokenizers.codec import Codec

log = logging.getLogger(__name__)

MASK_THRESHOLD = 128
"""A mask image's pixel from this level on is to be generated anew."""

FILE_SUFFIXES = (".txt", ".json")
"""A string without spaces that ends so, given for a sequence, names a file."""


@dataclass(frozen=True, kw_only=True)
class UserInput:
    """One modality of one sample, as a person gives it."""

    value: Any
    """A file, an array, a tensor, a Pillow image or a record, as `Modality.coerce` takes it; of a sequence also its
    text, ``[S_1]`` standing for what is missing."""
    mask: Any = None
    """The part of a grid to generate anew: flags (h, w) of the value's size, or an image that is white there."""


@dataclass(frozen=True, kw_only=True)
class PreparedInputs:
    """One sample's inputs as the model takes them, and as a person sees them."""

    condition_inputs: dict[str, ConditionInput] = field(default_factory=dict)
    """By stream, a batch of one."""
    values: dict[str, Any] = field(default_factory=dict)
    """Values as the model sees them, by modality."""
    texts: dict[str, str] = field(default_factory=dict)
    """Texts that may have gaps, by modality."""


def prepare_user_inputs(
    model: FourM, codec: Codec, sources: Mapping[str, UserInput], targets: Sequence[str] = ()
) -> PreparedInputs:
    """One sample's inputs. An image enters as pixels, and as tokens too where a part of it is a target.

    Raises:
        UnknownNameError: The model has no such modality.
        DataError: A value or a file is not the modality's, or a mask is of another size.
    """
    prepared = PreparedInputs()
    for name, source in sources.items():
        if name not in codec.modalities:
            raise UnknownNameError("modality of this model", name, codec.modalities)
        modality = codec.modalities[name]
        if isinstance(modality, SequenceModality):
            _prepare_sequence(codec, modality, source, prepared)
        else:
            _prepare_dense(model, codec, modality, source, targets, prepared)
    return prepared


def read_value(modality: Modality, value: Any) -> Any:
    """A modality's value out of a file or of what `Modality.coerce` takes, in its own resolution.

    Raises:
        DataError: The file cannot be read, or the value is not the modality's.
    """
    if value is None:
        raise DataError(f"{modality.name} is None: leave out an input that is missing.")
    if isinstance(value, Path) or (isinstance(value, str) and not isinstance(modality, SequenceModality)):
        return check_value(modality, modality.read_file(Path(value)), str(value))
    return check_value(modality, modality.coerce(value), modality.name)


def crop_value(modality: Modality, value: Any) -> Any:
    """The centred square of a value with a height and a width, at the modality's resolution."""
    shape = getattr(value, "shape", ())
    return modality.transform(value, center_crop(*shape[:2]) if len(shape) >= 2 else center_crop(1, 1))


def encode_value(codec: Codec, name: str, value: Any) -> NDArray[Any]:
    """The tokens of one value: ids (n,) int64 or vectors (n, c).

    A sequence with more tokens than the modality takes is cut as in training, which a line of the log says.
    """
    (tokens,) = codec.encode(name, [value])
    assert tokens is not None
    layout = codec.modalities[name].layout
    if isinstance(layout, Text) and (not len(tokens) or tokens[-1] != EOS_ID):
        log.warning("This %s has more than %d tokens: the model is given the first of them.", name, layout.max_tokens)
    return np.asarray(tokens)


def tokenize_input(codec: Codec, name: str, value: Any) -> NDArray[np.int64]:
    """The token ids (n,) of one value as a person gives it; a text is followed by the end token.

    Raises:
        DataError: The value is not the modality's, or the modality has no tokens.
    """
    modality = codec.modalities[name]
    if isinstance(modality.layout, Embeddings):
        raise DataError(f"{name} has vectors, no tokens.")
    if isinstance(modality, SequenceModality):
        text = sequence_text(modality, value)
        if isinstance(text, str):
            return np.array(_text_ids(codec, modality, text), dtype=np.int64)
        value = value if text is None else text
    return encode_value(codec, name, crop_value(modality, read_value(modality, value))).astype(np.int64).ravel()


def sequence_text(modality: SequenceModality, value: Any) -> str | Path | None:
    """The text or the file that a string or path given for a sequence means; None for a record.

    Raises:
        DataError: It names a file that does not exist.
    """
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        return None
    if value.lower().endswith((modality.suffix, *FILE_SUFFIXES)):
        if os.path.isfile(value):  # noqa: PTH113 - a text may be longer than a path can be
            return Path(value)
        if not any(letter.isspace() for letter in value):
            raise DataError(f"There is no file {value}, expected for {modality.name} a file or a text of words.")
    return value


def repeat_inputs(inputs: Mapping[str, ConditionInput], num: int) -> dict[str, ConditionInput]:
    """The first sample, ``num`` times."""
    return {name: repeat_sample(item, num) for name, item in inputs.items()}


def repeat_sample(item: ConditionInput, num: int) -> ConditionInput:
    """The first sample of one stream, ``num`` times."""
    values, lengths = item.tokens.values[:1], item.tokens.lengths[:1]
    tokens = PaddedTokens(values=values.expand(num, *values.shape[1:]).contiguous(), lengths=lengths.expand(num))
    return ConditionInput(tokens=tokens, known=None if item.known is None else item.known[:1].expand(num, -1))


def stack_inputs(samples: Sequence[Mapping[str, ConditionInput]]) -> dict[str, ConditionInput]:
    """Samples of the same streams as one batch; sequences are padded to the longest."""
    return {name: _stack_stream([sample[name] for sample in samples]) for name in samples[0]}


def has_full_image(condition_inputs: Mapping[str, ConditionInput], model: FourM) -> bool:
    """True where all of an image is known."""
    pixels = [
        item for name, item in condition_inputs.items() if isinstance(model.streams[model.index[name]], PixelStream)
    ]
    return any(item.known is None or bool(item.known.all()) for item in pixels)


def _prepare_sequence(codec: Codec, modality: SequenceModality, source: UserInput, prepared: PreparedInputs) -> None:
    """Ids of a sequence. A text that does not end in a gap ends with the end token, as in training."""
    name = modality.name
    if source.mask is not None:
        raise DataError(f"{name} is a sequence and takes no mask: write [S_1] where something is missing.")
    text = sequence_text(modality, source.value)
    if isinstance(text, str):
        prepared.texts[name] = text
        ids = _text_ids(codec, modality, text)
    else:
        prepared.values[name] = value = read_value(modality, source.value if text is None else text)
        ids = encode_value(codec, name, value).tolist()
    prepared.condition_inputs[name] = _single(np.asarray(ids, dtype=np.int64), len(ids))


def _text_ids(codec: Codec, modality: SequenceModality, text: str) -> list[int]:
    """The ids of a text. One that does not end in a gap ends with the end token, as in training.

    Raises:
        DataError: They are more than the modality takes.
    """
    assert codec.text_tokenizer is not None
    ids = codec.text_tokenizer.encode(text)
    ids = ids if ids and is_sentinel(ids[-1]) else [*ids, EOS_ID]
    length = sum(not is_sentinel(token) for token in ids)
    if length > modality.num_tokens:
        raise DataError(f"{modality.name} takes at most {modality.num_tokens} tokens, got {length}.")
    return ids


def _prepare_dense(
    model: FourM,
    codec: Codec,
    modality: Modality,
    source: UserInput,
    targets: Sequence[str],
    prepared: PreparedInputs,
) -> None:
    name = modality.name
    value = read_value(modality, source.value)
    known = None if source.mask is None else _known_mask(modality, source, value)[None]
    prepared.values[name] = value = crop_value(modality, value)
    pixels = pixel_stream_name(name)
    if modality.has_pixel_stream and pixels in model.index:
        num_patches = model.streams[model.index[pixels]].num_tokens
        item = _single(np.ascontiguousarray(value), num_patches)
        prepared.condition_inputs[pixels] = replace(item, known=known)
        if name not in targets:
            return
    if isinstance(modality.layout, Embeddings):
        vectors = np.asarray(value, dtype=np.float32)
        prepared.condition_inputs[name] = _single(vectors, len(vectors))
        return
    ids = encode_value(codec, name, value).astype(np.int64).ravel()
    prepared.condition_inputs[name] = replace(_single(ids, len(ids)), known=known)


def _single(values: NDArray[Any], length: int) -> ConditionInput:
    # An array that was read from a file may be read-only, which torch does not take.
    rows = torch.from_numpy(np.array(values))[None]
    return ConditionInput(tokens=PaddedTokens(values=rows, lengths=torch.tensor([length])))


def _stack_stream(items: Sequence[ConditionInput]) -> ConditionInput:
    values = [item.tokens.values for item in items]
    longest = max(value.shape[1] for value in values)
    padded = [F.pad(value, (0, 0) * (value.ndim - 2) + (0, longest - value.shape[1])) for value in values]
    lengths = torch.cat([item.tokens.lengths for item in items])
    known = [item.known for item in items if item.known is not None]
    return ConditionInput(
        tokens=PaddedTokens(values=torch.cat(padded), lengths=lengths), known=torch.cat(known) if known else None
    )


def _known_mask(modality: Modality, source: UserInput, value: Any) -> Tensor:
    """True at the tokens of which the mask shows nothing that is to be generated anew."""
    if not isinstance(modality.layout, Dense):
        raise DataError(f"{modality.name} has no places that a mask could show.")
    hidden_pixels = _mask_flags(modality.name, source.mask)
    height, width = np.shape(value)[:2]
    masked = source.value if isinstance(source.value, str | Path) else modality.name
    if hidden_pixels.shape != (height, width):
        mask = source.mask if isinstance(source.mask, str | Path) else "The mask"
        raise DataError(
            f"{mask} is {hidden_pixels.shape[1]} x {hidden_pixels.shape[0]} pixels, but {masked} is "
            f"{width} x {height}: a mask must have the size of what it masks."
        )
    side, grid = min(height, width), modality.layout.grid
    if side < grid:
        raise DataError(
            f"{masked} is {width} x {height} pixels, fewer than the {grid} x {grid} places of {modality.name}."
        )
    top, left = (height - side) // 2, (width - side) // 2
    square = hidden_pixels[top : top + side, left : left + side]
    edges = np.linspace(0, side, grid + 1).astype(int)
    hidden = np.logical_or.reduceat(np.logical_or.reduceat(square, edges[:-1], axis=0), edges[:-1], axis=1)
    return torch.from_numpy(~hidden.ravel())


def _mask_flags(name: str, mask: Any) -> NDArray[np.bool_]:
    """True (h, w) where a mask asks for something new."""
    if isinstance(mask, str | Path):
        try:
            with Image.open(mask) as picture:
                return np.array(picture.convert("L")) >= MASK_THRESHOLD
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{mask} cannot be read as an image: {error}.") from error
    if isinstance(mask, Image.Image):
        return np.array(mask.convert("L")) >= MASK_THRESHOLD
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise DataError(
            f"The mask of {name} holds {array.dtype} of shape {array.shape}, expected flags (h, w) or an image."
        )
    return array
