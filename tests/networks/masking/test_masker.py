"""Masked batches, read back token by token."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch

from benchmarks.samples import EOS_ID, published_streams, random_samples
from modalities.errors import ConfigError, UnknownNameError
from modalities.layouts import KeepScheme
from modalities.mixtures import MaskingPreset, Mixture
from modalities.vocabulary import SENTINEL_0_ID
from networks.batch import IGNORE, PaddedTokens, Samples, TokenBatch
from networks.fourm.config import FourMConfig
from networks.fourm.model import FourM
from networks.masking.masker import Masker, select, select_partially
from networks.masking.mixtures import MaskingConfig
from networks.masking.spans import merge_spans
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, TokenStream
from tests.networks.small import small_config

STREAMS = (
    PixelStream(name="rgb_pixels", num_tokens=9, channels=12, grid=3, patch=2),
    GridStream(name="rgb", num_tokens=9, vocabulary="rgb", vocab_size=50, grid=3),
    GridStream(name="depth", num_tokens=9, vocabulary="depth", vocab_size=60, grid=3),
    GridStream(name="code", num_tokens=4, vocabulary="code", vocab_size=70),
    SequenceStream(name="caption", num_tokens=14, vocabulary="text", vocab_size=600),
    SequenceStream(
        name="palette",
        num_tokens=7,
        vocabulary="text",
        vocab_size=600,
        keep=KeepScheme.binary,
    ),
    SequenceStream(name="metadata", num_tokens=9, vocabulary="text", vocab_size=600, chunk=2),
    EmbeddingStream(name="t5", num_tokens=5, channels=3),
)
INDEX = {stream.name: number for number, stream in enumerate(STREAMS)}
WIDE = MaskingConfig(num_inputs=24, num_targets=28, mixtures=[Mixture(input_alpha=0.7, target_alpha=0.7)])


def masked(
    config: MaskingConfig = WIDE, b: int = 64, seed: int = 0, missing: float = 0.2
) -> tuple[Samples, TokenBatch]:
    """Samples and a batch drawn from them."""
    samples = random_samples(STREAMS, b, seed, missing=missing)
    return samples, Masker(STREAMS, config)(samples, torch.Generator().manual_seed(seed))


def is_sentinel(token: int) -> bool:
    """True for the ids that masking puts in."""
    return SENTINEL_0_ID <= token < SENTINEL_0_ID + 200


def seen(batch: TokenBatch, sample: int) -> dict[str, list[tuple[int, int, int]]]:
    """What the encoder sees of one sample: (position, id, slot) by stream."""
    found = defaultdict(list)
    for slot in range(batch.ids.shape[1]):
        if batch.visible[sample, slot]:
            name = STREAMS[int(batch.stream[sample, slot])].name
            found[name].append((int(batch.position[sample, slot]), int(batch.ids[sample, slot]), slot))
    return found


def asked(batch: TokenBatch, sample: int) -> dict[str, list[tuple[int, int, int]]]:
    """What the decoder is asked of one sample: (position, given, target) by stream."""
    found = defaultdict(list)
    for slot in range(batch.targets.shape[1]):
        if batch.decoder_visible[sample, slot]:
            name = STREAMS[int(batch.decoder_stream[sample, slot])].name
            where = int(batch.decoder_position[sample, slot])
            found[name].append((where, int(batch.decoder_ids[sample, slot]), int(batch.targets[sample, slot])))
    return found


def sequence(samples: Samples, name: str, sample: int) -> list[int]:
    """One sample's tokens."""
    column = samples[name]
    ids: list[int] = column.values[sample, : int(column.lengths[sample])].tolist()
    return ids


def test_grids_show_and_ask_for_their_own_tokens_and_never_the_same_place() -> None:
    samples, batch = masked()
    for sample in range(64):
        given, wanted = seen(batch, sample), asked(batch, sample)
        for name in ("rgb", "depth", "code"):
            tokens = samples[name].values[sample]
            assert all(token == tokens[place] for place, token, _ in given[name])
            assert all(token == tokens[place] and known == 0 for place, known, token in wanted[name])
            shown, hidden = [place for place, *_ in given[name]], [place for place, *_ in wanted[name]]
            assert len({*shown, *hidden}) == len(shown) + len(hidden)
            assert hidden == sorted(hidden)


