"""The plain form of generation that speed is compared with writes the same tokens."""

from dataclasses import replace

import pytest
import torch

from benchmarks.plain import PlainFourM
from benchmarks.plain_generation import generate_grid_plain, generate_sequence_plain, hidden_modalities, known_grid
from networks.batch import PaddedTokens
from networks.fourm.config import FourMConfig
from networks.fourm.model import FourM
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig
from networks.generation.generate import generate, generate_iter
from networks.generation.inputs import ConditionInput
from networks.generation.schedules import Temperature, TokenSchedule
from tests.benchmarks.test_plain import STREAMS, copy_weights

GREEDY = DecodingConfig(scheme=DecodingScheme.maskgit, tokens=TokenSchedule.cosine, temperature=Temperature(start=0.0))


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
        assert ours.position_embedding.learned is not None
        ours.position_embedding.learned[0].zero_()
    copy_weights(plain, ours)
    return ours, plain


@pytest.mark.parametrize("encode_once", [True, False])
def test_sequences_are_the_same(*, encode_once: bool) -> None:
    ours, plain = _models()
    depth = torch.randint(0, 60, (3, 9), generator=torch.Generator().manual_seed(0))
    batch = {**hidden_modalities(STREAMS, 3), "depth": known_grid(depth)}
    expected = generate_sequence_plain(plain, batch, "caption", 10, encode_once=encode_once)
    given = {"depth": ConditionInput(tokens=PaddedTokens(values=depth, lengths=torch.full((3,), 9)))}
    *_, last = [
        state.written
        for state in generate_iter(ours, given, ["caption"], GenerationConfig(default=GREEDY), torch.Generator())
        if state.written is not None
    ]
    for found, row in zip(last.rows(), expected.tolist(), strict=True):
        assert found[:10] == row[: len(found)]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_grids_are_the_same(guidance: float) -> None:
    ours, plain = _models()
    depth = torch.randint(0, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    batch = {**hidden_modalities(STREAMS, 3), "depth": known_grid(depth)}
    expected = generate_grid_plain(plain, batch, "code", 3, guidance)
    given = {"depth": ConditionInput(tokens=PaddedTokens(values=depth, lengths=torch.full((3,), 9)))}
    plan = GenerationConfig(default=replace(GREEDY, steps=3, guidance=guidance))
    assert torch.equal(generate(ours, given, ["code"], plan, torch.Generator())["code"].ids, expected)
