"""Generation against the plain algorithm: every step from the start, one sample at a time, nothing kept."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from modalities.text import EOS_ID
from networks.fourm import FourM
from networks.generation.canvas import Part
from networks.generation.generate import Generated, generate, generate_iter
from networks.generation.inputs import Given
from networks.generation.plan import Condition, Decoding, Plan, Scheme
from networks.generation.schedules import Temperature, TokenSchedule, tokens_per_step
from networks.spans import merge_spans
from tests.networks.generation.worlds import (
    GREEDY,
    S1,
    S2,
    S3,
    STREAMS,
    Seen,
    grid,
    model,
    only,
    patches_of,
    pixels,
    plain_logits,
    text,
)


def _run(
    inputs: Mapping[str, Given],
    targets: list[str],
    plan: Plan,
    seed: int = 0,
    made: FourM | None = None,
    **more: object,
) -> Mapping[str, Part]:
    generator = torch.Generator().manual_seed(seed)
    return generate(made or model(), inputs, targets, plan, generator, **more)  # type: ignore[arg-type]


def _shown_first(made: FourM, seen: Seen, target: str) -> Callable[[list[int]], Tensor]:
    """Logits of a sequence behind what one sample shows."""
    return lambda ids: plain_logits(made, seen, target, range(len(ids)), ids)


def _plain_greedy(
    logits_of: Callable[[list[int]], Tensor], end: int, limit: int, *, confined: bool = False
) -> list[int]:
    """Greedy writing, the whole sequence again for every token; the closing token included.

    Args:
        confined: True where the next sentinel alone can be written, and the end token in the last gap alone.
    """
    given, due = [S1], S2
    while len(given) <= limit:
        logits = logits_of(given)[-1]
        if confined:
            others = [mark for mark in (S1, S2, S3) if mark != due]
            logits[others + ([EOS_ID] if due != end else [])] = -torch.inf
        given.append(int(logits.argmax()))
        due += given[-1] == due
        if given[-1] == end:
            break
    return given[1:]


def _weighed(free: Tensor, *bound: tuple[float, Tensor]) -> Tensor:
    """The published formula, and what cannot be said in any branch left unsaid."""
    summed = free.clone()
    for weight, logits in bound:
        summed += weight * (logits - free)
    return torch.nan_to_num(summed, nan=-torch.inf)


def _ids(given: Given, sample: int) -> dict[int, int]:
    ids = given.column.values[sample].tolist()
    return {place: token for place, token in enumerate(ids) if given.known is None or bool(given.known[sample, place])}


@pytest.mark.parametrize("seed", range(4))
def test_a_greedy_sequence_is_that_of_the_uncached_forward(seed: int) -> None:
    made, given, image = model(seed), grid("depth", seed=seed, known=9), pixels(seed=seed)
    found = _run({"depth": given, "rgb_pixels": image}, ["caption"], Plan(default=GREEDY), made=made)["caption"].rows()
    for sample in range(3):
        seen: Seen = {"rgb_pixels": patches_of(image, sample), "depth": _ids(given, sample), "caption": [S1]}
        written = _plain_greedy(_shown_first(made, seen, "caption"), S2, 13)
        assert found[sample] == merge_spans([], [S1, *written])[:12]


@pytest.mark.parametrize("scale", [2.5, -1.0, 0.0])
def test_a_guided_greedy_sequence_weighs_two_uncached_forwards(scale: float) -> None:
    made, given = model(), grid("depth")
    plan = Plan(default=replace(GREEDY, guidance=scale))
    found = _run({"depth": given}, ["caption"], plan, made=made)["caption"].rows()
    for sample in range(3):

        def logits(ids: list[int], sample: int = sample) -> Tensor:
            free = plain_logits(made, {"caption": [S1]}, "caption", range(len(ids)), ids)
            bound = plain_logits(made, {"depth": _ids(given, sample), "caption": [S1]}, "caption", range(len(ids)), ids)
            return _weighed(free, (scale, bound))

        assert found[sample] == merge_spans([], [S1, *_plain_greedy(logits, S2, 13)])[:12]


def test_several_weighted_conditions_pull_and_push_sequences_and_grids() -> None:
    made, depth, words = model(), grid("depth"), text([[210, 211, 212], [213, 214], [215]])
    conditions = (Condition(streams=("depth",), weight=3.0), Condition(streams=("caption",), weight=-1.5))
    decoding = replace(GREEDY, conditions=conditions)
    found = _run({"depth": depth, "caption": words}, ["boxes", "code"], Plan(default=decoding, grow=False), made=made)
    for sample in range(3):
        length = int(words.column.lengths[sample])
        caption = words.column.values[sample, :length].tolist()

        def weighed(
            target: str, own: Seen, ids: list[int], sample: int = sample, caption: list[int] = caption
        ) -> Tensor:
            shown: list[Seen] = [
                {"caption": [S1], **own},
                {"depth": _ids(depth, sample), "caption": [S1], **own},
                {"caption": caption, **own},
            ]
            places, given = (range(len(ids)), ids) if target == "boxes" else (range(3), None)
            free, one, two = (plain_logits(made, seen, target, places, given) for seen in shown)
            return _weighed(free, (3.0, one), (-1.5, two))

        boxes = merge_spans([], [S1, *_plain_greedy(lambda ids: weighed("boxes", {"boxes": [S1]}, ids), S2, 11)])[:10]
        assert found["boxes"].rows()[sample] == boxes
        assert found["code"].rows()[sample] == weighed("code", {"boxes": boxes}, []).argmax(-1).tolist()


def test_growing_conditioning_counts_finished_targets_among_what_guidance_weighs() -> None:
    made, depth = model(), grid("depth")
    plans = {grow: Plan(default=replace(GREEDY, guidance=3.0), grow=grow) for grow in (True, False)}
    for grow, plan in plans.items():
        found = _run({"depth": depth}, ["code", "caption"], plan, made=made)
        for sample in range(3):
            code = dict(enumerate(found["code"].rows()[sample]))
            own: Seen = {} if grow else {"code": code}

            def logits(ids: list[int], own: Seen = own, code: dict[int, int] = code, sample: int = sample) -> Tensor:
                free = plain_logits(made, {**own, "caption": [S1]}, "caption", range(len(ids)), ids)
                every: Seen = {"depth": _ids(depth, sample), "code": code, "caption": [S1]}
                return _weighed(free, (3.0, plain_logits(made, every, "caption", range(len(ids)), ids)))

            assert found["caption"].rows()[sample] == merge_spans([], [S1, *_plain_greedy(logits, S2, 13)])[:12]


@pytest.mark.parametrize("known", [0, 5])
def test_maskgit_decides_the_surest_first_and_keeps_what_is_known(known: int) -> None:
    made, given, image = model(), grid("rgb", known=known), pixels()
    decoding = replace(GREEDY, steps=4, tokens=TokenSchedule.cosine)
    found = _run({"rgb": given, "rgb_pixels": image}, ["rgb"], Plan(default=decoding), made=made)["rgb"].ids
    for sample in range(3):
        ids = _ids(given, sample)
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
    for scheme in Scheme:
        plan = Plan(default=Decoding(scheme=scheme, steps=5))
        found = _run({"rgb": given}, ["rgb"], plan, made=made)["rgb"].ids
        assert torch.equal(found[known], given.column.values[known])
        for sample in range(3):
            alone = _run({"rgb": only(given, sample)}, ["rgb"], plan, made=made, numbers=[sample])["rgb"].ids[0]
            assert torch.equal(alone, found[sample])


def test_random_order_decides_as_many_as_the_schedule_says_in_an_order_of_each_sample() -> None:
    plan = Plan(default=Decoding(scheme=Scheme.roar, steps=5))
    orders = [[], [], []]  # type: list[list[int]]
    before = torch.zeros(3, 16, dtype=torch.bool)
    for state in generate_iter(model(), {"depth": grid("depth")}, ["rgb"], plan, torch.Generator().manual_seed(0)):
        known = state.parts["rgb"].known
        for sample, order in enumerate(orders):
            order.append(tuple((known & ~before)[sample].nonzero()[:, 0].tolist()))  # type: ignore[arg-type]
        before = known
    assert [[len(step) for step in order] for order in orders] == [[4, 3, 3, 3, 3, 0]] * 3  # type: ignore[arg-type]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_sample_gets_the_same_whatever_else_is_in_its_batch(scheme: Scheme) -> None:
    made = model()
    warm = Decoding(scheme=scheme, steps=4, top_p=0.9, guidance=1.5, temperature=Temperature.parse("onex:3:0.5:0.5"))
    inputs = {"rgb_pixels": pixels(), "caption": text([[210, S1, 212], [213, S1], [215, 216, 217, S1, 218, S2]])}
    targets = ["code", "caption", "depth", "boxes"]
    plan = Plan(default=warm, decodings={"code": replace(warm, steps=2)})
    whole = _run(inputs, targets, plan, made=made)
    for sample in range(3):
        alone = _run(
            {name: only(item, sample) for name, item in inputs.items()},
            targets,
            plan,
            made=made,
            numbers=[sample],
        )
        for target in targets:
            assert alone[target].rows()[0] == whole[target].rows()[sample]


def test_the_seed_alone_decides() -> None:
    plan = Plan(default=Decoding(steps=4))
    first, again, other = (_run({}, ["rgb", "caption"], plan, seed, num_samples=2) for seed in (0, 0, 1))
    for name in ("rgb", "caption"):
        assert first[name].rows() == again[name].rows()
        assert first[name].rows() != other[name].rows()
        assert first[name].rows()[0] != first[name].rows()[1]


def test_changing_an_intermediate_result_changes_what_follows() -> None:
    made, plan = model(), Plan(default=GREEDY)
    chained = _run({"rgb_pixels": pixels()}, ["depth", "caption"], plan, made=made)
    depth = chained["depth"].ids
    same = Given(column=replace(grid("depth").column, values=depth))
    other = Given(column=replace(grid("depth").column, values=(depth + 1) % 7))
    captions = [
        _run({"rgb_pixels": pixels(), "depth": given}, ["caption"], plan, made=made)["caption"].rows()
        for given in (same, other)
    ]
    assert captions[0] == chained["caption"].rows()
    assert captions[1] != chained["caption"].rows()


def test_gaps_are_filled_in_place() -> None:
    words, ended = [210, S1, 211, 212, S2, 213], 0
    for seed in range(24):
        made = model(seed)
        found = _run({"caption": text([words])}, ["caption"], Plan(default=GREEDY), made=made)["caption"].rows()[0]
        written = _plain_greedy(_shown_first(made, {"caption": words}, "caption"), S3, 12 - 4 + 2, confined=True)
        spans: dict[int, list[int]] = {S1: [], S2: [], S3: []}
        current, left = S1, 8
        for token in written:
            current = token if token in spans else current
            if token not in spans and left:
                spans[current].append(token)
                left -= 1
        assert found == [210, *spans[S1], 211, 212, *spans[S2], 213]
        ended += S2 in written
    assert ended


def test_what_is_known_is_never_cut_however_much_is_written() -> None:
    for seed in range(30):
        words = [210, 211, S1, 212, 213, 214, 215, S2, 216, 217]
        row = _run({"caption": text([words])}, ["caption"], Plan(), seed)["caption"].rows()[0]
        assert len(row) <= 12
        assert row[:2] == [210, 211]
        assert row[-2:] == [216, 217]
        assert any(row[at : at + 4] == [212, 213, 214, 215] for at in range(8))


def test_the_text_does_not_end_before_what_is_known() -> None:
    for seed in range(30):
        words = [210, S1, 211, S2]
        row = _run({"caption": text([words])}, ["caption"], Plan(), seed)["caption"].rows()[0]
        assert EOS_ID not in row[: row.index(211)]


def test_the_example_of_one_known_coordinate_and_three_patches() -> None:
    """What 4M is shown with: ymax of a box and three patches; then the image, its caption, and the boxes completed."""
    ymax = 229
    boxes, some = text([[S1, ymax, S2]] * 2), grid("rgb", 2, known=3)
    plan = Plan(
        decodings={"rgb": Decoding(scheme=Scheme.maskgit, steps=3, tokens=TokenSchedule.cosine)}, default=Decoding()
    )
    states: list[Generated] = list(
        generate_iter(
            model(), {"rgb": some, "boxes": boxes}, ["rgb", "caption", "boxes"], plan, torch.Generator().manual_seed(0)
        )
    )
    assert [state.target for state in states if state.is_finished] == ["rgb", "caption", "boxes"]
    assert [state.step for state in states if state.target == "rgb"] == [1, 2, 3, 3]
    last = states[-1].parts
    assert some.known is not None
    assert torch.equal(last["rgb"].ids[some.known], some.column.values[some.known])
    assert bool(last["rgb"].known.all())
    for row in last["boxes"].rows():
        assert ymax in row
        assert not {S1, S2, S3} & set(row)
        assert len(row) <= 10


def test_a_whole_stream_of_every_kind_is_generated_from_nothing() -> None:
    targets = [stream.name for stream in STREAMS if stream.is_target]
    found = _run({}, targets, Plan(default=Decoding(steps=2)), num_samples=4)
    for stream in STREAMS:
        if stream.is_target:
            part = found[stream.name]
            assert len(part.ids) == 4
            assert all(0 <= token < stream.vocab for row in part.rows() for token in row)


def test_a_sequence_that_is_known_whole_in_one_sample_stays_as_it_is() -> None:
    rows = [[210, 211], [212, S1]]
    found = _run({"caption": text(rows)}, ["caption"], Plan(default=GREEDY))["caption"].rows()
    assert found[0] == [210, 211]
    assert found[1][0] == 212