def test_each_place_of_a_grid_is_as_likely_as_any_other() -> None:
    _, batch = masked(b=4000, missing=0.0)
    for stream, position, there in (
        (batch.stream, batch.position, batch.visible),
        (batch.decoder_stream, batch.decoder_position, batch.decoder_visible),
    ):
        counts = torch.bincount(position[there & (stream == INDEX["depth"])], minlength=9).double()
        torch.testing.assert_close(counts / counts.mean(), torch.ones(9).double(), atol=0.06, rtol=0)


@pytest.mark.parametrize("name", ["caption", "palette", "metadata"])
def test_what_is_seen_and_what_is_asked_of_a_sequence_merge_into_the_sequence(name: str) -> None:
    config = MaskingConfig(num_inputs=40, num_targets=60, mixtures=[Mixture(input_alpha=9.0, target_alpha=9.0)])
    samples, batch = masked(config, b=200, missing=0.0)
    merged = 0
    for sample in range(200):
        given, wanted = seen(batch, sample)[name], asked(batch, sample)[name]
        assert [place for place, *_ in given] == list(range(len(given)))
        assert [place for place, *_ in wanted] == list(range(len(wanted)))
        ids = [token for _, token, _ in given]
        assert not wanted or is_sentinel(wanted[0][1])
        assert all(before[2] == after[1] for before, after in itertools.pairwise(wanted))
        if not wanted or wanted[0][1] != SENTINEL_0_ID + 1 or not is_sentinel(wanted[-1][2]):
            continue
        if wanted[-1][2] - SENTINEL_0_ID - 1 != max(1, sum(map(is_sentinel, ids))):
            continue
        found = merge_spans(ids, [wanted[0][1], *(token for *_, token in wanted)])
        whole = sequence(samples, name, sample)
        if name == "metadata":
            assert (found[-1], whole[-1]) == (EOS_ID, EOS_ID)
            pairs = [sorted(zip(part[:-1:2], part[1:-1:2], strict=True)) for part in (found, whole)]
            assert pairs[0] == pairs[1]
        else:
            assert found == whole
        merged += 1
    assert merged > 20


def test_a_sequence_without_input_budget_is_asked_for_whole_and_shows_nothing() -> None:
    mixture = Mixture(input_overrides={"caption": 0.0}, target_alpha=0.0, target_overrides={"caption": 1.0})
    samples, batch = masked(MaskingConfig(num_inputs=8, num_targets=40, mixtures=[mixture]), missing=0.0)
    for sample in range(64):
        assert not seen(batch, sample)["caption"]
        wanted = asked(batch, sample)["caption"]
        whole = [SENTINEL_0_ID + 1, *sequence(samples, "caption", sample), SENTINEL_0_ID + 2]
        # A stream's budget never exceeds its longest sequence, so the end may be cut.
        assert [wanted[0][1], *(token for *_, token in wanted)] == whole[: len(wanted) + 1]
        assert len(wanted) + 1 == min(len(whole), 14)


def test_kept_whole_and_kept_all_or_nothing() -> None:
    mixture = Mixture(
        input_alpha=0.0,
        input_overrides={"caption": 1000.0, "palette": 1000.0},
        keep_overrides={"caption": KeepScheme.all},
    )
    samples, batch = masked(MaskingConfig(num_inputs=28, num_targets=8, mixtures=[mixture]), b=300, missing=0.0)
    whole = 0
    for sample in range(300):
        given = seen(batch, sample)
        caption = sequence(samples, "caption", sample)
        if len(caption) <= 13:
            assert [token for _, token, _ in given["caption"]] == caption
        palette = [token for _, token, _ in given["palette"]]
        assert palette in ([SENTINEL_0_ID + 1], sequence(samples, "palette", sample))
        whole += palette != [SENTINEL_0_ID + 1]
    assert whole / 300 == pytest.approx(0.5, abs=0.1)


