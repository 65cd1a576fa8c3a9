"""Base classes of sequence modalities, records and free text, and a reader of generated words."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchmetrics import MetricCollection

from modalities.errors import DataError
from modalities.labels import BOX_CLASSES, fact_words
from modalities.metrics.text import text_metrics, word_f1
from modalities.spec import Crop, SequenceModality, Value
from modalities.storage.atomic import atomic_file
from modalities.text_checks import check_text
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import CODES_ON_AXIS_0, strip_control_tokens

_COORDINATE = re.compile(r"v([0-3])=(0|[1-9]\d{0,2})")

MEDOID_SAMPLE = 200
"""Most values that a medoid is compared with."""
MEDOID_CANDIDATES = 32
"""Most values that a medoid is looked for among."""


class TokenReader:
    """The words of a generated text, read from left to right. Asking for what is not there moves nothing."""

    def __init__(self, text: str) -> None:
        self._words = text.split()
        self._position = 0

    @property
    def at_end(self) -> bool:
        """True where no word is left."""
        return self._position >= len(self._words)

    def read_word(self, *expected: str) -> str | None:
        """The next word, if it is one of ``expected``."""
        if self.at_end or self._words[self._position] not in expected:
            return None
        self._position += 1
        return self._words[self._position - 1]

    def read_coordinates(self, *axes: int) -> tuple[int, ...] | None:
        """The next numbers, if they are on these axes in this order."""
        found = [self._coordinate(self._position + step) for step in range(len(axes))]
        if any(item is None or item[0] != axis for item, axis in zip(found, axes, strict=True)):
            return None
        self._position += len(axes)
        return tuple(item[1] for item in found if item is not None)

    def read_codes(self, count: int, vocab_size: int) -> tuple[int, ...] | None:
        """The next ``count`` learnt codes, if they are there and below ``vocab_size``."""
        found: list[int] = []
        for step in range(count):
            item = self._coordinate(self._position + step)
            code = _code_of_coordinate(item)
            if code is None or code >= vocab_size:
                return None
            found.append(code)
        self._position += count
        return tuple(found)

    def read_name(self) -> str:
        """The words up to the next number or the end, joined; empty where there are none."""
        begin = self._position
        while not self.at_end and self._coordinate(self._position) is None:
            self._position += 1
        return " ".join(self._words[begin : self._position])

    def skip_to(self, is_start: Callable[[str], bool]) -> None:
        """Move past the next word, and on to the first word after it with which an element may begin."""
        self._position += 1
        while not self.at_end and not is_start(self._words[self._position]):
            self._position += 1

    def _coordinate(self, position: int) -> tuple[int, int] | None:
        match = _COORDINATE.fullmatch(self._words[position]) if position < len(self._words) else None
        return (int(match[1]), int(match[2])) if match else None


def _code_of_coordinate(item: tuple[int, int] | None) -> int | None:
    """The learnt code that a number on an axis spells, if it spells one as published."""
    match item:
        case (0, value) if value < CODES_ON_AXIS_0:
            return value
        case (1, value):
            return value + CODES_ON_AXIS_0
        case _:
            return None


@dataclass(frozen=True, kw_only=True)
class RecordModality(SequenceModality):
    """A modality whose files are JSON."""

    suffix: str = ".json"

    def read_file(self, path: Path) -> Value:
        """The value in a JSON file."""
        text = read_text_file(path)
        try:
            value = self.from_json(json.loads(text))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{path} does not hold {self.title.lower()} as JSON: {reason}.") from error
        return self.check(value, str(path))

    def write_file(self, path: Path, value: Value) -> None:
        """Write ``value`` as JSON."""
        write_text_file(path, json.dumps(self.to_json(value)) + "\n")


@dataclass(frozen=True, kw_only=True)
class FreeTextModality(SequenceModality):
    """A text in words. The value is a string; upper case and spacing do not survive the text vocabulary."""

    class_names: tuple[str, ...] = BOX_CLASSES
    """Classes whose names state a fact, by which `metrics` compares texts."""
    suffix: str = ".txt"

    @property
    def value_spec(self) -> ValueSpec:
        """A text."""
        return ValueSpec(type="str", unit="a text in any script", files=".txt in UTF-8, or .json with one string")

    def read_file(self, path: Path) -> str:
        """The text of a .txt file, or the string in a .json file."""
        text = read_text_file(path)
        if path.suffix != ".json":
            return self.check(text.strip(), str(path))
        try:
            value = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path} is not JSON: {error}.") from error
        if not isinstance(value, str):
            raise DataError(f"{path} should hold one JSON string, found {type(value).__name__}.")
        return self.check(value, str(path))

    def check(self, value: Any, origin: str) -> str:
        """A text without control characters."""
        if not isinstance(value, str):
            raise DataError(f"{origin} is a {type(value).__name__}, expected a string.")
        return check_text(value, origin)

    def write_file(self, path: Path, value: str) -> None:
        """Write the text, as a JSON string where the file is called .json."""
        write_text_file(path, (json.dumps(value) if path.suffix == ".json" else value) + "\n")

    def to_json(self, value: str) -> str:
        """The text itself."""
        return value

    def coerce(self, value: Any) -> str:
        """A string."""
        return self.check(value, self.name)

    def from_json(self, data: Any) -> str:
        """The text itself."""
        if not isinstance(data, str):
            raise TypeError(f"expected a string, found {type(data).__name__}")
        return data

    def transform(self, value: str, crop: Crop) -> str:
        """The same text, left and right exchanged where the crop is mirrored."""
        return swap_left_right(value) if crop.flip else value

    def render(self, value: str) -> str:
        """The text."""
        return value

    def serialize(self, value: str, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The text, without anything that reads as a control token."""
        return " ".join(strip_control_tokens(value).split())

    def parse(self, text: str) -> Parsed:
        """The text with its punctuation put back against the words; control tokens are left out and not well-formed."""
        value = attach_punctuation(strip_control_tokens(text))
        return Parsed(value=value, well_formed=bool(value) and strip_control_tokens(text) == text)

    def metrics(self) -> MetricCollection:
        """BLEU, F1 of words and of words that state a fact, and the share of texts that are right throughout."""
        return text_metrics(fact_words(self.class_names))

    def constant_baseline(self, values: Sequence[str]) -> str:
        """The text that shares most words with the others."""
        return str(medoid(values, word_f1, empty=""))


