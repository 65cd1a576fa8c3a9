"""Lines of texts end at line feeds alone."""

import json
from pathlib import Path

import pytest

from modalities.errors import DataError
from modalities.sources.captions import read_captions

ODD = "one\u2028two\u0085three\x0bfour"
"""Characters at which `str.splitlines` ends a line."""


def test_characters_inside_a_text_end_no_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(f"{ODD}\r\nsecond\n\n".encode())
    lines = (json.dumps(line, ensure_ascii=False) for line in (ODD.replace("\x0b", " "), ["b", ""]))
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert read_captions(tmp_path / "a.txt") == [ODD, "second"]
    assert read_captions(tmp_path / "a.jsonl") == [ODD.replace("\x0b", " "), "b"]


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('"a"\n\n"b\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 3 is not JSON"):
        read_captions(tmp_path / "a.jsonl")
