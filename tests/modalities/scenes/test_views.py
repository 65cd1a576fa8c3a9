"""Each built-in modality has a view; views agree with the modality's own facts; other packages add theirs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalities.builtin.bounding_boxes import BoundingBoxes
from modalities.builtin.depth import Depth
from modalities.conformance.subject import shape_problem
from modalities.errors import BrokenPluginError, DuplicateNameError
from modalities.kinds.discrete import ClassMap
from modalities.kinds.sequences import FreeTextModality
from modalities.labels import CLASSES, COLOR_NAMES, SIZE_NAMES, THINGS, WALKABLE, fact_words
from modalities.layouts import ScaleConfig
from modalities.registry import builtin_providers, default_registry
from modalities.scenes.scene import make_scene
from modalities.scenes.views import BUILTIN_VIEWS, SceneViews, default_views, human_poses, view_module, visible_boxes
from modalities.scenes.world import COLORS, MAX_DEPTH
from tests.modalities.test_registry import SALIENCY, install

REGISTRY = default_registry()


def test_every_built_in_modality_has_a_view_and_no_view_is_without_one() -> None:
    assert set(BUILTIN_VIEWS) == {provider.name for provider in builtin_providers()}
    assert set(default_views()) == set(BUILTIN_VIEWS)


@pytest.mark.parametrize("name", BUILTIN_VIEWS)
def test_a_view_gives_a_legal_value_at_the_run_s_scale(name: str) -> None:
    modality = REGISTRY[name].scaled(ScaleConfig(size=32, patch=8, max_channels=5, max_tokens=9))
    assert shape_problem(modality, BUILTIN_VIEWS[name](make_scene(3, size=32), modality)) == ""


def test_facts_of_modalities_are_those_of_the_world() -> None:
    semseg, boxes, depth, caption = (REGISTRY[name] for name in ("semseg", "bounding_boxes", "depth", "caption"))
    assert isinstance(semseg, ClassMap)
    assert isinstance(boxes, BoundingBoxes)
    assert isinstance(depth, Depth)
    assert semseg.classes == CLASSES
    assert depth.far == MAX_DEPTH
    assert set(CLASSES) >= THINGS | WALKABLE
    assert tuple(COLORS) == COLOR_NAMES
    assert isinstance(caption, FreeTextModality)
    assert {*THINGS, *COLORS, *SIZE_NAMES} <= fact_words(caption.class_names)
    for seed in range(40):
        scene = make_scene(seed, size=32)
        assert {thing.size_name for thing in scene.objects} <= set(SIZE_NAMES)
        assert {box.class_name for box in visible_boxes(scene)} <= set(boxes.class_names)


def test_things_of_a_few_pixels_have_no_box_and_people_come_by_size() -> None:
    scenes = [make_scene(seed, size=64) for seed in range(60)]
    counts = [(len(visible_boxes(scene)), scene) for scene in scenes]
    for count, scene in counts:
        pixels = [thing.num_pixels for thing in scene.objects] + [person.num_pixels for person in scene.people]
        assert count == sum(number >= 0.001 * 64 * 64 for number in pixels)
    assert any(count < len(scene.objects) + len(scene.people) for count, scene in counts)
    crowds = [human_poses(scene) for scene in scenes if len(scene.people) > 1]
    for people in crowds:
        areas = [(pose.box[2] - pose.box[0]) * (pose.box[3] - pose.box[1]) for pose in people]
        assert areas == sorted(areas, reverse=True)
    assert crowds


def test_an_installed_view_is_found_and_loaded_when_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stare", SALIENCY, "saliency = stare:MODALITY", views=("saliency = stare:view",))
    views = default_views()
    assert views.origin("saliency") == "stare (stare:view)"
    scene = make_scene(5, size=32)
    np.testing.assert_array_equal(views["saliency"](scene, default_registry()["saliency"]), scene.instances > 0)
    assert view_module(views["saliency"]) == "stare"


def test_two_views_of_one_modality_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "gawk", SALIENCY, "saliency = gawk:MODALITY", views=("depth = gawk:view",))
    with pytest.raises(DuplicateNameError, match=r"Scene view 'depth' is brought by both gawk \(gawk:view\) and"):
        default_views()


def test_a_published_value_that_is_no_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "peek", SALIENCY, "saliency = peek:MODALITY", views=("saliency = peek:MODALITY",))
    with pytest.raises(BrokenPluginError, match="published a EdgeMap, expected a function"):
        default_views()["saliency"]


def test_a_view_added_by_hand(tmp_path: Path) -> None:
    def view(scene: Any, modality: Any) -> str:
        return f"{modality.name} of {scene.seed}"

    views = SceneViews()
    views.register("mood", view)
    assert views["mood"](make_scene(7, size=16), REGISTRY["caption"]) == "caption of 7"
    assert view_module(view) == __name__
    with pytest.raises(DuplicateNameError, match="Scene view 'mood' is brought by both"):
        views.register("mood", view)


def test_modalities_do_not_import_scenes() -> None:
    code = (
        "import sys, modalities.builtin.metadata, modalities.builtin.t5_caption, modalities.builtin.human_poses; "
        "import modalities.conformance.check, modalities.vocabulary, modalities.metrics.text; "
        "sys.exit(any(name.startswith(('modalities.scenes', 'modalities.sources')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
