"""Linear maps that are fast for few rows too."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from networks.devices import is_mkl_on_amd

FEW_ROWS = 96
"""Most rows for which `product` may turn itself round: it waits for the weights there, not for arithmetic."""


def product(x: Float[Tensor, "*rows d"], weight: Float[Tensor, "v d"]) -> Float[Tensor, "*rows v"]:
    """``x @ weight.T``, where that is faster by way of ``(weight @ x.T).T``.

    It is for few rows where no gradient is wanted and MKL runs on a processor of AMD's, where it reads a large table
    two to four times faster that way for 4 to 16 rows; Intel's are slower that way (docs/performance.md). This is what
    a token of a sequence costs.
    """
    is_few = x.device.type == "cpu" and not torch.is_grad_enabled() and x.numel() <= FEW_ROWS * x.shape[-1]
    if not (is_few and is_mkl_on_amd()):
        return F.linear(x, weight)
    return (weight @ x.reshape(-1, x.shape[-1]).T).T.contiguous().view(*x.shape[:-1], len(weight))


class Map(nn.Linear):
    """A linear map that is fast for few rows too."""

    def forward(self, input: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The map's answer for each row."""
        mapped = product(input, self.weight)
        return mapped if self.bias is None else mapped + self.bias
