"""Modalities with the classes of other data, from a file of names to a model's record of them."""

from pathlib import Path

import numpy as np
import pytest

from modalities.errors import ConfigError, DataError
from modalities.layouts import Dense, ScaleConfig
from modalities.registry import default_registry
from modalities.spec import Provenance
from modalities.storage.serialization import from_plain, to_plain
from modalities.variants import (
    ModalityVariant,
    class_names_of,
    declared_classes,
    read_class_names,
    with_classes,
    with_labels_of_experts,
)

SCALE = ScaleConfig(size=32, patch=8)
NAMES = ("road", "water", "field")


def test_a_class_map_takes_the_classes_of_other_data() -> None:
    changed = with_classes(default_registry()["semseg"].scaled(SCALE), NAMES)
    assert class_names_of(changed) == NAMES
    assert isinstance(changed.layout, Dense)
    assert (changed.layout.channels, changed.layout.size) == (3, 32)
    value = np.array([[0, 1], [2, 255]], np.uint8)
    assert changed.preprocess(value).shape == (1, 2, 2)
    assert changed.constant_baseline([value]).max() < 3


def test_boxes_and_captions_take_classes_and_pixels_do_not() -> None:
    for name in ("bounding_boxes", "caption"):
        assert class_names_of(with_classes(default_registry()[name], NAMES)) == NAMES
    with pytest.raises(ConfigError, match=r"Values of rgb have no classes: leave it out of data\.classes"):
        with_classes(default_registry()["rgb"], NAMES)
    with pytest.raises(ConfigError, match="semseg takes 2 to 256 classes, got 1"):
        with_classes(default_registry()["semseg"], ("road",))


def test_names_are_read_from_the_data_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "classes.txt").write_text("road \nwater\nBäume\n\n", encoding="utf-8")
    assert read_class_names("classes.txt", str(tmp_path / "data")) == ("road", "water", "Bäume")
    monkeypatch.chdir(tmp_path / "data")
    assert read_class_names("classes.txt", "elsewhere") == ("road", "water", "Bäume")
    for text, message in (
        ("", "line 1 is empty"),
        ("a\n\nb", "line 2 is empty"),
        ("a\nb\na\n", "'a' in lines 1 and 3"),
    ):
        (tmp_path / "data" / "classes.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            read_class_names("classes.txt", "")
    with pytest.raises(DataError, match=r"There is no file .*none\.txt"):
        read_class_names("none.txt", "data")


def test_a_models_folder_keeps_the_classes() -> None:
    registry = default_registry()
    item = with_classes(registry["semseg"].scaled(SCALE), NAMES)
    variant = ModalityVariant(base="semseg", layout=item.layout, tokenizer=item.tokenizer, classes=NAMES)
    read = from_plain(ModalityVariant, to_plain(variant)).build_modality("semseg", registry)
    assert (class_names_of(read), read.layout) == (NAMES, item.layout)
    older = {key: value for key, value in to_plain(variant).items() if key != "classes"}
    assert from_plain(ModalityVariant, older).classes == ()


def test_labels_of_other_data_are_no_stand_ins() -> None:
    clip = default_registry()["clip"]
    assert clip.provenance is Provenance.proxy
    changed = with_labels_of_experts(clip)
    assert changed.provenance is Provenance.expert
    assert "proxy" not in changed.title
    assert with_labels_of_experts(default_registry()["rgb"]) == default_registry()["rgb"]


def test_words_of_texts_are_no_declared_classes() -> None:
    registry = default_registry()
    caption = with_classes(registry["caption"], NAMES)
    assert (class_names_of(caption), declared_classes(caption)) == (NAMES, ())
    for name in ("semseg", "bounding_boxes"):
        assert declared_classes(with_classes(registry[name], NAMES)) == NAMES
    assert declared_classes(registry["rgb"]) == ()
