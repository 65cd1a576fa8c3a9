"""Checks of what a modality gives to tokenizers and takes back: rows of numbers, and text."""

import json
import re

import numpy as np
from numpy.typing import NDArray

from modalities.conformance.subject import ModalityUnderTest, require, values_equal
from modalities.layouts import Dense, Vector
from modalities.spec import SequenceModality, learned_tokenizer
from modalities.tokenizer_specs import UNLABELLED
from modalities.vocabulary import COORDINATE_TOKENS

_COORDINATE = re.compile(r"v\d+=-?\d+")
_KNOWN_COORDINATES = frozenset(COORDINATE_TOKENS)


def check_preprocess(subject: ModalityUnderTest) -> None:
    """Rows for the tokenizer have its shape and are finite; those of a dense value come back as the value."""
    modality, codes = subject.modality, learned_tokenizer(subject.modality)
    assert codes is not None
    is_class_map = isinstance(codes.layout, Dense) and codes.layout.categorical
    expected_dtype = np.dtype(np.int64 if is_class_map else np.float32)
    shape = _row_shape(codes.layout)
    for value in subject.values:
        rows = modality.preprocess(value)
        require(rows.shape[1:] == shape, f"preprocess() gave rows of shape {rows.shape[1:]}, expected {shape}")
        require(rows.dtype == expected_dtype, f"preprocess() gave {rows.dtype}, expected {expected_dtype}")
        missing = np.isnan(rows) if modality.value_spec.missing else np.zeros(rows.shape, dtype=bool)
        require((np.isfinite(rows) | missing).all(), "preprocess() gave what is not finite")
        if isinstance(modality, SequenceModality):
            continue
        require(len(rows) == 1, f"preprocess() gave {len(rows)} rows, expected one for a dense value")
        row = rows[0]
        row = _as_logits(rows[0], codes.layout.channels) if is_class_map else np.nan_to_num(rows[0])
        restored = modality.postprocess(row)
        if (missing | (rows == UNLABELLED)).any():
            require(np.shape(restored) == np.shape(value), "postprocess() gave another shape than preprocess() took")
            continue
        require(values_equal(restored, value, 0.01), "postprocess() does not give back what preprocess() was given")


def _as_logits(row: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """Logits (classes, h, w) that are greatest at a class map's classes; all equal where there is no label."""
    labelled = row != UNLABELLED
    fits = not labelled.any() or (row[labelled].min() >= 0 and row[labelled].max() < num_classes)
    require(
        fits,
        f"preprocess() gave classes {row.min()} to {row.max()}, expected 0 to {num_classes - 1}, or {UNLABELLED} "
        "where there is no label",
    )
    logits = np.eye(num_classes, dtype=np.float32)[np.where(labelled, row, 0)] * labelled[..., None]
    return np.moveaxis(logits, -1, 0)


def _row_shape(layout: Dense | Vector) -> tuple[int, ...]:
    """Shape of one row for the tokenizer."""
    match layout:
        case Dense(categorical=True):
            return (layout.values_per_side, layout.values_per_side)
        case Dense():
            return (layout.channels, layout.values_per_side, layout.values_per_side)
        case Vector():
            return (layout.channels,)


def check_json(subject: ModalityUnderTest) -> None:
    """A value survives JSON, which the store of raw values keeps it in."""
    modality = subject.modality
    assert isinstance(modality, SequenceModality)
    for value in subject.values:
        data = modality.to_json(value)
        require(data is not None, "to_json() gave None, which stands for a missing value")
        found = modality.from_json(json.loads(json.dumps(data)))
        require(values_equal(found, value), "from_json() does not give back what to_json() was given")


def check_text(subject: ModalityUnderTest) -> None:
    """A value's text is well-formed and is read the same way each time; the seed decides what is free."""
    modality = subject.modality
    assert isinstance(modality, SequenceModality)
    for value in subject.values:
        codes = subject.codes(value)
        texts = [modality.serialize(value, np.random.default_rng(1), codes) for _ in range(2)]
        require(texts[0] == texts[1], "serialize() gave two texts with the same seed")
        parsed = modality.parse(texts[0])
        require(parsed.well_formed or not texts[0], f"parse() finds its own text not well-formed: {texts[0][:80]!r}")
        require(values_equal(parsed.value, modality.parse(texts[0]).value, 0.0), "parse() gave two values of one text")
        _check_codes_round_trip(codes, parsed.codes)
        unknown = [word for word in texts[0].split() if _COORDINATE.fullmatch(word) and word not in _KNOWN_COORDINATES]
        require(not unknown, f"serialize() wrote {unknown[:1]}, which the text vocabulary does not have")
    for garbage in ("", "v0=", "v0=5 v1=", texts[0][: len(texts[0]) // 2], "[S_1] [EOS] \x00 v3=9999 polygon human"):
        modality.parse(garbage)


def _check_codes_round_trip(given: NDArray[np.int64] | None, found: NDArray[np.int64] | None) -> None:
    require((given is None) == (found is None), "parse() and the tokenizer differ on whether there are codes")
    if given is not None and found is not None:
        known = {tuple(row) for row in given.tolist()}
        require(all(tuple(row) in known for row in found.tolist()), "parse() found codes that were not written")
