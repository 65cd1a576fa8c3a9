"""The small world and a model that has learnt it, made once."""

import pytest

from evaluation.config import EvaluationConfig
from evaluation.reference_levels import ReferenceLevels
from evaluation.references.measure import measure_reference_levels
from evaluation.samples import EvalSplit
from evaluation.tasks.base import ModelRef, TaskContext
from evaluation.tasks.cross_entropy import common_inputs
from networks.fourm.model import FourM
from networks.tokenizers.codec import Codec
from tests.evaluation import world


@pytest.fixture(scope="session")
def codec() -> Codec:
    """Its tokenizers and streams."""
    return world.codec()


@pytest.fixture(scope="session")
def training(codec: Codec) -> EvalSplit:
    """200 samples."""
    return world.make_split(codec, 200, seed=0, noise=0.05)


@pytest.fixture(scope="session")
def held_out(codec: Codec) -> EvalSplit:
    """40 other samples."""
    return world.make_split(codec, 40, seed=100, noise=0.05)


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
def reference_levels(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> ReferenceLevels:
    """Bounds and chance."""
    return measure_reference_levels(codec, training, held_out, config)


@pytest.fixture(scope="session")
def learned(codec: Codec, training: EvalSplit) -> FourM:
    """A model that has learnt the world."""
    model = world.make_model(training.streams)
    world.train_model(model, training, steps=400)
    return model.eval()


@pytest.fixture(scope="session")
def context(
    codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM
) -> TaskContext:
    """The learned model and everything it is measured on."""
    return TaskContext(
        model=learned,
        codec=codec,
        held_out=held_out,
        reference_levels=reference_levels,
        common_inputs=common_inputs({"all": held_out.streams}),
        model_ref=ModelRef(arm="all", seed=3),
        config=config,
    )
