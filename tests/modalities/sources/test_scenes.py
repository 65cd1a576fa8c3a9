"""Scenes as a data source: keys, values at each modality's size, views, variants, fingerprints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalities.conformance.subject import values_equal
from modalities.errors import BrokenPluginError, DataError, UnknownNameError
from modalities.labels import BOX_CLASSES
from modalities.layouts import Dense, ScaleConfig
from modalities.registry import default_registry
from modalities.scenes.scene import make_scene
from modalities.scenes.views import default_views
from modalities.scenes.world import SPLITS, split_seed
from modalities.sources import scenes as module
from modalities.sources.base import Source, module_digest, require_modalities, select_keys
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.sources.scenes import ScenesSource, scene_values
from modalities.spec import Modality
from modalities.vocabulary import GRAMMAR_KEYWORDS, PUBLISHED_TOKENS, special_tokens
from tests.modalities.scene_cases import view_of
from tests.modalities.test_registry import SALIENCY, install

SCALE = ScaleConfig(size=32, patch=8, max_channels=8)
REGISTRY = default_registry()


def small(name: str) -> Modality:
    return REGISTRY[name].scaled(SCALE)


def test_keys_are_those_of_the_splits_in_order() -> None:
    source: Source = ScenesSource()
    assert source.splits == SPLITS
    assert list(source.keys("test")[3:6]) == ["test/3", "test/4", "test/5"]
    assert select_keys(source, "train", range(2, 4)) == ["train/2", "train/3"]
    with pytest.raises(UnknownNameError, match=r"No split of scenes named 'tset'\. Did you mean 'test'"):
        source.keys("tset")


def test_a_split_that_is_too_small_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_SCENES", 10)
    with pytest.raises(DataError, match="Source 'scenes' has 10 samples in split 'train', expected 12"):
        select_keys(ScenesSource(), "train", range(8, 12))


@pytest.mark.parametrize("name", ["rgb", "depth", "caption", "bounding_boxes", "sam_instances", "clip", "t5_caption"])
def test_a_value_is_the_view_of_the_scene_with_the_key_s_seed(name: str) -> None:
    modalities = {"rgb": small("rgb"), name: small(name)}
    value = open_source(SourceConfig(), modalities).read("validation/4", modalities[name])
    assert values_equal(value, view_of(modalities[name], make_scene(split_seed("validation", 4), size=32)), 0.0)


def test_a_sample_s_scene_is_made_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []

    def counted(seed: int, *, size: int) -> Any:
        made.append((seed, size))
        return make_scene(seed, size=size)

    monkeypatch.setattr(module, "make_scene", counted)
    module._scene.cache_clear()
    modalities = {name: small(name) for name in ("rgb", "depth", "caption")}
    modalities["rgb_64"] = replace(REGISTRY["rgb"].scaled(ScaleConfig(size=64, patch=8)), name="rgb_64", base="rgb")
    source = open_source(SourceConfig(), modalities)
    for key in ("train/0", "train/1"):
        for modality in modalities.values():
            source.read(key, modality)
    assert made == [(0, 32), (0, 64), (4, 32), (4, 64)]
    module._scene.cache_clear()


def test_sequences_are_read_from_scenes_of_the_first_grid_s_size() -> None:
    assert ScenesSource.for_modalities({"caption": small("caption")}).size == 224
    assert ScenesSource.for_modalities({"caption": small("caption"), "depth": small("depth")}).size == 32


def test_a_variant_at_another_size_has_the_view_of_its_base() -> None:
    variant = replace(REGISTRY["depth"].scaled(ScaleConfig(size=64, patch=8)), name="depth_64", base="depth")
    source = ScenesSource(size=32)
    assert source.explain_missing(variant) is None
    np.testing.assert_array_equal(source.read("train/3", variant), make_scene(12, size=64).depth)


def test_a_modality_without_a_view_is_explained() -> None:
    mood, source = replace(REGISTRY["caption"], name="mood"), ScenesSource()
    with pytest.raises(DataError, match=r"Scenes do not show 'mood': publish a function .* 'fourm.scene_views'"):
        source.read("train/0", mood)
    with pytest.raises(DataError, match="or leave 'mood' out"):
        require_modalities(source, [REGISTRY["rgb"], mood])
    views = default_views()
    views.register("mood", lambda scene, _: f"scene {scene.seed}")
    source = ScenesSource(views=views)
    require_modalities(source, [REGISTRY["rgb"], mood])
    assert source.read("test/2", mood) == "scene 10"


def test_an_edited_view_changes_the_fingerprint_of_its_modality_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "glance", SALIENCY, "saliency = glance:MODALITY", views=("saliency = glance:view",))
    source, saliency = ScenesSource(), default_registry()["saliency"]
    before, depth = source.fingerprint(saliency), source.fingerprint(REGISTRY["depth"])
    assert depth == "scenes"
    assert before.startswith("scenes ")
    file = tmp_path / "glance.py"
    file.write_text(file.read_text().replace("> 0", "> 1"))
    assert source.fingerprint(saliency) != before
    assert source.fingerprint(REGISTRY["depth"]) == depth
    assert module_digest("modalities.scenes.views") == module_digest("json") == ""


def test_class_names_come_before_the_words_of_the_grammars_in_the_vocabulary() -> None:
    further = ("ball", "box", "can", "lamp", "log", "table")
    assert special_tokens(ScenesSource.class_names) == (*PUBLISHED_TOKENS, *further, *GRAMMAR_KEYWORDS)
    assert BOX_CLASSES[80:] == further


def test_sample_values_are_of_the_modality_s_own_size() -> None:
    values = scene_values(REGISTRY["depth"].scaled(ScaleConfig(size=48, patch=8)))
    assert [value.shape for value in values] == [(48, 48)] * 3
    assert isinstance(small("depth").layout, Dense)
    assert scene_values(REGISTRY["caption"], seeds=(5, 6)) == [make_scene(seed, size=64).caption for seed in (5, 6)]


def test_a_view_that_gives_two_values_of_one_scene_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(BrokenPluginError, match="The view of 'caption' gave two values of the scene with seed 5"):
        scene_values(REGISTRY["caption"], lambda scene, _: f"{scene.seed} {rng.random()}")
