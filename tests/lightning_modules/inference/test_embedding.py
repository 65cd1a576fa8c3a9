"""Embeddings by an untrained model: against the pipeline's encoder outputs and predictions, and with missing values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.checkpoints.model import WEIGHTS_FILE, file_fingerprint
from lightning_modules.inference.embedding import FourMEmbedder, SampleValues, load_embedder
from lightning_modules.inference.pipeline import EncoderFeatures, Pipeline
from lightning_modules.inference.settings import DecodingOptions, GenerationOptions
from modalities.errors import ConfigError, UnknownNameError
from modalities.registry import default_registry
from modalities.sources.scenes import ScenesSource
from networks.generation.schedules import Temperature
from tests.experiments.small_folder import NAMES, SCALE, TEXTS, make_model_folder

WITH_FEATURE = (*NAMES, "dinov2_global")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a global feature among its targets."""
    torch.set_num_threads(1)
    return make_model_folder(tmp_path_factory.mktemp("embedding") / "model", WITH_FEATURE)


@pytest.fixture(scope="module")
def samples() -> list[SampleValues]:
    """Four scenes; the second lacks depth, the third lacks everything."""
    modalities = {name: default_registry()[name].scaled(SCALE) for name in ("rgb", "depth", "caption")}
    source = ScenesSource.for_modalities(modalities)
    found: list[dict[str, Any]] = [
        {name: source.read(key, item) for name, item in modalities.items()} for key in source.keys("test")[:4]
    ]
    for number, sample in enumerate(found):
        sample["caption"] = TEXTS[number % 2]
    found[1]["depth"] = None
    found[2] = dict.fromkeys(modalities)
    return list(found)


def test_pooled_and_token_outputs_are_those_of_the_pipeline(folder: Path, samples: list[SampleValues]) -> None:
    pipeline = Pipeline.load(folder, device="cpu")
    found = load_embedder(folder, ["rgb", "depth", "caption"], device="cpu").embed(samples)
    for number in (0, 1, 3):
        given = {name: value for name, value in samples[number].items() if value is not None}
        expected = pipeline.embed(given)
        result = found[number]
        assert result is not None
        assert result.tokens is not None
        assert isinstance(expected, EncoderFeatures)
        np.testing.assert_allclose(result.vector, expected.pooled, atol=1e-5)
        np.testing.assert_allclose(result.tokens, expected.tokens, atol=1e-5)
    assert found[2] is None


def test_a_predicted_feature_is_the_pipelines_prediction(folder: Path, samples: list[SampleValues]) -> None:
    pipeline = Pipeline.load(folder, device="cpu")
    embedder = load_embedder(folder, ["caption"], space="dinov2_global", device="cpu")
    found = embedder.embed(samples)
    assert embedder.width == SCALE.max_channels
    greedy = GenerationOptions(decoding=DecodingOptions(steps=1, temperature=Temperature(start=0.0), guidance=1.0))
    for number in (0, 1, 3):
        given = {"caption": samples[number]["caption"]}
        (expected,) = pipeline.generate(given, to="dinov2_global", options=greedy)["dinov2_global"]
        result = found[number]
        assert result is not None
        assert result.tokens is None
        np.testing.assert_allclose(result.vector, expected, atol=1e-5)
    assert found[2] is None


def test_batches_do_not_change_embeddings(folder: Path, samples: list[SampleValues]) -> None:
    embedder = load_embedder(folder, ["rgb", "caption"], device="cpu")
    together = embedder.embed(samples)
    alone = [item for number in range(4) for item in embedder.embed(samples[number : number + 1], first=number)]
    for one, other in zip(together, alone, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_allclose(one.vector, other.vector, atol=1e-5)


def test_the_fingerprint_is_that_of_the_weights(folder: Path) -> None:
    assert load_embedder(folder, ["rgb"], device="cpu").fingerprint == file_fingerprint(folder / WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("inputs", "space", "error", "message"),
    [
        (["rbg"], "encoder", UnknownNameError, "No modality of this model named 'rbg'"),
        ([], "encoder", ConfigError, "nothing to embed"),
        (["rgb"], "dinov2_globl", UnknownNameError, "Did you mean 'dinov2_global'"),
        (["rgb"], "depth", UnknownNameError, "No embedding space of this model named 'depth'"),
        (["dinov2_global", "rgb"], "dinov2_global", ConfigError, "leave it out of the inputs"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    folder: Path, inputs: list[str], space: str, error: type[Exception], message: str
) -> None:
    pipeline = Pipeline.load(folder, device="cpu")
    with pytest.raises(error, match=message):
        FourMEmbedder(pipeline, "x", inputs, space)
