"""Records to JSON and back."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import pytest

from modalities.layouts import Dense, Layout
from modalities.storage.serialization import from_plain, to_plain
from modalities.tokenizer_specs import ReconstructionLoss, TokenizerSpec, TokenizerTask, ViTVQ
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
        ("layout", {"type": "text", "max_tokens": 3}, r"layout is a 'text', expected one of \['dense', 'vector'\]"),
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


@dataclass(frozen=True, kw_only=True)
class _Circle:
    type_tag: ClassVar[str] = "circle"

    radius: int = 1


@dataclass(frozen=True, kw_only=True)
class _Square:
    type_tag: ClassVar[str] = "square"

    side: int = 1


@dataclass(frozen=True, kw_only=True)
class _Untagged:
    side: int = 1


@dataclass(frozen=True, kw_only=True)
class _Shape:
    of: _Circle | _Square


@dataclass(frozen=True, kw_only=True)
class _Unclear:
    of: _Circle | _Untagged


def test_alternatives_are_told_apart_by_tags_and_no_class_name_is_written() -> None:
    plain = to_plain(_Shape(of=_Square(side=3)))
    assert plain == {"of": {"type": "square", "side": 3}}
    assert from_plain(_Shape, plain) == _Shape(of=_Square(side=3))
    with pytest.raises(ValueError, match=r"^_Shape\.of is a None, expected one of \['circle', 'square'\]$"):
        from_plain(_Shape, {"of": {"side": 3}})


def test_an_alternative_without_a_tag_is_refused() -> None:
    with pytest.raises(AssertionError, match="needs a type_tag of its own"):
        from_plain(_Unclear, to_plain(_Unclear(of=_Untagged())))


def test_every_layout_and_tokenizer_has_a_tag_of_its_own() -> None:
    for union in (Layout, TokenizerSpec):
        tags = [kind.__dict__["type_tag"] for kind in get_args(union)]
        assert len(set(tags)) == len(tags) == 4
