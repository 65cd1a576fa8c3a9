"""Records to JSON and back."""

import json
from dataclasses import replace

import pytest

from modalities.layouts import Dense
from modalities.storage.serialization import from_plain, to_plain
from modalities.tokenizer_specs import ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.config import DecoderKind, TokenizerConfig

TASK = TokenizerTask(
    name="a",
    layout=Dense(channels=1, size=8, patch=4),
    tokenizer=ViTVQ(name="a", vocab_size=4, loss=ReconstructionLoss.mse),
)


def test_records_survive_the_way_through_json() -> None:
    config = replace(TokenizerConfig.nano(), decoder=DecoderKind.diffusion)
    assert from_plain(TokenizerConfig, json.loads(json.dumps(to_plain(config)))) == config
    assert from_plain(TokenizerTask, json.loads(json.dumps(to_plain(TASK)))) == TASK


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("layout", {"type": "Text", "max_tokens": 3, "chunk": 1}, r"TokenizerTask.layout is a 'Text', expected one of"),
        ("name", 3, r"TokenizerTask.name is 3, expected str"),
        ("members", "a", r"TokenizerTask.members is 'a', expected list"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(place: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(TokenizerTask, {**to_plain(TASK), place: value})


def test_missing_and_unknown_fields_are_named() -> None:
    plain = to_plain(TASK)
    plain["tokenizer"]["loss"] = "msee"
    with pytest.raises(ValueError, match=r"tokenizer.loss is 'msee', expected one of \['mse'"):
        from_plain(TokenizerTask, plain)
    del plain["tokenizer"]["loss"]
    with pytest.raises(ValueError, match=r"tokenizer: missing \['loss'\]"):
        from_plain(TokenizerTask, plain)
