"""Grids and chains against the plain algorithm: every step from the start, one sample at a time, nothing kept."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig, GuidanceCondition
from networks.generation.generate import generate_iter
from networks.generation.inputs import ConditionInput
from networks.generation.schedules import Temperature, TokenSchedule, tokens_per_step
from networks.masking.spans import merge_spans
from networks.streams import TokenStream
from tests.networks.generation.worlds import (
    GREEDY,
    S1,
    S2,
    STREAMS,
    VisibleInputs,
    grid,
    known_ids,
    model,
    patches_of,
    pixels,
    plain_greedy,
    plain_guidance,
    plain_logits,
    run,
    single_sample,
    text,
)


def test_several_weighted_conditions_pull_and_push_sequences_and_grids() -> None:
    made, depth, words = model(), grid("depth"), text([[210, 211, 212], [213, 214], [215]])
    conditions = (
        GuidanceCondition(streams=("depth",), weight=3.0),
        GuidanceCondition(streams=("caption",), weight=-1.5),
    )
    decoding = replace(GREEDY, conditions=conditions)
    found = run(
        {"depth": depth, "caption": words},
        ["boxes", "code"],
        GenerationConfig(default=decoding, accumulate_conditioning=False),
        made=made,
    )
    for sample in range(3):
        length = int(words.tokens.lengths[sample])
        caption = words.tokens.values[sample, :length].tolist()

        def weighed(
            target: str, own: VisibleInputs, ids: list[int], sample: int = sample, caption: list[int] = caption
        ) -> Tensor:
            shown: list[VisibleInputs] = [
                {"caption": [S1], **own},
                {"depth": known_ids(depth, sample), "caption": [S1], **own},
                {"caption": caption, **own},
            ]
            places, given = (range(len(ids)), ids) if target == "boxes" else (range(3), None)
            free, one, two = (plain_logits(made, seen, target, places, given) for seen in shown)
            return plain_guidance(free, (3.0, one), (-1.5, two))

        boxes = merge_spans([], [S1, *plain_greedy(lambda ids: weighed("boxes", {"boxes": [S1]}, ids), S2, 11)])[:10]
        assert found["boxes"].rows()[sample] == boxes
        assert found["code"].rows()[sample] == weighed("code", {"boxes": boxes}, []).argmax(-1).tolist()


def test_growing_conditioning_counts_finished_targets_among_what_guidance_weighs() -> None:
    made, depth = model(), grid("depth")
    plans = {
        accumulate_conditioning: GenerationConfig(
            default=replace(GREEDY, guidance=3.0), accumulate_conditioning=accumulate_conditioning
        )
        for accumulate_conditioning in (True, False)
    }
    for accumulate_conditioning, plan in plans.items():
        found = run({"depth": depth}, ["code", "caption"], plan, made=made)
        for sample in range(3):
            code = dict(enumerate(found["code"].rows()[sample]))
            own: VisibleInputs = {} if accumulate_conditioning else {"code": code}

            def logits(
                ids: list[int], own: VisibleInputs = own, code: dict[int, int] = code, sample: int = sample
            ) -> Tensor:
                free = plain_logits(made, {**own, "caption": [S1]}, "caption", range(len(ids)), ids)
                every: VisibleInputs = {"depth": known_ids(depth, sample), "code": code, "caption": [S1]}
                return plain_guidance(free, (3.0, plain_logits(made, every, "caption", range(len(ids)), ids)))

            assert found["caption"].rows()[sample] == merge_spans([], [S1, *plain_greedy(logits, S2, 13)])[:12]


@pytest.mark.parametrize("known", [0, 5])
def test_maskgit_decides_the_surest_first_and_keeps_what_is_known(known: int) -> None:
    made, given, image = model(), grid("rgb", known=known), pixels()
    decoding = replace(GREEDY, steps=4, tokens=TokenSchedule.cosine)
    found = run({"rgb": given, "rgb_pixels": image}, ["rgb"], GenerationConfig(default=decoding), made=made)["rgb"].ids
    for sample in range(3):
        ids = known_ids(given, sample)
        assert len(ids) == known
        for count in tokens_per_step(TokenSchedule.cosine, 4, 16 - known):
            left = [place for place in range(16) if place not in ids]
            logits = plain_logits(made, {"rgb_pixels": patches_of(image, sample), "rgb": ids}, "rgb", left)
            likely, best = logits.softmax(-1).max(-1)
            for row in likely.argsort(descending=True, stable=True)[:count].tolist():
                ids[left[row]] = int(best[row])
        assert found[sample].tolist() == [ids[place] for place in range(16)]


def test_samples_of_which_different_parts_are_known_are_generated_side_by_side() -> None:
    made, given = model(), grid("rgb")
    known = torch.zeros(3, 16, dtype=torch.bool)
    known[0, :15], known[1, 3:6] = True, True
    given = replace(given, known=known)
    for scheme in DecodingScheme:
        plan = GenerationConfig(default=DecodingConfig(scheme=scheme, steps=5))
        found = run({"rgb": given}, ["rgb"], plan, made=made)["rgb"].ids
        assert torch.equal(found[known], given.tokens.values[known])
        for sample in range(3):
            alone = run({"rgb": single_sample(given, sample)}, ["rgb"], plan, made=made, sample_ids=[sample])[
                "rgb"
            ].ids[0]
            assert torch.equal(alone, found[sample])


def test_random_order_decides_as_many_as_the_schedule_says_in_an_order_of_each_sample() -> None:
    plan = GenerationConfig(default=DecodingConfig(scheme=DecodingScheme.roar, steps=5))
    orders = [[], [], []]  # type: list[list[int]]
    before = torch.zeros(3, 16, dtype=torch.bool)
    for state in generate_iter(model(), {"depth": grid("depth")}, ["rgb"], plan, torch.Generator().manual_seed(0)):
        known = state.parts["rgb"].known
        for sample, order in enumerate(orders):
            order.append(tuple((known & ~before)[sample].nonzero()[:, 0].tolist()))  # type: ignore[arg-type]
        before = known
    assert [[len(step) for step in order] for order in orders] == [[4, 3, 3, 3, 3, 0]] * 3  # type: ignore[arg-type]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("scheme", list(DecodingScheme))
def test_a_sample_gets_the_same_whatever_else_is_in_its_batch(scheme: DecodingScheme) -> None:
    made = model()
    warm = DecodingConfig(
        scheme=scheme, steps=4, top_p=0.9, guidance=1.5, temperature=Temperature.parse("onex:3:0.5:0.5")
    )
    inputs = {"rgb_pixels": pixels(), "caption": text([[210, S1, 212], [213, S1], [215, 216, 217, S1, 218, S2]])}
    targets = ["code", "caption", "depth", "boxes"]
    plan = GenerationConfig(default=warm, decodings={"code": replace(warm, steps=2)})
    whole = run(inputs, targets, plan, made=made)
    for sample in range(3):
        alone = run(
            {name: single_sample(item, sample) for name, item in inputs.items()},
            targets,
            plan,
            made=made,
            sample_ids=[sample],
        )
        for target in targets:
            assert alone[target].rows()[0] == whole[target].rows()[sample]


def test_the_seed_alone_decides() -> None:
    plan = GenerationConfig(default=DecodingConfig(steps=4))
    first, again, other = (run({}, ["rgb", "caption"], plan, seed, num_samples=2) for seed in (0, 0, 1))
    for name in ("rgb", "caption"):
        assert first[name].rows() == again[name].rows()
        assert first[name].rows() != other[name].rows()
        assert first[name].rows()[0] != first[name].rows()[1]


def test_changing_an_intermediate_result_changes_what_follows() -> None:
    made, plan = model(), GenerationConfig(default=GREEDY)
    chained = run({"rgb_pixels": pixels()}, ["depth", "caption"], plan, made=made)
    depth = chained["depth"].ids
    same = ConditionInput(tokens=replace(grid("depth").tokens, values=depth))
    other = ConditionInput(tokens=replace(grid("depth").tokens, values=(depth + 1) % 7))
    captions = [
        run({"rgb_pixels": pixels(), "depth": given}, ["caption"], plan, made=made)["caption"].rows()
        for given in (same, other)
    ]
    assert captions[0] == chained["caption"].rows()
    assert captions[1] != chained["caption"].rows()


def test_a_whole_stream_of_every_kind_is_generated_from_nothing() -> None:
    targets = [stream.name for stream in STREAMS if stream.is_target]
    found = run({}, targets, GenerationConfig(default=DecodingConfig(steps=2)), num_samples=4)
    for stream in STREAMS:
        if isinstance(stream, TokenStream):
            part = found[stream.name]
            assert len(part.ids) == 4
            assert all(0 <= token < stream.vocab_size for row in part.rows() for token in row)