def test_patches_are_cut_row_by_row_and_scaled() -> None:
    samples, batch = masked()
    rows = batch.rows["rgb_pixels"]
    assert rows.values.dtype is torch.float32
    assert len(rows.slots) > 50
    for values, slot in zip(rows.values, rows.slots, strict=True):
        sample, place = divmod(int(slot), 24)
        assert batch.stream[sample, place] == INDEX["rgb_pixels"]
        y, x = divmod(int(batch.position[sample, place]), 3)
        patch = samples["rgb_pixels"].values[sample, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        torch.testing.assert_close(values, patch.flatten().float() / 127.5 - 1)
    assert (batch.stream[batch.visible] == INDEX["rgb_pixels"]).sum() == len(rows.slots)


def test_vectors_stay_in_order_and_hidden_runs_become_one_zero_vector() -> None:
    mixture = Mixture(input_alpha=0.1, input_overrides={"t5": 5.0})
    samples, batch = masked(MaskingConfig(num_inputs=12, num_targets=8, mixtures=[mixture]), missing=0.0)
    rows = batch.rows["t5"]
    found: dict[int, list[torch.Tensor]] = defaultdict(list)
    for values, slot in zip(rows.values, rows.slots.tolist(), strict=True):
        sample, place = divmod(slot, 12)
        assert batch.position[sample, place] == len(found[sample])
        found[sample].append(values)
    runs = 0
    for sample, vectors in found.items():
        whole = samples["t5"].values[sample, : int(samples["t5"].lengths[sample])].float()
        place, zero_before = 0, False
        for vector in vectors:
            if bool((vector == 0).all()):
                assert not zero_before
                zero_before, runs = True, runs + 1
                continue
            matches = [at for at in range(place, len(whole)) if torch.equal(whole[at], vector)]
            assert matches
            assert (matches[0] > place) == zero_before
            place, zero_before = matches[0] + 1, False
        assert (place < len(whole)) == zero_before
    assert runs > 10


def test_padding_is_at_the_end_and_says_so() -> None:
    _, batch = masked()
    for visible in (batch.visible, batch.decoder_visible):
        assert (visible.int().diff(dim=1) <= 0).all()
        assert not visible.all()
    assert (batch.ids[~batch.visible] == 0).all()
    assert (batch.targets[~batch.decoder_visible] == IGNORE).all()
    assert (batch.targets[batch.decoder_visible] >= 0).all()


def test_streams_lie_side_by_side_in_the_decoder() -> None:
    _, batch = masked()
    for sample in range(64):
        stream = batch.decoder_stream[sample][batch.decoder_visible[sample]]
        assert (stream.diff() >= 0).all()


def test_a_missing_modality_has_no_slot() -> None:
    samples, batch = masked(missing=0.5)
    for sample in range(64):
        for name in {*seen(batch, sample), *asked(batch, sample)}:
            if seen(batch, sample)[name] or asked(batch, sample)[name]:
                assert samples[name].lengths[sample] > 0


def test_a_sample_without_anything_stays_finite_in_the_model() -> None:
    samples = {
        name: PaddedTokens(values=column.values, lengths=torch.where(torch.arange(4) == 1, 0, column.lengths))
        for name, column in random_samples(STREAMS, 4).items()
    }
    batch = Masker(STREAMS, WIDE)(samples, torch.Generator().manual_seed(0))
    assert not batch.visible[1].any()
    assert not batch.decoder_visible[1].any()
    model = FourM(STREAMS, small_config())
    output = model(batch)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(item.grad).all() for item in model.parameters() if item.grad is not None)


def test_the_same_seed_gives_the_same_batch_and_another_seed_another() -> None:
    (_, first), (_, again), (_, other) = masked(seed=3), masked(seed=3), masked(seed=4)
    assert torch.equal(first.targets, again.targets)
    assert torch.equal(first.rows["t5"].values, again.rows["t5"].values)
    assert not torch.equal(first.targets, other.targets)


def test_a_generator_moves_on_from_batch_to_batch() -> None:
    samples, masker = random_samples(STREAMS, 8), Masker(STREAMS, WIDE)
    generator = torch.Generator().manual_seed(0)
    assert not torch.equal(masker(samples, generator).position, masker(samples, generator).position)


