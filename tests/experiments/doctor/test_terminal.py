"""Tables and lines of a terminal, JSON, and the page of the documentation that explains findings."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from experiments.doctor.examine import Diagnosis, examine
from experiments.doctor.terminal import MAX_LINES, diagnosis_json, format_bytes, print_diagnosis, summary_line
from tests.experiments.doctor.table import subject_of
from tests.experiments.doctor.test_examine import CAPTIONS, NAMES, healthy

ROOT = Path(__file__).parents[3]


def printed(diagnosis: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_diagnosis(console, diagnosis)
    file: Any = console.file
    text: str = file.getvalue()
    return text


def test_a_table_has_a_line_for_each_modality() -> None:
    table = healthy()
    del table["train"]["1"]["rgb"]
    text = printed(examine(subject_of(table, *NAMES)))
    (line,) = re.findall(r"^ rgb .*$", text, re.MULTILINE)
    assert re.search(r"rgb +2 of 3 +1 +32 x 32 x 3 +uint8 +0 to 255", line)
    assert "table: samples of table; licence CC0-1.0; train 3, validation 1" in text
    assert text.rstrip().endswith("0 errors, 0 warnings in table")


def test_many_findings_of_one_kind_are_cut_in_the_terminal_and_whole_in_json() -> None:
    table = healthy()
    for number in range(MAX_LINES + 5):
        table["train"][f"x{number}"] = {"rgb": np.full((32, 32, 3), number, np.uint8), "caption": "ball " * 60}
    diagnosis = examine(subject_of(table, *NAMES))
    text = printed(diagnosis)
    assert text.count("caption takes 61 tokens") == MAX_LINES
    assert "warning: 5 more findings of too_long: --json lists all." in text
    content = json.loads(diagnosis_json(diagnosis))
    assert len([item for item in content["findings"] if item["check"] == "too_long"]) == MAX_LINES + 5
    assert content["warnings"] == MAX_LINES + 5
    assert summary_line(diagnosis) == f"0 errors, {MAX_LINES + 5} warnings in table"


def test_shapes_of_several_sizes_are_a_range() -> None:
    table = healthy()
    table["train"]["1"]["rgb"] = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    table["train"]["1"]["semseg"] = np.zeros((64, 64), np.uint8)
    assert "32..64 x 32..64 x 3" in printed(examine(subject_of(table, *NAMES)))


def test_json_names_every_missing_value() -> None:
    table = healthy()
    del table["train"]["0"]["caption"], table["train"]["2"]["caption"]
    content = json.loads(diagnosis_json(examine(subject_of(table, *NAMES))))
    (column,) = [item for item in content["modalities"] if (item["modality"], item["split"]) == ("caption", "train")]
    assert column["missing_keys"] == ["0", "2"]
    assert column["present"] == len(CAPTIONS) - 1 - 2


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2_510_000, "2.51 MB"), (5.4e15, "5.4 PB")]
)
def test_bytes_have_a_unit(count: float, text: str) -> None:
    assert format_bytes(count) == text


def test_the_documentation_explains_every_finding() -> None:
    code = "".join(path.read_text() for path in (ROOT / "experiments" / "doctor").rglob("*.py"))
    named = re.findall(r'check="(\w+)"|Severity\.\w+, "(\w+)"|_warn\("(\w+)"|"(duplicate(?:_between_splits)?)"', code)
    section = (ROOT / "docs" / "own_data.md").read_text().partition("## Looking before training")[2]
    rows = re.findall(r"^\| `(\w+)` \| (?:error|warning|note|warning or note) \|", section, re.MULTILINE)
    assert set(rows) == {name for names in named for name in names if name}
    assert len(rows) == len(set(rows))
