"""Reasons of errors as parts of one line."""

import pytest

from modalities.errors import error_reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("two\n  lines."), "two lines"),
        (KeyError("box"), "no entry 'box'"),
        (OSError(), "OSError"),
    ],
)
def test_a_reason_is_one_line(error: Exception, expected: str) -> None:
    assert error_reason(error) == expected
