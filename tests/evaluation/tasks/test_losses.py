from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.reference_levels import ReferenceLevels
from evaluation.samples import EvalSplit
from evaluation.tasks.losses import token_losses
from networks.batch import IGNORE
from networks.fourm.heads import class_indices
from networks.masking.masker import select
from networks.streams import token_stream
from tests.evaluation import world


def test_ids_beyond_the_heads_classes_count_as_in_the_models_own_loss(
    held_out: EvalSplit, reference_levels: ReferenceLevels
) -> None:
    stream = token_stream(world.find_stream(held_out.streams, "caption"))
    known = sorted(
        {int(token) for row in held_out.tokens.read(range(40), ["caption"])["caption"].values for token in row}
    )
    fewer = replace(stream, predictable=tuple(known[1:]))
    model = world.make_model([fewer if item.name == "caption" else item for item in held_out.streams])
    samples = held_out.tokens.read(range(40), ["rgb_pixels", "caption"])
    batch = select(samples, model.streams, inputs=["rgb_pixels"], targets=["caption"])
    table = torch.zeros(9, len(fewer.predictable)).log_softmax(-1)
    with torch.no_grad():
        own = model(batch).losses["caption"]
        found = token_losses(
            model,
            batch,
            model.encode(batch),
            "caption",
            replace(reference_levels.unigrams["caption"], log_probability=table),
        )
    assert found.model.mean() == pytest.approx(float(own), rel=1e-5)
    assert found.chance.mean() == pytest.approx(np.log(len(fewer.predictable)), rel=1e-5)
    assert int((class_indices(batch.targets[batch.targets != IGNORE], fewer.predictable) == 0).sum()) > 0
