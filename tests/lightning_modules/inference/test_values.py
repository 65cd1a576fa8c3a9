"""Inputs of one sample: files distinguished from texts, one crop for all, and what is cut or unknown is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_modules.inference.pipeline import Pipeline
from lightning_modules.inference.values import file_or_text, read_sample
from modalities.errors import DataError
from modalities.geometry.boxes import Box
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.crops import WHOLE
from modalities.spec import SequenceModality, center_crop
from modalities.vocabulary import EOS_ID
from tests.experiments.small_folder import make_model_folder

SCALE = ScaleConfig(size=32, patch=8, max_channels=8)
MODALITIES = {name: modality.scaled(SCALE) for name, modality in default_registry().items()}
WIDE = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """An untrained model of seven modalities."""
    folder = tmp_path_factory.mktemp("values")
    make_model_folder(folder / "model")
    return Pipeline.load(folder / "model", device="cpu")


def sequence(name: str) -> SequenceModality:
    modality = MODALITIES[name]
    assert isinstance(modality, SequenceModality)
    return modality


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("caption", "see the note.txt"),
        ("caption", "and/or"),
        ("caption", "a.b"),
        ("caption", "either ./ or ~"),
        ("bounding_boxes", "v0=1 v1=2 v2=3 v3=4 ball"),
        ("caption", ""),
    ],
)
def test_what_is_no_path_is_a_text(name: str, text: str) -> None:
    assert file_or_text(sequence(name), text) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bounding_boxes", "nope.json"),
        ("bounding_boxes", "/tmp/my boxes.json"),
        ("caption", "nope.txt"),
        ("caption", "photo.png"),
        ("caption", "./nope"),
        ("caption", "/nowhere/nope"),
        ("caption", "~/nope/caption"),
        ("metadata_image", "facts.NPY"),
    ],
)
def test_what_looks_like_a_file_and_is_none_is_an_error(name: str, text: str) -> None:
    with pytest.raises(DataError, match=f"^There is no file {text}, expected for {name} a file or a text"):
        file_or_text(sequence(name), text)


def test_a_file_is_found_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my boxes.json"
    path.write_text("[]")
    assert file_or_text(sequence("bounding_boxes"), str(path)) == path


def test_the_crop_is_that_of_the_image_at_any_resolution() -> None:
    depth = np.ones((20, 30), np.float32)
    masks = np.ones((1, 80, 120), bool)
    sample = read_sample(MODALITIES, {"rgb": WIDE, "depth": depth, "sam_instances": masks, "caption": "a"})
    assert sample.crop == center_crop(80, 120) == center_crop(20, 30)
    assert read_sample(MODALITIES, {"caption": "a"}).crop == WHOLE
    # 41 x 61 at a third of its size has rounded sides.
    read_sample(MODALITIES, {"rgb": np.zeros((41, 61, 3), np.uint8), "depth": np.ones((14, 20), np.float32)})


def test_images_of_different_shape_are_refused_with_their_files(tmp_path: Path) -> None:
    Image.fromarray(WIDE).save(tmp_path / "photo.png")
    np.save(tmp_path / "depth.npy", np.ones((40, 40), np.float32))
    with pytest.raises(DataError, match=r"depth\.npy is 40 x 40, but .*photo\.png is 60 x 40: all inputs of a sample"):
        read_sample(MODALITIES, {"rgb": tmp_path / "photo.png", "depth": str(tmp_path / "depth.npy")})


def test_boxes_are_cropped_with_the_image_that_they_are_given_with(pipeline: Pipeline) -> None:
    box = Box(box=(0.5, 0.25, 0.75, 0.5), class_name="ball")
    alone = pipeline.detokenize(pipeline.tokenize({"boxes": (box,)}))["bounding_boxes"]
    np.testing.assert_allclose(alone[0].box, box.box, atol=1e-3)
    with_image = pipeline.detokenize({"boxes": pipeline.tokenize({"rgb": WIDE, "boxes": (box,)})["bounding_boxes"]})
    # Of 60 columns the model sees 10 to 50.
    np.testing.assert_allclose(with_image["boxes"][0].box, (0.5, 0.25, 0.875, 0.5), atol=1e-3)
    outside = Box(box=(0.0, 0.25, 0.1, 0.5), class_name="ball")
    assert pipeline.tokenize({"rgb": WIDE, "boxes": (outside,)})["bounding_boxes"].tolist() == [EOS_ID]


def test_boxes_as_text_beside_a_wide_image_are_said_to_be_of_its_square(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.tokenize({"rgb": WIDE, "boxes": "v0=1 v1=2 v2=3 v3=4 ball", "caption": "a ball"})
    assert [record.message for record in caplog.records if "text" in record.message] == [
        "bounding_boxes is given as text: its positions are read as positions in the image's centred square."
    ]


def test_unknown_words_are_said_with_their_count(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    pipeline.tokenize({"caption": "a red 球 ball 球 🎈"})
    assert (
        "caption has 3 words that the model's vocabulary cannot spell and that it sees as [UNK]: '球', '🎈'."
        in caplog.text
    )
    caplog.clear()
    pipeline.tokenize({"caption": "a red ball"})
    assert caplog.text == ""


@pytest.mark.parametrize("text", ["a \ud800", "a \ud800 [S_1]"])
def test_a_text_that_is_none_is_one_line(pipeline: Pipeline, text: str) -> None:
    with pytest.raises(DataError, match=r"caption has the lone surrogate U\+D800"):
        pipeline.predict({"caption": text}, to="depth")


@pytest.mark.parametrize(
    ("name", "text", "elements"),
    [
        ("bounding_boxes", "v0=1 v1=2 v2=3 v3=4 a ball v0=5 v1=6 v2=7 v3=8 box", [6, 5]),
        ("human_poses", "human v0=1 v1=2 human v0=1", [3, 2]),
        ("metadata_image", "v1=9 v0=3 v1=10 v0=4", [2, 2]),
        ("sam_instances", "point v0=1 v1=2 none point v0=1 v1=2 polygon v0=1 polygon v0=2", [4, 5, 2]),
        ("color_palette", "v1=2 v0=1 v0=2 v0=3 v0=4 v0=5 v0=6", [3, 3]),
        ("caption", "a red ball", [1, 1, 1]),
    ],
)
def test_the_elements_of_a_text_are_its_parts(name: str, text: str, elements: list[int]) -> None:
    modality = sequence(name)
    found = modality.elements(text)
    assert [len(element.split()) for element in found] == elements
    assert modality.join_elements(found) == text


def test_a_shortened_palette_states_its_new_count() -> None:
    palette = sequence("color_palette")
    text = palette.join_elements(palette.elements("v1=2 v0=1 v0=2 v0=3 v0=4 v0=5 v0=6")[:1])
    parsed: Any = palette.parse(text)
    assert (parsed.value, parsed.well_formed) == (((1, 2, 3),), True)
