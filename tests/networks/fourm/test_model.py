"""The 4M model against a slot-by-slot numpy reference, and the rules of 4M as properties."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from modalities.errors import ConfigError
from networks.batch import IGNORE, TokenBatch
from networks.fourm.config import FourMConfig, Init, LossReduction, Sharing, Size
from networks.fourm.heads import predictable_ids
from networks.fourm.model import FourM
from networks.kernels import packing
from networks.kernels.row_table import retain_table_grads, zero_grads
from networks.streams import token_stream
from tests.networks.fourm.plain_fourm import plain_logits
from tests.networks.small import INDEX, STREAMS, small_batch, small_model


@pytest.mark.parametrize("sharing", list(Sharing))
def test_logits_are_those_of_the_plain_algorithm(sharing: Sharing) -> None:
    model, batch = small_model(sharing=sharing), small_batch()
    m = batch.targets.shape[1]
    for logits, rows in model.logits(batch).values():
        for logit, row in zip(logits, rows.tolist(), strict=True):
            expected = plain_logits(model, batch, row // m)[row % m]
            assert expected is not None
            np.testing.assert_allclose(logit.detach().numpy(), expected, atol=1e-6)


def test_the_loss_is_the_mean_over_modalities_of_their_mean_cross_entropies() -> None:
    model, batch = small_model(), small_batch()
    m = batch.targets.shape[1]
    terms: dict[str, list[float]] = {}
    for sample in range(2):
        for slot, logits in enumerate(plain_logits(model, batch, sample)):
            if logits is None or batch.targets[sample, slot] == IGNORE:
                continue
            log_probability = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
            name = STREAMS[int(batch.decoder_stream[sample, slot])].name
            terms.setdefault(name, []).append(-log_probability[int(batch.targets[sample, slot])])
    output = model(batch)
    assert set(output.losses) == set(terms)
    for name, values in terms.items():
        assert output.losses[name].item() == pytest.approx(np.mean(values), abs=1e-6)
        assert output.counts[name] == len(values)
    assert output.loss.item() == pytest.approx(np.mean([np.mean(values) for values in terms.values()]), abs=1e-6)
    by_token = small_model(loss_reduction=LossReduction.token)(batch).loss.item()
    assert by_token == pytest.approx(np.mean(np.concatenate(list(terms.values()))), abs=1e-6)
    num_targets = sum(stream.is_target for stream in STREAMS)
    published = small_model(loss_reduction=LossReduction.published_modality)(batch).loss.item()
    assert published == pytest.approx(sum(np.mean(values) for values in terms.values()) / num_targets, abs=1e-6)
    sizes = {name: token_stream(STREAMS[INDEX[name]]).vocab_size for name in terms}
    weighted = sum(sizes[name] * sum(values) for name, values in terms.items())
    published = small_model(loss_reduction=LossReduction.published_token)(batch).loss.item()
    total = sum(sizes[name] * len(values) for name, values in terms.items())
    assert published == pytest.approx(weighted / total, abs=1e-6)
    assert m == 13


def _logits_of(model: FourM, batch: TokenBatch, name: str) -> torch.Tensor:
    return model.logits(batch)[name][0]


def test_padding_changes_nothing() -> None:
    model = small_model(registers=2)
    bare, padded = small_batch(padding=0), small_batch(padding=0)
    n = bare.ids.shape[1]
    pad = {
        name: F.pad(getattr(bare, name), (0, 3), value=IGNORE if name == "targets" else 0)
        for name in (
            "ids",
            "stream",
            "position",
            "visible",
            "decoder_ids",
            "decoder_stream",
            "decoder_position",
            "decoder_visible",
            "targets",
        )
    }
    rows = {
        name: replace(packed, slots=packed.slots // n * (n + 3) + packed.slots % n)
        for name, packed in bare.rows.items()
    }
    padded = replace(bare, rows=rows, **pad)
    for name in ("depth", "sam", "caption"):
        torch.testing.assert_close(_logits_of(model, bare, name), _logits_of(model, padded, name))


def _loss_and_gradients(model: FourM, batch: TokenBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = model(batch).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("is_rounded", [False, True])
@pytest.mark.parametrize("registers", [0, 2])
def test_packed_rows_give_what_padded_slots_give(
    registers: int, is_rounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = small_model(registers=registers, bias=True), small_batch(padding=0)
    shown, asked = batch.visible.clone(), batch.decoder_visible.clone()
    # The second sample sees nothing, the first two thirds; of the second's targets the last stream is gone.
    shown[1], shown[0, 2 * shown.shape[1] // 3 :] = False, False
    asked[1, -4:] = False
    ragged = replace(
        batch, visible=shown, decoder_visible=asked, targets=torch.where(asked, batch.targets, IGNORE), rows={}
    )
    found: list[tuple[torch.Tensor, torch.Tensor | None]] = []
    packed_slots = packing.packed_slots

    def noted(valid: torch.Tensor) -> torch.Tensor | None:
        found.append((valid, packed_slots(valid)))
        return found[-1][1]

    monkeypatch.setattr(packing, "packed_slots", noted)
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: False)
    monkeypatch.setattr("networks.kernels.packing.MAX_PACKED_FRACTION", 1.0)
    if is_rounded:
        monkeypatch.setattr("networks.kernels.packing.round_up_rows", lambda rows: rows + 1)
        monkeypatch.setattr("networks.fourm.heads.head_rows", lambda rows, width: rows + 3)
        monkeypatch.setattr("networks.kernels.linear.MIN_ONEDNN_WIDTH", 0)
    packed, packed_gradients = _loss_and_gradients(model, ragged)
    # Every valid slot has a row, and so has the first slot of a sample without any.
    for valid, slots in found:
        assert slots is not None
        num_rows = int(valid.sum()) + int((~valid.any(dim=1)).sum())
        assert len(set(slots.tolist())) == len(slots) == num_rows + is_rounded
        assert set(valid.flatten().nonzero()[:, 0].tolist()) <= set(slots.tolist())
    monkeypatch.undo()
    monkeypatch.setattr(packing, "packed_slots", noted)
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: False)
    monkeypatch.setattr("networks.kernels.packing.MAX_PACKED_FRACTION", -1.0)
    padded, gradients = _loss_and_gradients(model, ragged)
    assert [slots is None for _, slots in found] == [False, False, True, True]
    torch.testing.assert_close(packed, padded)
    assert gradients.keys() == packed_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("sharing", list(Sharing))
def test_gradients_that_are_kept_are_those_of_autograd(sharing: Sharing) -> None:
    plain, keeping = small_model(sharing=sharing), small_model(sharing=sharing)
    keeping.load_state_dict(plain.state_dict())
    retain_table_grads(keeping)
    batches = [small_batch(seed=seed) for seed in range(3)]
    place = None
    for first, second in ((0, 1), (1, 2)):
        plain.zero_grad()
        # Two batches add up, and earlier gradients are gone after `zero_grads`, whenever it is called.
        loss = keeping(batches[first]).loss
        zero_grads(keeping)
        loss.backward()
        keeping(batches[second]).loss.backward()
        for number in (first, second):
            plain(batches[number]).loss.backward()
        for (name, found), expected in zip(keeping.named_parameters(), plain.parameters(), strict=True):
            assert (found.grad is None) == (expected.grad is None), name
            if expected.grad is not None:
                torch.testing.assert_close(found.grad, expected.grad, msg=name)
        has_row = keeping.heads.table.grad
        assert has_row is not None
        assert place in (None, has_row.data_ptr())
        place = has_row.data_ptr()
    zero_grads(keeping)
    has_row = keeping.heads.table.grad
    assert has_row is not None
    assert float(has_row.abs().sum()) == 0
    assert keeping.mask_token.grad is None


def test_a_modality_is_decoded_independently_of_the_other_targets() -> None:
    model, batch = small_model(), small_batch()
    caption = batch.decoder_stream == INDEX["caption"]
    changed = replace(batch, decoder_ids=torch.where(caption, (batch.decoder_ids + 1) % 20, batch.decoder_ids))
    torch.testing.assert_close(_logits_of(model, batch, "boxes"), _logits_of(model, changed, "boxes"))
    torch.testing.assert_close(_logits_of(model, batch, "depth"), _logits_of(model, changed, "depth"))
    assert not torch.allclose(_logits_of(model, batch, "caption"), _logits_of(model, changed, "caption"))


def test_a_sequence_does_not_see_what_comes_later() -> None:
    model, batch = small_model(), small_batch()
    last = torch.where(batch.decoder_stream[0] == INDEX["caption"])[0][-1]
    ids = batch.decoder_ids.clone()
    ids[:, last] = (ids[:, last] + 1) % 20
    before, after = _logits_of(model, batch, "caption"), _logits_of(model, replace(batch, decoder_ids=ids), "caption")
    before, after = before.unflatten(0, (2, 3)), after.unflatten(0, (2, 3))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2])


def test_the_ids_of_grid_slots_in_the_decoder_are_not_seen() -> None:
    model, batch = small_model(), small_batch()
    torch.testing.assert_close(
        model(batch).loss,
        model(replace(batch, decoder_ids=torch.where(batch.decoder_stream < 5, 3, batch.decoder_ids))).loss,
    )


def test_an_empty_encoder_and_an_empty_decoder_stay_finite() -> None:
    model, batch = small_model(), small_batch()
    nothing = replace(batch, visible=torch.zeros_like(batch.visible))
    loss = model(nothing).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    untargeted = replace(batch, targets=torch.full_like(batch.targets, IGNORE))
    output = model(untargeted)
    assert output.loss.item() == 0.0
    assert output.losses == {}
    output.loss.backward()


def test_the_row_of_padding_takes_no_gradient() -> None:
    model = small_model(sharing=Sharing.none)
    model(small_batch()).loss.backward()
    for table in (model.tokens, model.decoder_token_embedding):
        assert table.table.grad is not None
        assert table.table.grad[-1].abs().sum() == 0


def test_a_head_can_be_cut_to_the_ids_that_occur() -> None:
    model, batch = small_model(), small_batch()
    ids = (1, 3, 4, 17)
    streams = tuple(
        replace(token_stream(stream), predictable=ids) if stream.name == "caption" else stream for stream in STREAMS
    )
    cut = FourM(streams, model.config).double()
    cut.load_state_dict(model.state_dict())
    whole, rows = model.logits(batch)["caption"]
    logits, _ = cut.logits(batch)["caption"]
    torch.testing.assert_close(logits[:, list(ids)], whole[:, list(ids)])
    assert torch.isneginf(logits).sum() == len(logits) * 16
    targets = batch.targets.flatten()[rows]
    expected = F.cross_entropy(logits, torch.where(torch.isin(targets, torch.tensor(ids)), targets, 1))
    torch.testing.assert_close(cut(batch).losses["caption"], expected)


@pytest.mark.parametrize("is_onednn", [False, True])
def test_a_frozen_copy_answers_as_the_model_does_and_shares_its_weights(
    is_onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = tuple(
        replace(token_stream(stream), predictable=(3, 5, 6)) if stream.name == "caption" else stream
        for stream in STREAMS
    )
    torch.manual_seed(0)
    model, batch = FourM(streams, small_model().config), small_batch()
    batch = replace(batch, rows={name: replace(rows, values=rows.values.float()) for name, rows in batch.rows.items()})
    with torch.no_grad():
        expected = model.logits(batch)
        monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: is_onednn)
        monkeypatch.setattr("networks.kernels.linear.MIN_ONEDNN_WIDTH", 0)
        twin = model.inference_copy()
        for _ in range(2):
            for name, (logits, rows) in twin.logits(batch).items():
                torch.testing.assert_close(logits, expected[name][0])
                assert torch.equal(rows, expected[name][1])
    assert [id(item) for item in twin.parameters()] == [id(item) for item in model.parameters()]
    assert model.packed_heads is None


def test_a_head_that_was_first_used_in_inference_mode_can_be_trained() -> None:
    predictable_ids.cache_clear()
    streams = tuple(
        replace(token_stream(stream), predictable=tuple(range(9))) if stream.name == "caption" else stream
        for stream in STREAMS
    )
    model, batch = FourM(streams, small_model().config).double(), small_batch()
    with torch.inference_mode():
        expected = model(batch).loss
    loss = model(batch).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected.item())
    assert model.heads.table.grad is not None


@pytest.mark.parametrize("init", list(Init))
def test_one_batch_is_learnt_by_heart(init: Init) -> None:
    torch.manual_seed(0)
    model = FourM(STREAMS, FourMConfig(size=Size.nano, init=init, deep_stem=True)).double()
    batch = small_batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model(batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize(
    ("size", "millions"), [("tiny", 24.9), ("small", 59.0), ("B", 198.8), ("L", 705.7), ("XL", 2823.0)]
)
def test_the_trunk_has_the_published_number_of_weights(size: str, millions: float) -> None:
    with torch.device("meta"):
        model = FourM(STREAMS, FourMConfig(size=Size[size]))
    outside = ("tokens", "heads", "decoder_token_embedding", "position_embedding", "input_projections", "mask_token")
    counted = sum(p.numel() for name, p in model.named_parameters() if not name.startswith(outside))
    assert counted / 1e6 == pytest.approx(millions, rel=2e-3)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"multiple of model\.heads"):
        FourMConfig(size=Size.nano, width=60, heads=7)
