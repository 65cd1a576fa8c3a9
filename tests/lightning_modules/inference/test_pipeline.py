"""The pipeline on an untrained model: one photograph in every form, values and tokens, shapes and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from lightning_modules.inference.pipeline import EncoderFeatures, Pipeline
from lightning_modules.inference.settings import DecodingOptions, GenerationOptions
from modalities.errors import DataError, UnknownNameError
from modalities.geometry.boxes import Box
from modalities.vocabulary import EOS_ID
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.config import GenerationError
from networks.generation.predict import predict_values
from networks.generation.schedules import Temperature
from networks.masking.masker import select
from tests.experiments.small_folder import make_model_folder

TARGETS = ("depth", "semseg", "caption", "boxes", "rgb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a photograph."""
    root = tmp_path_factory.mktemp("pipeline")
    make_model_folder(root / "model")
    Image.fromarray(_photograph()).save(root / "photo.png")
    return root


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Pipeline:
    """The model, for images of 32 pixels in 4 x 4 patches."""
    torch.set_num_threads(1)
    return Pipeline.load(folder / "model", device="cpu")


def _photograph(height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """A picture wider than high, smooth and coloured."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return (np.stack([x, y, (x + y) / 2], axis=-1) * 255).astype(np.uint8)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other[name])
        else:
            assert value == other[name]


def test_one_photograph_in_every_form_gives_one_prediction(pipeline: Pipeline, folder: Path) -> None:
    levels, path = _photograph(), folder / "photo.png"
    expected = pipeline.predict({"rgb": path}, to=TARGETS)
    floats = levels.astype(np.float32) / 255
    forms = (
        str(path),
        levels,
        Image.fromarray(levels),
        torch.from_numpy(levels),
        torch.from_numpy(levels).permute(2, 0, 1),
        floats,
        torch.from_numpy(floats).permute(2, 0, 1),
    )
    for form in forms:
        assert_same(pipeline.predict({"rgb": form}, to=TARGETS), expected)


def test_the_values_have_the_forms_of_their_modalities(pipeline: Pipeline) -> None:
    out = pipeline.predict({"rgb": _photograph()}, to=TARGETS)
    assert list(out) == list(TARGETS)
    assert (out["depth"].shape, out["depth"].dtype) == ((32, 32), np.float32)
    assert (out["semseg"].shape, out["semseg"].dtype) == ((32, 32), np.uint8)
    assert (out["rgb"].shape, out["rgb"].dtype) == ((32, 32, 3), np.uint8)
    assert isinstance(out["caption"], str)
    assert isinstance(out["boxes"], tuple)


def test_a_prediction_is_what_the_evaluation_decodes(pipeline: Pipeline) -> None:
    """Against encoding by the masker's selection, as the evaluation does it."""
    picture = np.asarray(Image.fromarray(_photograph()).resize((32, 32), Image.Resampling.BILINEAR, box=(8, 0, 48, 40)))
    pixels = PaddedTokens(values=torch.from_numpy(picture.copy())[None], lengths=torch.tensor([16]))
    batch = select({"rgb_pixels": pixels}, pipeline.model.streams, inputs=["rgb_pixels"], targets=[])
    context = pipeline.model.encode(batch)
    out = pipeline.predict({"rgb": _photograph()}, to=["depth", "semseg", "caption"])
    for name, use_argmax in (("depth", False), ("semseg", True), ("caption", False)):
        expected = predict_values(pipeline.model, pipeline.codec, context, name, use_argmax=use_argmax).values[0]
        np.testing.assert_array_equal(out[name], expected)


def test_inputs_are_encoded_once_for_all_targets(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    encode = FourM.encode

    def counted(self: FourM, batch: Any) -> Any:
        calls.append(len(batch.ids))
        return encode(self, batch)

    monkeypatch.setattr(FourM, "encode", counted)
    pipeline.predict({"rgb": _photograph(), "caption": "a red ball"}, to=["depth", "semseg", "rgb", "boxes"])
    pipeline.predict({"rgb": [_photograph()] * 3}, to=["depth", "semseg"])
    assert calls == [1, 3]


def test_a_list_is_a_batch(pipeline: Pipeline) -> None:
    pictures = [_photograph(), _photograph()[:, ::-1], _photograph()[::-1]]
    texts = ["a red ball", "a person in a green shirt", ""]
    together = pipeline.predict({"rgb": pictures, "caption": texts}, to="depth")["depth"]
    for picture, text, found in zip(pictures, texts, together, strict=True):
        alone = pipeline.predict({"rgb": picture, "caption": text}, to="depth")["depth"]
        np.testing.assert_allclose(found, alone, atol=1e-4)
    assert len(pipeline.embed({"rgb": pictures})) == 3
    assert len(pipeline.tokenize({"rgb": pictures})["rgb"]) == 3
    many = pipeline.generate({"caption": texts}, to=["depth"], num=2)["depth"]
    assert [len(values) for values in many] == [2, 2, 2]


def test_a_picture_of_any_size_is_seen_whole(pipeline: Pipeline) -> None:
    """An array of 64 pixels is resized to the 32 of the model, not cut to its corner."""
    large = np.kron(_photograph(32, 32), np.ones((2, 2, 1), np.uint8))
    depth = pipeline.predict({"rgb": _photograph(32, 32)}, to="depth")["depth"]
    np.testing.assert_allclose(pipeline.predict({"rgb": large}, to="depth")["depth"], depth, atol=0.1)
    tokens = pipeline.tokenize({"rgb": large})["rgb"]
    picture = pipeline.codec.modalities["rgb"]
    rows = picture.preprocess(np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BILINEAR)))
    expected = pipeline.codec.tokenizer("rgb").encode(torch.from_numpy(rows))[0]
    np.testing.assert_array_equal(tokens, expected.numpy())


