"""One-step and greedy prediction against the whole forward pass."""

from dataclasses import replace

import pytest
import torch

from networks.batch import TokenBatch
from networks.fourm.model import FourM
from networks.generation.predict import predict_grid, predict_sequence
from tests.networks.small import INDEX, STREAMS, small_batch, small_model


def _decoder(batch: TokenBatch, stream: str, ids: list[int]) -> TokenBatch:
    """The batch with one stream's slots 0 .. len(ids) - 1 in the decoder."""
    given = torch.tensor([ids, ids])
    return replace(
        batch,
        decoder_ids=given,
        decoder_stream=torch.full_like(given, INDEX[stream]),
        decoder_position=torch.arange(len(ids)).expand(2, -1),
        decoder_visible=torch.ones_like(given, dtype=torch.bool),
        targets=torch.zeros_like(given),
    )


def test_dense_prediction_is_the_forward_pass_with_everything_hidden() -> None:
    model, batch = small_model(), small_batch()
    prediction = predict_grid(model, model.encode(batch), "depth")
    logits, _ = model.logits(_decoder(batch, "depth", [0] * 4))["depth"]
    torch.testing.assert_close(prediction.probabilities, logits.softmax(-1).unflatten(0, (2, 4)))
    assert torch.equal(prediction.ids, logits.argmax(-1).unflatten(0, (2, 4)))


def _greedy(model: FourM, batch: TokenBatch, sample: int, start: int, end: int, limit: int) -> list[int]:
    """Greedy writing with the whole forward pass at every token."""
    ids = [start]
    while len(ids) <= limit:
        logits, rows = model.logits(_decoder(batch, "caption", ids))["caption"]
        at = rows.tolist().index(sample * len(ids) + len(ids) - 1)
        ids.append(int(logits[at].argmax()))
        if ids[-1] == end:
            return ids[1:-1]
    return ids[1:]


@pytest.mark.parametrize("seed", range(4))
def test_greedy_writing_with_kept_keys_is_that_without(seed: int) -> None:
    model, batch = small_model(seed), small_batch(seed)
    limit = STREAMS[INDEX["caption"]].num_tokens
    for end in range(20):
        expected = [_greedy(model, batch, sample, 5, end, limit) for sample in range(2)]
        assert predict_sequence(model, model.encode(batch), "caption", start=5, end=end).ids == expected


def test_a_limit_cuts_the_sequence() -> None:
    model, batch = small_model(), small_batch()
    written = predict_sequence(model, model.encode(batch), "caption", start=5, end=19, max_tokens=2)
    assert all(len(ids) <= 2 for ids in written.ids)
    assert (written.log_probability <= 0).all()
