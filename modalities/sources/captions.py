"""Several texts of one sample: the lines of a .txt file, or a list in JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modalities.errors import DataError
from modalities.kinds.sequences import read_text_file
from modalities.storage.files import check_suffix

CAPTION_SUFFIXES = (".txt", ".json", ".jsonl")
"""Types of files with texts."""


def read_captions(path: Path) -> list[str]:
    """The texts in a file that are not empty: lines of a .txt, a string or a list in a .json or in lines of a .jsonl.

    Raises:
        DataError: The file cannot be read, is of another type, or holds something else.
    """
    suffix = check_suffix(path, CAPTION_SUFFIXES)
    text = read_text_file(path)
    if suffix == ".txt":
        return split_captions(text.splitlines())
    lines = [text] if suffix == ".json" else [line for line in text.splitlines() if line.strip()]
    try:
        items = [json.loads(line) for line in lines]
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    texts = [text for item in items for text in (item if isinstance(item, list) else [item])]
    for found in texts:
        if not isinstance(found, str):
            raise DataError(f"{path} holds a {type(found).__name__}, expected a string or a list of strings.")
    return split_captions(texts)


def split_captions(texts: Sequence[Any]) -> list[Any]:
    """Those of several texts that are not empty, without space at their ends."""
    stripped = [text.strip() if isinstance(text, str) else text for text in texts]
    return [text for text in stripped if text is not None and text != ""]
