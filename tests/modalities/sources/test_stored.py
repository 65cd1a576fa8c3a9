"""What all stored sources share: reading by kind, one crop a sample, texts drawn among, messages with an origin."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.corrections import collect_corrections
from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.crops import CropConfig, draw_crop
from modalities.sources.stored import Stored, StoredBytes, StoredFile, StoredValue
from modalities.spec import Modality, center_crop
from tests.modalities.sources.memory import MemorySource

SCALE = ScaleConfig(size=32, patch=8, max_channels=8)
NAMES = ("caption", "rgb", "depth", "bounding_boxes")
MODALITIES: dict[str, Modality] = {name: default_registry()[name].scaled(SCALE) for name in NAMES}
RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def _png(levels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "png")
    return file.getvalue()


def _source(**stored: Stored) -> MemorySource:
    return MemorySource({"one": stored}, MODALITIES)


def test_the_three_ways_of_storing_give_one_value(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(_png(RGB))
    expected = MODALITIES["rgb"].transform(RGB, center_crop(40, 60))
    for stored in (
        StoredFile(path=tmp_path / "one.png"),
        StoredBytes(data=_png(RGB), suffix=".png", origin="a.tar: one.png"),
        StoredValue(value=RGB, origin="row 0"),
    ):
        np.testing.assert_array_equal(_source(rgb=stored).read("one", MODALITIES["rgb"]), expected)


def test_a_missing_value_is_none_and_needs_no_image() -> None:
    source = _source(caption=StoredValue(value="a dog", origin="row 0"))
    assert source.read("one", MODALITIES["rgb"]) is None
    assert source.read("one", MODALITIES["caption"]) == "a dog"


def test_messages_name_the_origin_and_no_temporary_file(tmp_path: Path) -> None:
    stored = StoredBytes(data=_png(RGB)[:50], suffix=".png", origin="a.tar: one.png")
    with pytest.raises(DataError, match=r"^a\.tar: one\.png is not a whole image"):
        _source(rgb=stored).read("one", MODALITIES["rgb"])
    with pytest.raises(DataError, match=r"^row 7: .*rgb is a str"):
        _source(rgb=StoredValue(value="red", origin="row 7")).read("one", MODALITIES["rgb"])


def test_all_values_of_a_sample_are_shown_in_one_crop() -> None:
    depth = np.arange(20 * 30, dtype=np.float32).reshape(20, 30) / 100 + 1
    source = _source(
        rgb=StoredValue(value=RGB, origin="rgb"), depth=StoredValue(value=depth, origin="depth")
    ).with_crops(CropConfig(count=6, min_area=0.3, seed=3))
    keys = source.keys("train")
    assert list(keys) == ["one", *(f"one#crop{number}" for number in range(1, 6))]
    assert list(source.keys("test")) == ["one"]
    for number, key in enumerate(keys):
        crop = draw_crop("one", number, 40, 60, source.crops)
        for name, value in (("rgb", RGB), ("depth", depth)):
            np.testing.assert_array_equal(
                source.read(key, MODALITIES[name]), MODALITIES[name].transform(value, crop), err_msg=f"{name} {key}"
            )


def test_texts_are_drawn_among_by_crop_and_none_is_left_out(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(3)]
    (tmp_path / "one.txt").write_text("text 0\n\n  text 1 \ntext 2\n")
    (tmp_path / "one.json").write_text('["text 0", "text 1", "", "text 2"]')
    (tmp_path / "one.jsonl").write_text('"text 0"\n["text 1", "text 2"]\n')
    forms: list[Stored] = [StoredFile(path=tmp_path / f"one.{suffix}") for suffix in ("txt", "json", "jsonl")]
    drawn = set()
    for form in (*forms, StoredValue(value=texts, origin="row 0")):
        source = _source(caption=form).with_crops(CropConfig(count=40, flip=0))
        drawn.add(tuple(source.read(key, MODALITIES["caption"]) for key in source.keys("train")))
    assert len(drawn) == 1, "each form gives the same texts"
    assert set(drawn.pop()) == set(texts)


def test_an_empty_text_is_missing_and_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    assert _source(caption=StoredFile(path=tmp_path / "empty.txt")).read("one", MODALITIES["caption"]) is None
    (tmp_path / "wrong.json").write_text('{"caption": "a dog"}')
    with pytest.raises(DataError, match=r"wrong\.json holds a dict, expected a string or a list of strings"):
        _source(caption=StoredFile(path=tmp_path / "wrong.json")).read("one", MODALITIES["caption"])
    (tmp_path / "one.doc").write_text("a dog")
    with pytest.raises(DataError, match=r"one\.doc has type '\.doc', expected one of \.txt, \.json, \.jsonl"):
        _source(caption=StoredFile(path=tmp_path / "one.doc")).read("one", MODALITIES["caption"])


@pytest.mark.parametrize(
    ("height", "width", "fits"), [(20, 30, True), (13, 20, True), (30, 20, False), (20, 20, False)]
)
def test_maps_of_another_aspect_ratio_than_the_image_are_refused(height: int, width: int, fits: bool) -> None:
    depth = StoredValue(value=np.ones((height, width), np.float32), origin="depth")
    source = _source(rgb=StoredValue(value=RGB, origin="rgb"), depth=depth)
    if fits:
        assert np.asarray(source.read("one", MODALITIES["depth"])).shape == (32, 32)
        return
    with pytest.raises(DataError, match=f"'one' of memory: depth has {width} x {height} pixels, rgb 60 x 40: expected"):
        source.read("one", MODALITIES["depth"])


def test_the_fingerprint_knows_the_crops_and_options_are_checked() -> None:
    source = _source(rgb=StoredValue(value=RGB, origin="rgb"))
    rgb = MODALITIES["rgb"]
    assert source.fingerprint(rgb) == _source(rgb=StoredValue(value=RGB, origin="rgb")).fingerprint(rgb)
    assert source.fingerprint(rgb) != source.with_crops(CropConfig(count=2)).fingerprint(rgb)
    named = MemorySource({}, MODALITIES, license="CC-BY-4.0", description="photographs of cats")
    assert (named.license, named.description, source.license) == ("CC-BY-4.0", "photographs of cats", "unknown")
    with pytest.raises(
        UnknownNameError, match=r"No option of the source memory named 'licence'\. Did you mean 'license'"
    ):
        MemorySource({}, MODALITIES, licence="MIT")


def test_class_names_are_those_of_maps_and_boxes_but_not_of_texts() -> None:
    assert set(_source().class_names) == set(getattr(MODALITIES["bounding_boxes"], "class_names"))  # noqa: B009
    assert MemorySource({}, {"caption": MODALITIES["caption"]}).class_names == ()


def test_transparent_pixels_show_the_colour_of_the_settings() -> None:
    levels = np.zeros((32, 32, 4), np.uint8)
    levels[:16] = [10, 20, 30, 255]
    stored: dict[str, Stored] = {"rgb": StoredBytes(data=_png(levels), suffix=".png", origin="a.tar: one.png")}
    fingerprints = set()
    for background, expected in ((None, (255,) * 3), ("#102030", (16, 32, 48)), ([1, 2, 3], (1, 2, 3))):
        options: dict[str, object] = {} if background is None else {"background": background}
        source = MemorySource({"one": stored}, MODALITIES, **options)
        found = source.read("one", MODALITIES["rgb"])
        assert found is not None
        assert (tuple(found[0, 0]), tuple(found[31, 31])) == ((10, 20, 30), expected)
        fingerprints.add(source.fingerprint(MODALITIES["rgb"]))
    assert len(fingerprints) == 3
    with pytest.raises(ConfigError, match="'whitish' is no colour: expected a name, #rrggbb, or three levels"):
        MemorySource({"one": stored}, MODALITIES, background="whitish")


def test_what_a_value_is_changed_by_is_said_with_its_origin() -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    file = io.BytesIO()
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:])
    with collect_corrections() as lines:
        _source(rgb=StoredBytes(data=file.getvalue(), suffix=".gif", origin="a.tar: one.gif")).read(
            "one", MODALITIES["rgb"]
        )
    assert lines == ["a.tar: one.gif has 2 frames: the first is taken."]


def test_a_text_that_is_none_is_refused_with_its_origin() -> None:
    stored = StoredBytes(data=b'["a \\ud800"]', suffix=".json", origin="a.tar: one.json")
    with pytest.raises(DataError, match=r"^a\.tar: one\.json has the lone surrogate U\+D800 at character 3"):
        _source(caption=stored).read("one", MODALITIES["caption"])


def test_a_version_follows_the_data_and_the_background() -> None:
    stored: Stored = StoredValue(value=RGB, origin="row 0")
    versions = {
        MemorySource({key: {"rgb": stored}}, MODALITIES, background=color).version(key, MODALITIES["rgb"])
        for key in ("one", "two")
        for color in ("white", "black")
    }
    assert len(versions) == 4
    assert _source(rgb=stored).version("one", MODALITIES["rgb"]) in versions


def test_whole_values_are_read_with_the_background() -> None:
    clear = np.zeros((40, 60, 4), np.uint8)
    source = MemorySource(
        {"one": {"rgb": StoredBytes(data=_png(clear), suffix=".png", origin="a.png")}}, MODALITIES, background="#0000ff"
    )
    (value,) = source.read_whole("one", MODALITIES["rgb"])
    assert value.shape == (40, 60, 3)
    assert (value == (0, 0, 255)).all()
    assert source.read_whole("one", MODALITIES["depth"]) == []