def test_generation_is_a_list_of_variations_and_its_seed_repeats_it(pipeline: Pipeline) -> None:
    # An untrained model is far too sure of itself.
    options = GenerationOptions(decoding=DecodingOptions(temperature=Temperature(start=30.0), top_p=1.0))
    inputs: dict[str, Any] = {"rgb": _photograph()}
    one, again, other = (
        pipeline.generate(inputs, to="caption", num=3, seed=seed, options=options)["caption"] for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other
    assert len(set(one)) == 3
    assert pipeline.generate(inputs, to="caption", num=1, seed=0, options=options)["caption"] == one[:1]
    pictures = pipeline.generate({"caption": "a red ball"}, to=["depth", "rgb"], num=2)
    assert [value.shape for value in pictures["rgb"]] == [(32, 32, 3)] * 2
    assert [value.shape for value in pictures["depth"]] == [(32, 32)] * 2
    assert pipeline.generate({}, to="semseg")["semseg"][0].shape == (32, 32)


def test_typed_options_reach_the_generation(pipeline: Pipeline) -> None:
    options = GenerationOptions(decoding=DecodingOptions(steps=17))
    with pytest.raises(GenerationError, match="depth has 16 tokens and cannot be generated in 17 steps"):
        pipeline.generate({}, to="depth", options=options)


def test_what_a_mask_shows_is_generated_anew(pipeline: Pipeline) -> None:
    picture, mask = _photograph(32, 32), np.zeros((32, 32), dtype=bool)
    mask[:8, :8] = True
    known = pipeline.tokenize({"rgb": picture})["rgb"]
    for form in (mask, torch.from_numpy(mask), Image.fromarray(mask)):
        found = pipeline.generate({"rgb": picture}, to="rgb", masks={"rgb": form}, num=4, seed=1)["rgb"]
        kept = pipeline.detokenize({"rgb": known})["rgb"]
        assert all(value.shape == kept.shape for value in found)
    with pytest.raises(DataError, match="The mask of rgb holds uint8 of shape"):
        pipeline.generate({"rgb": picture}, to="rgb", masks={"rgb": mask.astype(np.uint8)})
    with pytest.raises(GenerationError, match="A mask is given for depth, which is not among the inputs"):
        pipeline.generate({"rgb": picture}, to="rgb", masks={"depth": mask})


def test_tokens_come_back_as_the_round_trip_of_the_tokenizer(pipeline: Pipeline) -> None:
    boxes = (Box(box=(0.1, 0.2, 0.5, 0.6), class_name="ball"),)
    inputs = {"rgb": _photograph(), "caption": "a red ball", "boxes": boxes}
    tokens = pipeline.tokenize(inputs)
    assert {name: (ids.dtype, ids.ndim) for name, ids in tokens.items()} == {
        name: (np.dtype(np.int64), 1) for name in ("rgb", "caption", "bounding_boxes")
    }
    values = pipeline.detokenize(tokens)
    assert values["caption"] == "a red ball"
    ids = torch.from_numpy(tokens["rgb"])[None]
    np.testing.assert_array_equal(values["rgb"], pipeline.codec.decode("rgb", ids).values[0])
    (box,) = values["bounding_boxes"]
    # The picture is 56 x 40, of which the model sees the columns 8 to 48.
    np.testing.assert_allclose(box.box, (0, 0.2, (0.5 * 56 - 8) / 40, 0.6), atol=1e-3)
    both = pipeline.detokenize({"rgb": [tokens["rgb"]] * 2})["rgb"]
    np.testing.assert_array_equal(both[1], values["rgb"])


def test_features_are_the_encoders_outputs(pipeline: Pipeline) -> None:
    features = pipeline.embed({"rgb": _photograph(), "depth": np.full((40, 56), 2.0, np.float32)})
    assert isinstance(features, EncoderFeatures)
    pooled, tokens = features
    width = pipeline.model.config.shape[0]
    assert (pooled.shape, tokens.shape) == ((width,), (32, width))
    np.testing.assert_allclose(pooled, tokens.mean(axis=0), rtol=1e-5)
    # The encoder's last norm: without weights that were trained, its outputs have mean 0 and variance 1.
    np.testing.assert_allclose(tokens.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(tokens.var(axis=1), 1, atol=1e-2)
    text = {"caption": "a red ball"}
    features = pipeline.embed(text)
    assert isinstance(features, EncoderFeatures)
    assert len(features.tokens) == len(pipeline.tokenize(text)["caption"])


def test_a_file_that_is_missing_is_no_text(pipeline: Pipeline, tmp_path: Path) -> None:
    for value in (tmp_path / "gone.txt", str(tmp_path / "gone.txt"), Path("gone")):
        with pytest.raises(DataError, match="gone"):
            pipeline.predict({"caption": value}, to="depth")
    (tmp_path / "note.txt").write_text("a red ball\n")
    expected = pipeline.tokenize({"caption": "a red ball"})["caption"]
    for form in (tmp_path / "note.txt", str(tmp_path / "note.txt")):
        np.testing.assert_array_equal(pipeline.tokenize({"caption": form})["caption"], expected)
    assert len(pipeline.tokenize({"caption": "see the note.txt"})["caption"]) > 1


@pytest.mark.parametrize(
    ("inputs", "to", "error", "message"),
    [
        (
            {"rgb": np.zeros((8, 8, 4), np.uint8)},
            "depth",
            DataError,
            r"rgb has shape \(8, 8, 4\), expected",
        ),
        ({"rgb": "nowhere.png"}, "depth", DataError, "There is no file nowhere.png"),
        ({"rgb": None}, "depth", DataError, "rgb is None"),
        ({"caption": 3}, "depth", DataError, "caption is a int, expected a string"),
        (
            {"caption": "red " * 60 + "[S_1]"},
            "depth",
            DataError,
            "caption takes at most 40: a text with gaps is not cut",
        ),
        ({"sound": "a.wav"}, "depth", UnknownNameError, "No modality of this model named 'sound'"),
        ({"caption": "a"}, "dpeth", UnknownNameError, "Did you mean 'depth'"),
        ({"caption": "a"}, "t5_caption", GenerationError, "t5_caption is an input only"),
        ({"caption": "a"}, [], GenerationError, "name at least one target"),
        ({"caption": "a"}, "caption", GenerationError, "caption is both an input and a target"),
        ({"caption": ["a"], "rgb": _photograph()}, "depth", DataError, "caption a list of 1, rgb one value"),
        ({"caption": ["a"], "rgb": [_photograph()] * 2}, "depth", DataError, "lists of equal lengths"),
        ({"caption": []}, "depth", DataError, "lengths above 0"),
    ],
)
def test_what_does_not_fit_is_one_line(
    pipeline: Pipeline, inputs: dict[str, Any], to: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        pipeline.predict(inputs, to=to)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"rgb": np.zeros(15, np.int64)}, r"expected integers \(16,\)"),
        ({"rgb": np.zeros(16)}, "have type float64"),
        ({"rgb": np.full(16, 16)}, "are 16 to 16, expected 0 to 15"),
        ({"caption": np.zeros(41, np.int64)}, r"expected integers \(at most 40,\)"),
        ({"t5_caption": np.zeros(3, np.int64)}, "t5_caption has vectors, no tokens"),
        ({"sound": np.zeros(3, np.int64)}, "No modality of this model named 'sound'"),
    ],
)
def test_tokens_that_are_not_the_modalitys_are_one_line(
    pipeline: Pipeline, tokens: dict[str, Any], message: str
) -> None:
    with pytest.raises((DataError, UnknownNameError), match=message):
        pipeline.detokenize(tokens)


