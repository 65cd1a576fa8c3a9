"""From names to modalities: built in, from an installed package, by hand; and what goes wrong."""

from pathlib import Path

import pytest

from modalities.conformance.check import assert_conforms
from modalities.errors import BrokenPluginError, DuplicateNameError, UnknownNameError
from modalities.presets import FOURM_21
from modalities.registry import PluginProvider, Registry, builtin_providers, default_registry
from modalities.sources.scenes import scene_values

SALIENCY = '''
"""Where the eye goes first: a plug-in for a test."""

import numpy as np

from modalities import Dense, EdgeMap, ReconstructionLoss, ViTVQ

MODALITY = EdgeMap(
    name="saliency",
    title="Saliency",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="saliency", vocab_size=1024, loss=ReconstructionLoss.smooth_l1),
)


def view(scene, modality):
    return (scene.instances > 0).astype(np.uint8)
'''


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, source: str, *points: str, views: tuple[str, ...] = ()
) -> None:
    """Put a package with entry points on the path, as an installer leaves it."""
    (folder / f"{package}.py").write_text(source)
    record = folder / f"{package}-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = {"fourm.modalities": points, "fourm.scene_views": views}
    text = "".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in groups.items())
    (record / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(folder)


def test_every_file_in_builtin_is_a_modality_of_its_name() -> None:
    registry = default_registry()
    assert set(FOURM_21) <= set(registry)
    for name, modality in registry.items():
        assert modality.name == name


def test_an_installed_package_takes_the_same_road_as_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "gaze", SALIENCY, "saliency = gaze:MODALITY", views=("saliency = gaze:view",))
    registry = default_registry()
    assert "saliency" in registry
    assert registry["saliency"].title == "Saliency"
    assert registry.origin("saliency") == "gaze (gaze:MODALITY)"
    assert len(registry) == len(builtin_providers()) + 1
    assert_conforms(registry["saliency"], scene_values(registry["saliency"]))


@pytest.mark.parametrize(
    ("source", "point", "message"),
    [
        ("raise ImportError('no weights')", "glare = broken:MODALITY", "ImportError: no weights"),
        ("MODALITY = 3", "glare = broken:MODALITY", "published a int, expected a Modality"),
        ("OTHER = 3", "glare = broken:MODALITY", "AttributeError"),
        (SALIENCY, "glare = broken:MODALITY", "published as 'glare' but calls itself 'saliency'"),
    ],
)
def test_a_broken_plug_in_is_reported_and_the_others_stay_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, point: str, message: str
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "broken", raising=False)
    install(tmp_path, monkeypatch, "broken", source, point)
    registry = default_registry()
    with pytest.raises(BrokenPluginError, match=message):
        registry["glare"]
    assert registry["depth"].name == "depth"
    monkeypatch.delitem(__import__("sys").modules, "broken", raising=False)


def test_a_name_that_two_bring_is_refused_and_both_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "rival", SALIENCY, "depth = rival:MODALITY")
    with pytest.raises(DuplicateNameError, match=r"'depth'.*modalities\.builtin\.depth.*rival \(rival:MODALITY\)"):
        default_registry()


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"No modality named 'dpeth'\. Did you mean 'depth'\? Known: .*rgb"):
        default_registry()["dpeth"]


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UnknownNameError) as caught:
        default_registry()["zzzzqqqq"]
    assert "Did you mean" not in str(caught.value)
    assert "zzzzqqqq" not in default_registry()


def test_a_modality_is_loaded_once_and_only_when_asked_for() -> None:
    calls: list[str] = []

    def load() -> object:
        calls.append("loaded")
        return default_registry()["rgb"]

    registry = Registry([PluginProvider(name="rgb", origin="a notebook", load=load)])
    assert list(registry) == ["rgb"]
    assert not calls
    assert registry["rgb"] is registry["rgb"]
    assert calls == ["loaded"]