def split_before(text: str, is_start: Callable[[str], bool]) -> list[str]:
    """The words of a text in groups, each of which begins with a word that ``is_start`` knows; the first may not."""
    groups: list[list[str]] = []
    for word in text.split():
        if not groups or is_start(word):
            groups.append([])
        groups[-1].append(word)
    return [" ".join(group) for group in groups]


def require_list(data: Any) -> list[Any] | tuple[Any, ...]:
    """A list out of JSON.

    Raises:
        TypeError: It is an object, a text or a number.
    """
    if not isinstance(data, list | tuple):
        raise TypeError(f"expected a list, found {_JSON_NAMES.get(type(data), type(data).__name__)}")
    return data


_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    str: "a text",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def attach_punctuation(text: str) -> str:
    """Join words and punctuation that are separated by spaces, as a person would write them."""
    text = " ".join(text.split())
    text = re.sub(r" ([.,;:!?%)\]}])", r"\1", text)
    text = re.sub(r"([(\[{]) ", r"\1", text)
    return re.sub(r"(\w) (['\u2019-]) (\w)", r"\1\2\3", text)


_OPPOSITE_SIDE = {"left": "right", "right": "left"}
_SIDE = re.compile(r"\b(left|right)(?=(?:most|wards?|hand|handed|side)?\b)", flags=re.IGNORECASE)


def swap_left_right(text: str) -> str:
    """``text`` with the English words left and right exchanged, also in leftmost, leftward, left-hand and left side.

    Upper case is kept. Other senses of the two words are exchanged too, and other languages are left alone.
    """
    return _SIDE.sub(_opposite_side, text)


def _opposite_side(match: re.Match[str]) -> str:
    opposite = _OPPOSITE_SIDE[match[0].lower()]
    if match[0].isupper():
        return opposite.upper()
    return opposite.capitalize() if match[0][0].isupper() else opposite


def medoid(values: Sequence[Value], similarity: Callable[[Any, Any], float], empty: Value) -> Value:
    """The value most alike to the others by mean ``similarity(guess, truth)``, or ``empty`` where there is none.

    Values spread evenly over those given stand for all; of equals the first is taken.
    """
    if not values:
        return empty
    sample = _subsample(values, MEDOID_SAMPLE)
    candidates = _subsample(sample, MEDOID_CANDIDATES)
    scores = [float(np.mean([similarity(guess, truth) for truth in sample])) for guess in candidates]
    return candidates[int(np.argmax(scores))]


def _subsample(values: Sequence[Value], max_count: int) -> list[Value]:
    """At most ``max_count`` of ``values``, at even steps."""
    count = min(len(values), max_count)
    return [values[index * len(values) // count] for index in range(count)]


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        DataError: The file is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror}.") from error


def write_text_file(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically.

    Raises:
        DataError: The folder is missing or may not be written to, or the disk is full.
    """
    with atomic_file(path) as file:
        file.write(text.encode())
