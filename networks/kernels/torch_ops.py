"""Private operators and settings of torch: the only file that names them."""

from collections.abc import Mapping
from copy import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch_config

M = TypeVar("M", bound=nn.Module)


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.T + bias`` by oneDNN, which torch calls by itself only from compiled code."""
    output: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001
    return output


def reorder_weight(weight: Tensor) -> Tensor:
    """``weight`` in the layout in which oneDNN reads it, for `onednn_linear`."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001
    return packed


def disable_autograd_cache() -> None:
    """Keep compiled blocks out of autograd's cache: putting one in crashed the process at times (torch 2.11, 2.13)."""
    functorch_config.enable_autograd_cache = False


def shared_copy(module: M) -> M:
    """A copy of a module and its children whose parameters and buffers are those of the original."""
    module_copy = copy(module)
    children: Mapping[str, nn.Module | None] = module._modules  # noqa: SLF001
    module_copy._modules = {  # noqa: SLF001
        name: None if child is None else shared_copy(child) for name, child in children.items()
    }
    return module_copy
