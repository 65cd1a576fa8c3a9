"""A modality of another package, published by entry point: listed, tokenized, trained, measured; nothing is edited."""

import json
from pathlib import Path

import pytest

from experiments.cli.main import main
from tests.experiments.miniature import ablate
from tests.modalities.test_registry import SALIENCY, install

MOOD = '''
"""How a scene feels, in words: a plug-in for a test."""

from modalities import FreeTextModality, Text, WordPiece

MODALITY = FreeTextModality(name="mood", title="Mood", layout=Text(max_tokens=12), tokenizer=WordPiece())


def view(scene, modality):
    return "bright and calm" if scene.rgb.mean() > 120 else "dark and quiet"
'''


def test_plug_ins_take_the_same_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("COLUMNS", "300")
    for name, source in (("saliency", SALIENCY), ("mood", MOOD)):
        points = (f"{name} = {name}_kit:MODALITY",)
        install(packages, monkeypatch, f"{name}_kit", source, *points, views=(f"{name} = {name}_kit:view",))
    assert main(["modalities"]) == 0
    listed = capsys.readouterr().out
    assert "saliency_kit (saliency_kit:MODALITY)" in listed
    assert "mood_kit (mood_kit:MODALITY)" in listed
    # Workers are processes of their own, which must find the packages too.
    assert ablate(tmp_path / "runs", arms__mine="[rgb,saliency,mood,caption]", executor__workers=2) == 0
    scores = json.loads((tmp_path / "runs" / "mini" / "scores.json").read_text())["scores"]
    for name in ("saliency", "mood"):
        routes = {score["route"] for score in scores if score["target"] == name}
        assert {"tokenizer", "masked", f"rgb->{name}"} <= routes
    model = next((tmp_path / "runs" / "stages").glob("model-mine-0-*"))
    history = json.loads((model / "history.json").read_text())
    assert len(history["train/saliency/loss"]) >= 1
    assert len(history["train/mood/loss"]) >= 1


def test_a_plug_in_without_a_view_is_refused_by_an_arm_and_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, "mood_kit", MOOD, "mood = mood_kit:MODALITY")
    assert ablate(tmp_path / "runs", arms__mine="[rgb,mood]") == 1
    message = capsys.readouterr().err
    assert "Scenes do not show 'mood': publish a function (scene, modality) -> value as its view under" in message
    assert not (tmp_path / "runs" / "stages").exists()


def test_a_broken_plug_in_is_named_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, "broken_kit", "raise RuntimeError('no licence')", "broken = broken_kit:MODALITY")
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["modalities"]) == 0
    out = capsys.readouterr().out
    assert "Modality 'broken' of broken_kit" in out
    assert "RuntimeError: no licence" in out
    assert "human_poses" in out