def test_a_value_with_more_tokens_than_the_model_takes_is_cut_and_the_log_says_so(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    box = Box(box=(0.1, 0.2, 0.5, 0.6), class_name="ball")
    ids = pipeline.tokenize({"boxes": (box,) * 30})["bounding_boxes"]
    assert (len(ids), ids[-1]) == (33, EOS_ID)  # Four coordinates and four letters each.
    assert "bounding_boxes takes at most 40: the first 4 of its 30 elements are given to the model" in caplog.text
    assert len(pipeline.detokenize({"boxes": ids})["boxes"]) == 4
    ids = pipeline.tokenize({"caption": "red " * 60})["caption"]
    assert (len(ids), ids[-1]) == (40, EOS_ID)  # Three letters each.
    assert "caption has 181 tokens, but caption takes at most 40: the first 13 of its 60 elements" in caplog.text
    with pytest.raises(DataError, match="t5_caption has vectors, no tokens"):
        pipeline.tokenize({"t5_caption": np.zeros((3, 8), np.float32)})


def test_a_pipeline_says_what_it_is(pipeline: Pipeline) -> None:
    assert repr(pipeline).startswith(
        "Pipeline(rgb, depth, semseg, sam_instances, caption, bounding_boxes, t5_caption: "
    )
    assert pipeline.targets == ["rgb", "depth", "semseg", "sam_instances", "caption", "bounding_boxes"]
    assert pipeline.notice(["depth"]) == "This model was trained on nothing: its answers on photographs are poor."
