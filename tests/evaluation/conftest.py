"""The small world and a model that has learnt it, made once."""

import pytest

from evaluation.config import EvaluationConfig
from evaluation.held_out import Codecs, Split
from evaluation.roundtrip import Baselines, measure_baselines
from networks.fourm import FourM
from tests.evaluation import world


@pytest.fixture(scope="session")
def codecs() -> Codecs:
    """Its tokenizers and streams."""
    return world.codecs()


@pytest.fixture(scope="session")
def training(codecs: Codecs) -> Split:
    """200 samples."""
    return world.split(codecs, 200, seed=0, noise=0.05)


@pytest.fixture(scope="session")
def held_out(codecs: Codecs) -> Split:
    """40 other samples."""
    return world.split(codecs, 40, seed=100, noise=0.05)


@pytest.fixture(scope="session")
def config() -> EvaluationConfig:
    """All of them, in uneven batches."""
    return EvaluationConfig(
        num_samples=40,
        num_sequences=24,
        batch_size=16,
        masked_inputs=6,
        num_pictures=3,
        routes={"rgb": [], "caption": ["shade"]},
        argmax=["shade"],
    )


@pytest.fixture(scope="session")
def baselines(codecs: Codecs, training: Split, held_out: Split, config: EvaluationConfig) -> Baselines:
    """Bounds and chance."""
    return measure_baselines(codecs, training, held_out, config)


@pytest.fixture(scope="session")
def learned(codecs: Codecs, training: Split) -> FourM:
    """A model that has learnt the world."""
    model = world.model_of(codecs.streams)
    world.train(model, training, steps=400)
    return model.eval()
