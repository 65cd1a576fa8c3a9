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
        return split_captions(text_lines(text))
    if suffix == ".json":
        try:
            items = [json.loads(text)]
        except ValueError as error:
            raise DataError(f"{path} is not JSON: {error}.") from error
    else:
        items = [item for _, item in json_lines(text, str(path))]
    texts = [text for item in items for text in (item if isinstance(item, list) else [item])]
    for found in texts:
        if not isinstance(found, str):
            raise DataError(f"{path} holds a {type(found).__name__}, expected a string or a list of strings.")
    return split_captions(texts)


def text_lines(text: str) -> list[str]:
    """The lines of a text. `str.splitlines` also ends them at characters that may stand inside one, such as U+2028."""
    return text.replace("\r\n", "\n").split("\n")


def json_lines(text: str, origin: str) -> list[tuple[int, Any]]:
    """The number and the content of each line of a .jsonl file; empty lines are left out.

    Raises:
        DataError: A line is no JSON.
    """
    found = []
    for number, line in enumerate(text_lines(text), 1):
        try:
            found += [(number, json.loads(line))] if line.strip() else []
        except ValueError as error:
            raise DataError(f"{origin}, line {number} is not JSON: {error}.") from error
    return found


def split_captions(texts: Sequence[Any]) -> list[Any]:
    """Those of several texts that are not empty, without space at their ends."""
    stripped = [text.strip() if isinstance(text, str) else text for text in texts]
    return [text for text in stripped if text is not None and text != ""]