def test_budgets_between_two_limits_fill_the_batch_unevenly() -> None:
    config = MaskingConfig(
        num_inputs=20, min_inputs=2, num_targets=20, mixtures=[Mixture(input_overrides={"caption": 0.0})]
    )
    _, batch = masked(config, b=400)
    filled = batch.visible.sum(dim=1)
    assert batch.visible.shape == (400, 20)
    assert filled.min() <= 3
    assert filled.max() >= 17


def test_dealing_lost_tokens_again_fills_more_slots() -> None:
    mixtures = [
        Mixture(
            input_alpha=0.5, target_alpha=0.5, keep_overrides={"caption": KeepScheme.all, "metadata": KeepScheme.all}
        )
    ]

    def filled(*, redistribute: bool) -> tuple[float, float]:
        many = MaskingConfig(num_inputs=26, num_targets=4, mixtures=mixtures, redistribute=redistribute)
        few = MaskingConfig(num_inputs=4, num_targets=26, mixtures=mixtures, redistribute=redistribute)
        seen, asked = masked(many, b=300)[1].visible, masked(few, b=300)[1].decoder_visible
        return float(seen.float().mean()), float(asked.float().mean())

    (lost_seen, lost_asked), (dealt_seen, dealt_asked) = filled(redistribute=False), filled(redistribute=True)
    assert dealt_seen > lost_seen + 0.05
    assert dealt_asked > lost_asked + 0.05


def test_overrides_of_streams_that_a_run_does_not_have_are_ignored() -> None:
    streams = [stream for stream in STREAMS if stream.name != "t5"]
    masker = Masker(streams, MaskingConfig(num_inputs=8, num_targets=8, recipe=MaskingPreset.fourm_21))
    batch = masker(random_samples(streams, 16), torch.Generator().manual_seed(0))
    assert batch.visible.any(dim=1).all()


def test_a_recipe_that_leaves_nothing_to_predict_is_refused() -> None:
    with pytest.raises(ConfigError, match="both an input and a target"):
        Masker([STREAMS[0]], WIDE)


def test_the_published_mixture_masks_the_published_streams() -> None:
    streams = published_streams()
    samples = random_samples(streams, 8)
    config = MaskingConfig(num_inputs=256, num_targets=256, recipe=MaskingPreset.fourm_21)
    batch = Masker(streams, config)(samples, torch.Generator().manual_seed(0))
    assert batch.ids.shape == batch.targets.shape == (8, 256)
    vocab_size = torch.tensor([stream.vocab_size if isinstance(stream, TokenStream) else 0 for stream in streams])
    assert (batch.targets < vocab_size[batch.decoder_stream])[batch.decoder_visible].all()


def test_ids_of_any_integer_type_are_taken() -> None:
    samples = random_samples(STREAMS, 8)
    small = {
        name: PaddedTokens(values=column.values.to(torch.uint16), lengths=column.lengths.to(torch.int32))
        if name not in ("rgb_pixels", "t5")
        else column
        for name, column in samples.items()
    }
    masker = Masker(STREAMS, WIDE)
    first, second = (masker(item, torch.Generator().manual_seed(1)) for item in (samples, small))
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.targets, second.targets)


def test_selecting_shows_inputs_whole_and_asks_for_targets_whole() -> None:
    samples = random_samples(STREAMS, 6, missing=0.3)
    inputs, targets = ["rgb_pixels", "depth", "metadata", "t5"], ["rgb", "caption"]
    batch = select(samples, STREAMS, inputs=inputs, targets=targets)
    for sample in range(6):
        given, wanted = seen(batch, sample), asked(batch, sample)
        assert {name for name in given if given[name]} == {n for n in inputs if samples[n].lengths[sample]}
        assert [token for _, token, _ in given["metadata"]] == sequence(samples, "metadata", sample)
        assert [place for place, *_ in given["rgb_pixels"]] == list(range(int(samples["rgb_pixels"].lengths[sample])))
        assert [token for *_, token in wanted["rgb"]] == sequence(samples, "rgb", sample)
        if samples["caption"].lengths[sample]:
            whole = [SENTINEL_0_ID + 1, *sequence(samples, "caption", sample), SENTINEL_0_ID + 2]
            assert [wanted["caption"][0][1], *(token for *_, token in wanted["caption"])] == whole
    assert batch.visible.any(dim=0).all()
    assert batch.decoder_visible.any(dim=0).all()


