"""A request is read from the words of the command line, and written as words that are read as the same request."""

from pathlib import Path

import pytest

from experiments.cli.main import parse_arguments
from experiments.cli.models.generation_request import parse_request, request_to_argv
from lightning_modules.inference.inputs import UserInput
from lightning_modules.inference.request import GenerationRequest
from lightning_modules.inference.settings import DecodingOptions, GenerationOptions
from modalities.errors import ConfigError
from networks.generation.config import DecodingScheme, GuidanceCondition
from networks.generation.schedules import Temperature, TokenSchedule


def parse(*words: str) -> GenerationRequest:
    return parse_request(parse_arguments(["generate", "--model", "m", *words]))


@pytest.mark.parametrize(
    "request_",
    [
        GenerationRequest(targets=["depth"]),
        GenerationRequest(
            sources={
                "rgb": UserInput(value="a b.png", mask=Path("hole.png")),
                "bounding_boxes": UserInput(value="[S_1] v3=990 [S_2]"),
            },
            targets=["rgb", "caption"],
            options=GenerationOptions(
                decoding=DecodingOptions(scheme=DecodingScheme.maskgit, top_k=5.0, temperature=Temperature(start=0.5)),
                by_target={"rgb": DecodingOptions(steps=3, tokens=TokenSchedule.cosine)},
                conditions=(
                    GuidanceCondition(streams=("caption",), weight=3.0),
                    GuidanceCondition(streams=("depth", "rgb"), weight=-1.0),
                ),
                accumulate_conditioning=False,
                prompt_with_sentinel=False,
            ),
            num=3,
            seed=7,
            num_points=4,
            is_ordered=False,
        ),
    ],
)
def test_the_words_of_a_request_are_read_as_that_request(request_: GenerationRequest) -> None:
    assert parse(*request_to_argv(request_)) == request_


def test_a_value_is_for_all_targets_or_for_one_and_the_later_counts() -> None:
    options = parse("--to", "rgb,depth", "--steps", "2,depth=4", "--guidance", "rgb=3,1.5").options
    assert options.decoding == DecodingOptions(steps=2, guidance=1.5)
    assert options.by_target == {"depth": DecodingOptions(steps=4)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "many"), "--steps takes a number, got 'many'"),
        (("--scheme", "rgb=best"), "--scheme takes one of maskgit, roar, got 'best'"),
        (("--tokens", "some"), "--tokens takes one of "),
        (("--conditions", "rgb"), "'rgb' is not a weighted condition"),
    ],
)
def test_a_value_of_another_form_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse("--to", "rgb", *words)
