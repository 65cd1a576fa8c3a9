"""What cannot be generated from or to is refused in one line."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from modalities.errors import UnknownNameError
from networks.generation.config import DecodingConfig, GenerationConfig, GenerationError, GuidanceCondition
from networks.generation.generate import generate
from networks.generation.inputs import ConditionInput
from tests.networks.generation.worlds import S2, grid, model, pixels, text


def _refused(
    match: str, inputs: Mapping[str, ConditionInput], targets: list[str], plan: GenerationConfig | None = None
) -> None:
    with pytest.raises((GenerationError, UnknownNameError), match=match):
        generate(model(), inputs, targets, plan or GenerationConfig(), torch.Generator())


def test_mistakes_are_refused_in_one_line() -> None:
    _refused("No stream of this model named 'dpeth'. Did you mean 'depth'", {}, ["dpeth"])
    _refused("t5 is an input only and cannot be generated. Targets: rgb, depth", {}, ["t5"])
    _refused("nothing to generate", {}, [])
    _refused("can be generated once", {}, ["rgb", "rgb"])
    min_onednn_width = replace(grid("rgb"), known=torch.ones(3, 9, dtype=torch.bool))
    _refused(r"mask of rgb has shape \(3, 9\), expected \(3, 16\)", {"rgb": min_onednn_width}, ["depth"])
    high = ConditionInput(tokens=replace(grid("rgb").tokens, values=grid("rgb").tokens.values + 9))
    _refused("rgb has tokens 0 to 10, got 19", {"rgb": high}, ["depth"])
    _refused("caption has tokens 0 to 229, got 230", {"caption": text([[230]])}, ["depth"])
    _refused("caption takes at most 12 tokens, got 13", {"caption": text([[210] * 13])}, ["depth"])
    _refused(r"numbered \[S_1\], \[S_2\], ... in order, got \[S_2\]", {"caption": text([[S2]])}, ["depth"])
    steps = GenerationConfig(default=DecodingConfig(steps=17))
    _refused("rgb has 16 tokens and cannot be generated in 17 steps: ask for at most 16", {}, ["rgb"], steps)
    _refused("a target but known everywhere", {"rgb": grid("rgb")}, ["rgb"])
    _refused(r"caption is a target but given whole: write \[S_1\]", {"caption": text([[210]])}, ["caption"])
    _refused("as many samples as each other", {"rgb": grid("rgb", 2), "depth": grid("depth", 3)}, ["code"])
    apply_guidance = GenerationConfig(
        default=DecodingConfig(conditions=(GuidanceCondition(streams=("depth",), weight=2.0),))
    )
    _refused(
        "Guidance of code names the condition 'depth'; its inputs are: rgb",
        {"rgb": grid("rgb")},
        ["code"],
        apply_guidance,
    )
    wide = ConditionInput(tokens=replace(pixels().tokens, values=torch.zeros(3, 6, 6, 3, dtype=torch.uint8)))
    _refused(r"rgb_pixels takes images of 8 x 8, got \(6, 6\)", {"rgb_pixels": wide}, ["code"])
