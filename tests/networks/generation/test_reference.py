"""Generation against what the published sampler answered with the same weights (`../shared/reference/generation`)."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lightning_modules.checkpoints.published import open_checkpoint, read_published_model
from networks.batch import PaddedTokens
from networks.fourm.model import FourM
from networks.generation.config import DecodingConfig, GenerationConfig
from networks.generation.generate import generate_iter
from networks.generation.guidance import GuidanceBranches, encode_branches
from networks.generation.inputs import ConditionInput, prepare_inputs
from networks.generation.maskgit import grid_logits
from networks.generation.schedules import Temperature
from networks.streams import GridStream, PixelStream

CASE = Path(__file__).parents[4] / "shared" / "reference" / "generation"
pytestmark = pytest.mark.skipif(not CASE.exists(), reason="../shared/reference is not here")


def _case() -> tuple[FourM, dict[str, Tensor], dict[str, str]]:
    """The model, what was asked and answered, and our stream of each published name."""
    found = read_published_model(open_checkpoint(CASE)).model
    return found.eval(), load_file(CASE / "io.safetensors"), {item.published_name: item.name for item in found.streams}


def _pixels(images: Tensor, patch: int) -> ConditionInput:
    """Images as patches, row by row of the patch, pixel by pixel, channels innermost."""
    b, channels, side, _ = images.shape
    grid = side // patch
    rows = images.reshape(b, channels, grid, patch, grid, patch).permute(0, 2, 4, 3, 5, 1).reshape(b, grid * grid, -1)
    return ConditionInput(tokens=PaddedTokens(values=rows, lengths=torch.full((b,), grid * grid)))


def _tokens(ids: Tensor, known: Tensor | None = None) -> ConditionInput:
    flat = ids.flatten(1).long()
    there = None
    if known is not None:
        there = torch.zeros_like(flat, dtype=torch.bool)
        there[:, known.long()] = True
    return ConditionInput(
        tokens=PaddedTokens(values=flat, lengths=torch.full((len(flat),), flat.shape[1])), known=there
    )


def _inputs(made: FourM, io: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, ConditionInput]:
    rgb = made.streams[made.index[names["rgb@224"]]]
    assert isinstance(rgb, PixelStream)
    return {
        rgb.name: _pixels(io["input/rgb@224"], rgb.patch),
        names["tok_depth@224"]: _tokens(io["input/tok_depth@224"]),
    }


@pytest.mark.parametrize(("answer", "scale"), [("output/greedy", 1.0), ("output/greedy_cfg_2.5", 2.5)])
def test_greedy_captions_are_the_published_ones(answer: str, scale: float) -> None:
    made, io, names = _case()
    plan = GenerationConfig(default=DecodingConfig(temperature=Temperature(start=0.0), guidance=scale))
    expected = [row[1 : row.index(6) + 1 if 6 in row else len(row)] for row in io[answer].tolist()]
    length, target = io[answer].shape[1] - 1, names["caption"]
    states = generate_iter(made, _inputs(made, io, names), [target], plan, torch.Generator())
    # The weights are random, so most of what is written are sentinels, which have no place in the merged sequence.
    *_, last = [state.written for state in states if state.written is not None]
    assert [row[:length] for row in last.rows()] == expected


def test_logits_of_a_grid_known_in_part_are_the_published_ones() -> None:
    made, io, names = _case()
    target = names["tok_semseg@224"]
    assert isinstance(made.streams[made.index[target]], GridStream)
    known = _tokens(io["input/tok_semseg@224"], io["input/tok_semseg_known"])
    inputs = {**_inputs(made, io, names), target: known}
    places, b = io["output/semseg_positions"].long(), len(io["output/semseg_logits"])
    with torch.no_grad():
        known_streams = prepare_inputs(made, inputs, [target])
        everything = GuidanceBranches(excluded=(frozenset(),))
        contexts = encode_branches(
            made, known_streams, target, everything, b, torch.device("cpu"), prompt_with_sentinel=True
        )
        rows = places if places.ndim == 2 else places.expand(b, -1)
        logits = grid_logits(made, contexts, target, rows, None, ())
    torch.testing.assert_close(logits, io["output/semseg_logits"], atol=1e-4, rtol=0)
