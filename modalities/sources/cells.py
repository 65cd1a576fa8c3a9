"""One entry of a table or of a line of JSON as a stored value: text, numbers, JSON, an image's bytes, a file's name."""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from modalities.errors import DataError
from modalities.kinds.sequences import FreeTextModality
from modalities.sources.stored import Stored, StoredBytes, StoredValue
from modalities.spec import Modality, SequenceModality

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"\x93NUMPY", ".npy"),
    (b"PK\x03\x04", ".npz"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
)
"""First bytes of types of files."""


def stored_cell(
    cell: Any, modality: Modality, origin: str, open_file: Callable[[str], Stored] | None = None
) -> Stored | None:
    """The value in a cell, or None where the cell is empty.

    Args:
        origin: Names the cell in messages, such as ``photos/metadata.csv, row 12, depth``.
        open_file: Opens a file that a cell names; None where cells name none.

    Raises:
        DataError: The cell holds something that no value of the modality is read from.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)) or (isinstance(cell, str) and not cell.strip()):
        return None
    match cell:
        case bytes():
            return stored_content(cell, _sniffed_suffix(cell, modality), modality, origin)
        case {"bytes": bytes() as data, **rest}:
            suffix = PurePosixPath(str(rest.get("path") or "")).suffix or _sniffed_suffix(data, modality)
            return stored_content(data, suffix, modality, origin)
    if isinstance(modality, FreeTextModality):
        return StoredValue(value=cell, origin=origin)
    if isinstance(modality, SequenceModality) and (isinstance(cell, list | tuple | Mapping) or _is_json(cell)):
        text = cell if isinstance(cell, str) else json.dumps(cell)
        return StoredBytes(data=text.encode(), suffix=".json", origin=origin)
    if names_file(cell, modality):
        if open_file is None:
            raise DataError(f"{origin} holds the text {cell[:40]!r}, expected a value of {modality.name}.")
        return open_file(cell.strip())
    return StoredValue(
        value=_as_array(cell, modality, origin) if isinstance(cell, list | tuple) else cell, origin=origin
    )


def names_file(cell: Any, modality: Modality) -> bool:
    """True for a cell that is neither text nor JSON of the modality, but the name of a file."""
    if not isinstance(cell, str) or not cell.strip() or isinstance(modality, FreeTextModality):
        return False
    return not (isinstance(modality, SequenceModality) and _is_json(cell))


def stored_content(data: bytes, suffix: str, modality: Modality, origin: str) -> StoredBytes:
    """A file's content; of a .npz the array named like the modality, or the only one, as a .npy.

    Raises:
        DataError: The .npz is damaged, or holds several arrays of other names.
    """
    if suffix.lower() != ".npz":
        return StoredBytes(data=data, suffix=suffix, origin=origin)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
            chosen = next(
                (name for name in names if name == f"{modality.name}.npy"), names[0] if len(names) == 1 else ""
            )
            if not chosen:
                raise DataError(
                    f"{origin} holds the arrays {', '.join(name.removesuffix('.npy') for name in names)}, "
                    f"expected one, or one named {modality.name}."
                )
            return StoredBytes(data=archive.read(chosen), suffix=".npy", origin=f"{origin}: {chosen}")
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise DataError(f"{origin} is not a whole .npz file: {error}.") from error


def _sniffed_suffix(data: bytes, modality: Modality) -> str:
    """The type of a file by its first bytes; that of the modality's own files where they say nothing."""
    if data[:4] == b"RIFF":
        return ".webp" if data[8:12] == b"WEBP" else ".wav"
    return next((suffix for signature, suffix in _SIGNATURES if data.startswith(signature)), modality.suffix)


def _is_json(cell: Any) -> bool:
    """True for a text that begins as JSON's lists and objects do."""
    return isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{")


def _as_array(cell: Any, modality: Modality, origin: str) -> Any:
    """Nested lists of numbers as an array: integers stay integers, fractions become float32."""
    try:
        array = np.array(cell)
    except ValueError as error:
        raise DataError(f"{origin} holds lists of unequal lengths, expected a value of {modality.name}.") from error
    return array.astype(np.float32) if array.dtype.kind == "f" else array
