"""Inputs as a person gives them (arrays, images, texts, records, files) as the model's streams take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from numpy.typing import NDArray

from lightning_modules.inference.masks import known_tokens
from lightning_modules.inference.texts import encode_record, encode_text, ids_array
from lightning_modules.inference.values import GivenSample, GivenValue, read_sample
from modalities.errors import DataError
from modalities.layouts import Embeddings
from modalities.spec import Crop, SequenceModality
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.inputs import ConditionInput
from networks.streams import PixelStream, pixel_stream_name
from networks.tokenizers.codec import Codec


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

    All values are cut to the centred square of the sample's image.

    Raises:
        UnknownNameError: The model has no such modality.
        DataError: A value or a file is not the modality's, a mask is of another size, or images do not fit together.
    """
    prepared = PreparedInputs()
    given = read_sample(
        codec.modalities,
        {name: source.value for name, source in sources.items()},
        {name: source.mask for name, source in sources.items()},
    )
    for name in given.values:
        if isinstance(codec.modalities[name], SequenceModality):
            _prepare_sequence(codec, name, given, prepared)
        else:
            _prepare_dense(model, codec, name, given, targets, prepared)
    return prepared


def tokenize_sample(codec: Codec, given: Mapping[str, Any]) -> dict[str, Int[np.ndarray, " n"]]:
    """The token ids (n,) of each value of one sample as a person gives it; a text is followed by the end token.

    Raises:
        DataError: A value is not its modality's, or the modality has no tokens.
    """
    sample = read_sample(codec.modalities, given)
    found: dict[str, Int[np.ndarray, " n"]] = {}
    for name, item in sample.values.items():
        modality = codec.modalities[name]
        if isinstance(modality.layout, Embeddings):
            raise DataError(f"{name} has vectors, no tokens.")
        if isinstance(modality, SequenceModality):
            found[name] = _sequence_ids(codec, modality, item, sample.crop)
        else:
            found[name] = encode_value(codec, name, modality.transform(item.value, sample.crop))
    return found


def encode_value(codec: Codec, name: str, value: Any) -> Int[np.ndarray, " n"]:
    """The token ids (n,) of one value of a grid or a vector."""
    (tokens,) = codec.encode(name, [value])
    assert tokens is not None
    return np.asarray(tokens).astype(np.int64).ravel()


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


def _prepare_sequence(codec: Codec, name: str, given: GivenSample, prepared: PreparedInputs) -> None:
    """Ids of a sequence. A text that does not end in a gap ends with the end token, as in training."""
    modality, item = codec.modalities[name], given.values[name]
    assert isinstance(modality, SequenceModality)
    if item.mask is not None:
        raise DataError(f"{name} is a sequence and takes no mask: write [S_1] where something is missing.")
    if item.text is None:
        prepared.values[name] = modality.transform(item.value, given.crop)
    else:
        prepared.texts[name] = item.text
    ids = _sequence_ids(codec, modality, item, given.crop)
    prepared.condition_inputs[name] = _single(ids, len(ids))


def _sequence_ids(codec: Codec, modality: SequenceModality, item: GivenValue, crop: Crop) -> Int[np.ndarray, " n"]:
    if item.text is not None:
        return ids_array(encode_text(codec, modality, item.text, item.origin))
    return ids_array(encode_record(codec, modality, modality.transform(item.value, crop), item.origin))


def _prepare_dense(
    model: FourM, codec: Codec, name: str, given: GivenSample, targets: Sequence[str], prepared: PreparedInputs
) -> None:
    modality, item = codec.modalities[name], given.values[name]
    known = None
    if item.mask is not None:
        known = known_tokens(modality, item.mask, modality.image_size(item.value) or (0, 0), item.origin)[None]
    prepared.values[name] = value = modality.transform(item.value, given.crop)
    pixels = pixel_stream_name(name)
    if modality.has_pixel_stream and pixels in model.index:
        num_patches = model.streams[model.index[pixels]].num_tokens
        single = _single(np.ascontiguousarray(value), num_patches)
        prepared.condition_inputs[pixels] = replace(single, known=known)
        if name not in targets:
            return
    if isinstance(modality.layout, Embeddings):
        vectors = np.asarray(value, dtype=np.float32)
        prepared.condition_inputs[name] = _single(vectors, len(vectors))
        return
    ids = encode_value(codec, name, value)
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