def test_selecting_can_prompt_for_a_sequence_as_published_generation_does() -> None:
    samples = random_samples(STREAMS, 3)
    batch = select(samples, STREAMS, inputs=["depth"], targets=["rgb", "caption"], prompt_targets=True)
    for sample in range(3):
        assert [token for _, token, _ in seen(batch, sample)["caption"]] == [SENTINEL_0_ID + 1]
        assert not seen(batch, sample)["rgb"]


def test_selecting_takes_samples_that_hold_only_what_is_needed() -> None:
    samples = random_samples(STREAMS, 3)
    some = {"depth": samples["depth"]}
    batch = select(some, STREAMS, inputs=["depth"], targets=[])
    assert batch.ids.tolist() == samples["depth"].values.tolist()
    assert not batch.decoder_visible.any()
    nothing = select(some, STREAMS, inputs=[], targets=["depth"])
    assert not nothing.visible.any()
    assert nothing.targets.tolist() == samples["depth"].values.tolist()


def test_selecting_refuses_what_makes_no_sense() -> None:
    samples = random_samples(STREAMS, 2)
    with pytest.raises(UnknownNameError, match="Did you mean 'depth'"):
        select(samples, STREAMS, inputs=["dpeth"], targets=[])
    with pytest.raises(ValueError, match="'depth' is a target but is an input too"):
        select(samples, STREAMS, inputs=["depth"], targets=["depth"])
    with pytest.raises(ValueError, match="'t5' is a target but cannot be predicted"):
        select(samples, STREAMS, inputs=[], targets=["t5"])


def test_a_share_of_a_grid_is_shown_and_the_rest_asked_for() -> None:
    samples = random_samples(STREAMS, 5)
    batch = select_partially(
        samples, STREAMS, inputs=["rgb_pixels"], target="depth", share=1 / 3, generator=torch.Generator()
    )
    for sample in range(5):
        given, wanted = seen(batch, sample)["depth"], asked(batch, sample)["depth"]
        assert (len(given), len(wanted)) == (3, 6)
        assert sorted([place for place, *_ in given] + [place for place, *_ in wanted]) == list(range(9))


@pytest.mark.parametrize("target", ["depth", "caption", "metadata"])
def test_runs_with_other_modalities_are_asked_the_same(target: str) -> None:
    samples = random_samples(STREAMS, 8)
    fewer = [stream for stream in reversed(STREAMS) if stream.name in ("rgb_pixels", "rgb", target)]
    batches = [
        select_partially(
            samples,
            streams,
            inputs=["rgb_pixels", "rgb"],
            target=target,
            share=0.5,
            generator=torch.Generator().manual_seed(7),
        )
        for streams in (STREAMS, fewer)
    ]
    assert torch.equal(batches[0].targets, batches[1].targets)
    assert torch.equal(batches[0].decoder_position, batches[1].decoder_position)


def test_a_share_of_none_is_what_selecting_gives() -> None:
    samples = random_samples(STREAMS, 4)
    batch = select_partially(
        samples, STREAMS, inputs=["depth"], target="caption", share=0.0, generator=torch.Generator()
    )
    assert torch.equal(batch.targets, select(samples, STREAMS, inputs=["depth"], targets=["caption"]).targets)
    assert torch.equal(batch.ids, samples["depth"].values)


def test_a_model_takes_a_step_on_a_masked_batch() -> None:
    _, batch = masked(b=8)
    config = FourMConfig(width=16, heads=2, encoder_depth=1, decoder_depth=1)
    output = FourM(STREAMS, config)(batch)
    assert sum(output.counts.values()) == int(batch.decoder_visible.sum())


def test_position_of_every_slot_is_within_the_models_tables() -> None:
    _, batch = masked(b=400)
    most = torch.tensor(
        [s.num_tokens if isinstance(s, GridStream | PixelStream) else 2 * s.num_tokens + 2 for s in STREAMS]
    )
    assert (batch.position < most[batch.stream]).all()
    assert (batch.decoder_position < most[batch.decoder_stream]).all()
    assert np.isfinite(batch.rows["rgb_pixels"].values.numpy()).all()
