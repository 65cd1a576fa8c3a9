"""Findings that are kept, and those that are only counted."""

import pytest

from experiments.doctor import findings
from experiments.doctor.findings import Finding, FindingLog, Severity, examples


def found(check: str, modality: str, number: int) -> Finding:
    return Finding(severity=Severity.warning, check=check, message=str(number), modality=modality)


def test_what_is_beyond_the_most_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_KEPT", 2)
    log = FindingLog()
    for number in range(5):
        log.add(found("holes", "depth", number))
        log.add(found("no_partner", "", number))
    log.add(found("holes", "normals", 7))
    assert [(item.check, item.message, item.count) for item in log] == [
        ("holes", "0", 1),
        ("holes", "1", 1),
        ("holes", "3 more of holes of depth: the first 2 are listed one by one.", 3),
        ("no_partner", "0", 1),
        ("no_partner", "1", 1),
        ("no_partner", "3 more of no_partner: the first 2 are listed one by one.", 3),
        ("holes", "7", 1),
    ]


def test_examples_say_how_many_there_are_besides() -> None:
    assert examples(["a", "b", "c"], 2) == "a, b and 1 more"
    assert examples(["a", "b", "c"], 2, of=1000) == "a, b and 998 more"
