"""Small data sets in the forms of Hugging Face, written by its own library or by pyarrow."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.modalities.sources.samples import levels, meters, png, words

LABELS = ("odd", "even", "zero")


def rows(numbers: Iterable[int]) -> dict[str, list[Any]]:
    """Columns of plain cells: every fourth sample has no depth, every caption comes twice."""
    chosen = list(numbers)
    return {
        "image": [{"bytes": png(levels(number)), "path": f"{number}.png"} for number in chosen],
        "depth": [None if number % 4 == 3 else meters(number).tolist() for number in chosen],
        "text": [[words(number), words(number).upper()] for number in chosen],
        "label": [2 if number == 0 else (number + 1) % 2 for number in chosen],
    }


def write_parquet(path: Path, numbers: Iterable[int], group_size: int = 3) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(rows(numbers)), path, row_group_size=group_size)


def dataset(numbers: Iterable[int]) -> Any:
    """The rows in the `datasets` library, with its features."""
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    text = library.Value("string")
    features = library.Features(
        {
            "image": library.Image(),
            "depth": library.Sequence(library.Sequence(library.Value("float32"))),
            "text": library.Sequence(text),
            "label": library.ClassLabel(names=list(LABELS)),
        }
    )
    return library.Dataset.from_dict(rows(numbers), features=features)
