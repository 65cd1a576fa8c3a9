"""``fourm doctor`` from the command line."""

import json

import pytest

from experiments.cli.main import main

SCALE = "size=32,patch=8,max_channels=8,max_tokens=256"


def test_scenes_are_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "scenes", "--limit", "3", "--modalities", "rgb,depth,caption", "--scale", SCALE]) == 0
    out = capsys.readouterr().out
    assert "train: the first 3 samples were read of an unlimited number" in out
    assert "0 errors, 0 warnings in scenes" in out
    assert "metres cut to" in out


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "scenes", "--limit", "2", "--modalities", "rgb,semseg", "--scale", SCALE, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["source"] == {"name": "scenes", "description": "procedural scenes", "license": "CC0-1.0"}
    assert [split["read"] for split in content["splits"]] == [2, 2, 2]
    assert content["errors"] == content["warnings"] == 0
    assert {item["modality"] for item in content["modalities"]} == {"rgb", "semseg"}
    assert content["modalities"][0]["shapes"] == [{"shape": [32, 32, 3], "count": 2}]
    assert content["estimate"]["model"] is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["scenes", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["scenes", "--modalities", "dpeth"], "Did you mean 'depth'"),
        (["scenes", "--scale", "sze=64"], "no setting is called 'scale.sze'"),
        (["scenes", "--scale", "64"], "--scale takes NAME=VALUE, got '64'"),
        (["scenes:photos"], "Scenes are made, not read"),
    ],
)
def test_mistakes_are_one_line(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *words]) == 1
    (line,) = [item for item in capsys.readouterr().err.splitlines() if item.startswith("fourm: ")]
    assert expected in line
