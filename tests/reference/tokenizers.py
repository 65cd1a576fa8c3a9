"""Cases of a tokenizer: tokens, quantised latents, reconstructions, one answer of the denoiser."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from networks.tokenizers.dense import DenseTokenizer, DiffusionTokenizer
from networks.tokenizers.tokenizer import Tokenizer
from networks.tokenizers.vector import VectorTokenizer
from tests.reference.check import ACTIVATION, Check, compare_tensors, compare_values


def is_tokenizer_case(io: Mapping[str, Tensor]) -> bool:
    """True for values and their tokens."""
    return "input/x" in io and "output/tokens" in io


@torch.no_grad()
def check_tokenizer(case: str, tokenizer: Tokenizer, io: Mapping[str, Tensor]) -> Iterator[Check]:
    """Everything that ``io`` holds."""
    x = io["input/x"]
    is_vector = isinstance(tokenizer, VectorTokenizer)
    ids = tokenizer.encode(x.flatten(1) if is_vector else x)
    expected = io["output/tokens"].long()
    yield compare_values(case, "tokens", ids.tolist(), expected.flatten(1).tolist())
    if "output/quant" in io:
        yield compare_tensors(case, "quant", _code_vectors(tokenizer, expected), io["output/quant"], ACTIVATION)
    if "output/reconstruction" in io:
        found = tokenizer.decode(expected.flatten(1))
        expected_image = io["output/reconstruction"]
        yield compare_tensors(case, "reconstruction", found.reshape(expected_image.shape), expected_image, ACTIVATION)
    if isinstance(tokenizer, DiffusionTokenizer) and "output/denoiser" in io:
        shares = io["output/alphas_cumprod"]
        yield compare_tensors(case, "alphas_cumprod", tokenizer.decoder.alphas, shares, ACTIVATION)
        found = tokenizer.decoder.unet(io["input/noised"], io["input/timesteps"].long(), io["output/quant"])
        yield compare_tensors(case, "denoiser", found, io["output/denoiser"], ACTIVATION)


def _code_vectors(tokenizer: Tokenizer, tokens: Tensor) -> Tensor:
    """The code vectors of published tokens, in the published shape: channels before places."""
    if isinstance(tokenizer, VectorTokenizer):
        return tokenizer.memcodes.lookup(tokens.flatten(1))[..., None, None]
    assert isinstance(tokenizer, DenseTokenizer)
    codes = tokenizer.codebook.lookup(tokens.flatten(1))
    on_grid: Tensor = codes.transpose(1, 2).unflatten(2, tokens.shape[1:])
    return on_grid
