import pytest

from lightning_modules.inference.settings import (
    DecodingOptions,
    GenerationOptions,
    build_generation_plan,
    describe_plan,
)
from modalities.errors import ConfigError, UnknownNameError
from modalities.registry import default_registry
from networks.generation.config import DecodingScheme, GuidanceCondition
from networks.generation.defaults import default_generation_config
from networks.generation.schedules import Temperature, TokenSchedule
from networks.streams import GridStream, SequenceStream, Stream

STREAMS: list[Stream] = [
    *(
        GridStream(name=name, num_tokens=64, vocabulary=name, vocab_size=9, grid=8)
        for name in ("rgb", "depth", "semseg")
    ),
    SequenceStream(name="caption", num_tokens=12, vocabulary="text", vocab_size=30),
]


def test_a_plan_is_told_with_equal_settings_together() -> None:
    plan = default_generation_config(STREAMS, default_registry(), from_image=False)
    assert describe_plan(plan, STREAMS, ["depth", "semseg", "rgb", "caption"]) == (
        "depth, semseg: roar, 8 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8, guidance 2; "
        "rgb: roar, 25 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8, guidance 2; "
        "caption: temperature 0.3, top-p 0.8"
    )


def test_what_was_changed_is_told_too() -> None:
    decoding = DecodingOptions(
        scheme=DecodingScheme.maskgit, steps=1, top_k=5.0, top_p=1.0, temperature=Temperature(start=0.0)
    )
    conditions = (
        GuidanceCondition(streams=("caption", "depth"), weight=2.0),
        GuidanceCondition(streams=("depth",), weight=-0.5),
    )
    options = GenerationOptions(decoding=decoding, conditions=conditions)
    plan = build_generation_plan(options, STREAMS, ["rgb"], modalities=default_registry(), from_image=True)
    assert describe_plan(plan, STREAMS, ["rgb"]) == (
        "rgb: maskgit, 1 step, temperature 0, top-k 5, weights caption+depth +2 and depth -0.5"
    )


def test_a_target_of_a_higher_resolution_than_an_input_is_refined_from_it() -> None:
    low, high = (
        GridStream(
            name=name,
            num_tokens=side**2,
            vocabulary=name,
            vocab_size=9,
            grid=side,
            stride=8 / side,
        )
        for name, side in (("rgb_32", 4), ("rgb_64", 8))
    )
    for condition_inputs, scheme in ((["rgb_32"], DecodingScheme.maskgit), ([], DecodingScheme.roar)):
        plan = build_generation_plan(
            GenerationOptions(),
            [low, high],
            ["rgb_64"],
            modalities={name: default_registry()["rgb"] for name in ("rgb_32", "rgb_64")},
            from_image=False,
            condition_inputs=condition_inputs,
        )
        assert plan.for_stream("rgb_64").scheme is scheme


def test_options_go_for_all_targets_or_for_some() -> None:
    options = GenerationOptions(
        decoding=DecodingOptions(
            scheme=DecodingScheme.maskgit, tokens=TokenSchedule.cosine, temperature=Temperature.parse("onex:4:1:1")
        ),
        by_target={"depth": DecodingOptions(steps=4), "rgb": DecodingOptions(steps=9, guidance=-1.0)},
        accumulate_conditioning=False,
    )
    plan = build_generation_plan(options, STREAMS, ["depth", "rgb"], modalities=default_registry(), from_image=False)
    published = default_generation_config(STREAMS, default_registry(), from_image=False)
    assert (plan.for_stream("depth").steps, plan.for_stream("rgb").steps) == (4, 9)
    assert plan.for_stream("rgb").scheme is DecodingScheme.maskgit
    assert (plan.for_stream("rgb").guidance, plan.for_stream("depth").guidance) == (-1, 2)
    assert str(plan.for_stream("depth").temperature) == "onex:4:1:1"
    assert plan.for_stream("depth").top_p == published.for_stream("depth").top_p
    assert not plan.accumulate_conditioning
    assert plan.prompt_with_sentinel


def test_options_of_what_is_not_generated_and_out_of_range_are_refused() -> None:
    other = GenerationOptions(by_target={"clip": DecodingOptions(top_p=1.0)})
    with pytest.raises(UnknownNameError, match=r"No target with top_p named 'clip'"):
        build_generation_plan(other, STREAMS, ["rgb"], modalities=default_registry(), from_image=False)
    none = GenerationOptions(decoding=DecodingOptions(steps=0))
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        build_generation_plan(none, STREAMS, ["rgb"], modalities=default_registry(), from_image=False)
