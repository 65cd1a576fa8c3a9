"""Sequences, whole and with gaps, against the plain algorithm: the whole sequence again for every token."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from modalities.vocabulary import EOS_ID
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig
from networks.generation.generate import GenerationStep, generate_iter
from networks.generation.schedules import TokenSchedule
from networks.masking.spans import merge_spans
from tests.networks.generation.worlds import (
    GREEDY,
    S1,
    S2,
    S3,
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
    sequence_logits,
    text,
)


@pytest.mark.parametrize("seed", range(4))
def test_a_greedy_sequence_is_that_of_the_uncached_forward(seed: int) -> None:
    made, given, image = model(seed), grid("depth", seed=seed, known=9), pixels(seed=seed)
    found = run({"depth": given, "rgb_pixels": image}, ["caption"], GenerationConfig(default=GREEDY), made=made)[
        "caption"
    ].rows()
    for sample in range(3):
        seen: VisibleInputs = {
            "rgb_pixels": patches_of(image, sample),
            "depth": known_ids(given, sample),
            "caption": [S1],
        }
        written = plain_greedy(sequence_logits(made, seen, "caption"), S2, 13)
        assert found[sample] == merge_spans([], [S1, *written])[:12]


@pytest.mark.parametrize("scale", [2.5, -1.0, 0.0])
def test_a_guided_greedy_sequence_weighs_two_uncached_forwards(scale: float) -> None:
    made, given = model(), grid("depth")
    plan = GenerationConfig(default=replace(GREEDY, guidance=scale))
    found = run({"depth": given}, ["caption"], plan, made=made)["caption"].rows()
    for sample in range(3):

        def logits(ids: list[int], sample: int = sample) -> Tensor:
            free = plain_logits(made, {"caption": [S1]}, "caption", range(len(ids)), ids)
            bound = plain_logits(
                made, {"depth": known_ids(given, sample), "caption": [S1]}, "caption", range(len(ids)), ids
            )
            return plain_guidance(free, (scale, bound))

        assert found[sample] == merge_spans([], [S1, *plain_greedy(logits, S2, 13)])[:12]


def test_gaps_are_filled_in_place() -> None:
    words, ended = [210, S1, 211, 212, S2, 213], 0
    for seed in range(24):
        made = model(seed)
        found = run({"caption": text([words])}, ["caption"], GenerationConfig(default=GREEDY), made=made)[
            "caption"
        ].rows()[0]
        written = plain_greedy(
            sequence_logits(made, {"caption": words}, "caption"), S3, 12 - 4 + 2, restrict_sentinels=True
        )
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
        row = run({"caption": text([words])}, ["caption"], GenerationConfig(), seed)["caption"].rows()[0]
        assert len(row) <= 12
        assert row[:2] == [210, 211]
        assert row[-2:] == [216, 217]
        assert any(row[at : at + 4] == [212, 213, 214, 215] for at in range(8))


def test_the_text_does_not_end_before_what_is_known() -> None:
    for seed in range(30):
        words = [210, S1, 211, S2]
        row = run({"caption": text([words])}, ["caption"], GenerationConfig(), seed)["caption"].rows()[0]
        assert EOS_ID not in row[: row.index(211)]


def test_the_example_of_one_known_coordinate_and_three_patches() -> None:
    """What 4M is shown with: ymax of a box and three patches; then the image, its caption, and the boxes completed."""
    ymax = 229
    boxes, some = text([[S1, ymax, S2]] * 2), grid("rgb", 2, known=3)
    plan = GenerationConfig(
        decodings={"rgb": DecodingConfig(scheme=DecodingScheme.maskgit, steps=3, tokens=TokenSchedule.cosine)},
        default=DecodingConfig(),
    )
    states: list[GenerationStep] = list(
        generate_iter(
            model(), {"rgb": some, "boxes": boxes}, ["rgb", "caption", "boxes"], plan, torch.Generator().manual_seed(0)
        )
    )
    assert [state.target for state in states if state.is_finished] == ["rgb", "caption", "boxes"]
    assert [state.step for state in states if state.target == "rgb"] == [1, 2, 3, 3]
    last = states[-1].parts
    assert some.known is not None
    assert torch.equal(last["rgb"].ids[some.known], some.tokens.values[some.known])
    assert bool(last["rgb"].known.all())
    for row in last["boxes"].rows():
        assert ymax in row
        assert not {S1, S2, S3} & set(row)
        assert len(row) <= 10


def test_a_sequence_that_is_known_whole_in_one_sample_stays_as_it_is() -> None:
    rows = [[210, 211], [212, S1]]
    found = run({"caption": text(rows)}, ["caption"], GenerationConfig(default=GREEDY))["caption"].rows()
    assert found[0] == [210, 211]
    assert found[1][0] == 212
