"""What a command line gives to generate from: files and texts, as the model's streams take them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from evaluation.decoding import tokenizer_of
from evaluation.held_out import Codecs
from lightning_modules.data.tokenise import tokens_of
from modalities.errors import DataError, UnknownNameError
from modalities.layouts import Dense, Embeddings, Text
from modalities.spec import Modality, SequenceModality, View, center_view, learnt
from modalities.text import EOS_ID
from networks.batch import Column
from networks.fourm import FourM
from networks.generation.inputs import Given
from networks.spans import is_sentinel
from networks.streams import PIXELS, StreamKind

WHITE = 128
"""A mask's pixel from this level on is to be generated anew."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One modality as a person gave it."""

    value: str
    """A file, or a text of a sequence, ``[S_1]`` standing for what is missing."""
    mask: Path | None = None
    """An image of the same size, white where the modality is to be generated anew."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Inputs as the model takes them, and as a person sees them."""

    given: dict[str, Given]
    values: dict[str, Any]
    """Whole values, by modality, for pictures."""
    texts: dict[str, str]
    """Texts with gaps, by modality."""


def take(model: FourM, codecs: Codecs, sources: Mapping[str, Source], targets: list[str], num: int) -> Taken:
    """Every source, ``num`` times. An image enters as pixels, and as tokens too where a part of it is asked for.

    Raises:
        UnknownNameError: The model has no such modality.
        DataError: A file cannot be read, or a mask is of another size.
    """
    taken = Taken(given={}, values={}, texts={})
    for name, source in sources.items():
        if name not in codecs.modalities:
            raise UnknownNameError("modality of this model", name, codecs.modalities)
        modality = codecs.modalities[name]
        if isinstance(modality, SequenceModality) and isinstance(modality.layout, Text):
            ids = _ids(codecs, modality, source, taken)
            column = Column(values=torch.tensor([ids] * num), lengths=torch.full((num,), len(ids)))
            taken.given[name] = Given(column=column)
        else:
            _take_dense(model, codecs, modality, source, targets, num, taken)
    return taken


def _ids(codecs: Codecs, modality: SequenceModality, source: Source, taken: Taken) -> list[int]:
    """The ids of a sequence. One that does not end in a gap ends with the end token, as in training."""
    if source.mask is not None:
        raise DataError(f"{modality.name} is a sequence and takes no mask: write [S_1] where something is missing.")
    assert codecs.text is not None
    path = Path(source.value)
    if path.suffix == modality.suffix and path.is_file():
        value = modality.read(path)
        taken.values[modality.name] = value
        tokenizer = tokenizer_of(codecs, modality.name) if learnt(modality) else None
        written = tokens_of(modality, [value], tokenizer, codecs.text, seed=0, first=0)[0]
        assert written is not None
        return [int(token) for token in written]
    taken.texts[modality.name] = source.value
    ids = codecs.text.encode(source.value)
    return ids if ids and is_sentinel(ids[-1]) else [*ids, EOS_ID]


def _take_dense(
    model: FourM, codecs: Codecs, modality: Modality, source: Source, targets: list[str], num: int, taken: Taken
) -> None:
    name, path = modality.name, Path(source.value)
    value = modality.read(path)
    known = None
    view = _whole(value)
    if source.mask is not None:
        known = _known(modality, source.mask, path, value)[None].expand(num, -1)
    value = modality.augment(value, view)
    taken.values[name] = value
    if modality.pixels and name + PIXELS in model.index:
        column = _repeated(np.ascontiguousarray(value), num, model.streams[model.index[name + PIXELS]].num_tokens)
        taken.given[name + PIXELS] = Given(column=column, known=known)
        if name not in targets:
            return
    if isinstance(modality.layout, Embeddings):
        vectors = np.asarray(value, dtype=np.float32)
        taken.given[name] = Given(column=_repeated(vectors, num, len(vectors)))
        return
    ids = tokens_of(modality, [value], tokenizer_of(codecs, name), codecs.text, seed=0, first=0)[0]
    assert ids is not None
    flat = np.asarray(ids, dtype=np.int64).ravel()
    taken.given[name] = Given(column=_repeated(flat, num, len(flat)), known=known)


def _repeated(values: NDArray[Any], num: int, length: int) -> Column:
    # A file's array may be read-only, which torch does not take.
    rows = torch.from_numpy(np.array(values))[None].expand(num, *values.shape).contiguous()
    return Column(values=rows, lengths=torch.full((num,), length))


def _whole(value: Any) -> View:
    """The largest centred square of what has a height and a width."""
    shape = getattr(value, "shape", ())
    return center_view(*shape[:2]) if len(shape) >= 2 else center_view(1, 1)


def _known(modality: Modality, mask: Path, path: Path, value: Any) -> torch.Tensor:
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
    square = levels[top : top + side, left : left + side] >= WHITE
    edges = np.linspace(0, side, grid + 1).astype(int)
    hidden = np.logical_or.reduceat(np.logical_or.reduceat(square, edges[:-1], axis=0), edges[:-1], axis=1)
    return torch.from_numpy(~hidden.ravel())


def is_whole_image(given: Mapping[str, Given], model: FourM) -> bool:
    """True where all of an image is known."""
    pixels = [item for name, item in given.items() if model.streams[model.index[name]].kind is StreamKind.pixels]
    return any(item.known is None or bool(item.known.all()) for item in pixels)
