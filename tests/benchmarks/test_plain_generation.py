"""The plain form of generation that speed is compared with writes the same tokens."""

from dataclasses import replace

import pytest
import torch

from benchmarks.plain import PlainFourM
from benchmarks.plain_generation import known_grid, nothing_known, unmask_plainly, write_plainly
from networks.batch import Column
from networks.fourm import FourM
from networks.fourm_config import FourMConfig
from networks.generation.generate import generate, generate_iter
from networks.generation.inputs import Given
from networks.generation.plan import Decoding, Plan, Scheme
from networks.generation.schedules import Temperature, TokenSchedule
from tests.benchmarks.test_plain import STREAMS, copy_weights

GREEDY = Decoding(scheme=Scheme.maskgit, tokens=TokenSchedule.cosine, temperature=Temperature(start=0.0))


def _models() -> tuple[FourM, PlainFourM]:
    torch.manual_seed(0)
    config = FourMConfig(width=16, heads=2, encoder_depth=2, decoder_depth=2)
    ours, plain = FourM(STREAMS, config), PlainFourM(STREAMS, config, 24, 28)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for module in ours.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        for table in (ours.tokens, ours.heads):
            table.table[-1].zero_()
        assert ours.places.learnt is not None
        ours.places.learnt[0].zero_()
    copy_weights(plain, ours)
    return ours, plain


@pytest.mark.parametrize("encodes_once", [True, False])
def test_sequences_are_the_same(*, encodes_once: bool) -> None:
    ours, plain = _models()
    depth = torch.randint(0, 60, (3, 9), generator=torch.Generator().manual_seed(0))
    batch = {**nothing_known(STREAMS, 3), "depth": known_grid(depth)}
    expected = write_plainly(plain, batch, "caption", 10, encodes_once=encodes_once)
    given = {"depth": Given(column=Column(values=depth, lengths=torch.full((3,), 9)))}
    *_, last = [
        state.written
        for state in generate_iter(ours, given, ["caption"], Plan(default=GREEDY), torch.Generator())
        if state.written is not None
    ]
    for found, row in zip(last.rows(), expected.tolist(), strict=True):
        assert found[:10] == row[: len(found)]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_grids_are_the_same(guidance: float) -> None:
    ours, plain = _models()
    depth = torch.randint(0, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    batch = {**nothing_known(STREAMS, 3), "depth": known_grid(depth)}
    expected = unmask_plainly(plain, batch, "code", 3, guidance)
    given = {"depth": Given(column=Column(values=depth, lengths=torch.full((3,), 9)))}
    plan = Plan(default=replace(GREEDY, steps=3, guidance=guidance))
    assert torch.equal(generate(ours, given, ["code"], plan, torch.Generator())["code"].ids, expected)
