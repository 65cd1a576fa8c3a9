"""Muon: momentum whose update of each matrix is orthogonalized. All other weights are updated by AdamW.

Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the update's scale of Liu et al. 2025
(arXiv:2502.16982), which lets it share AdamW's learning rate and weight decay.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration: they bring singular values near 1 in few steps, not to 1."""
RMS = 0.2
"""Root mean square of an update, which is about AdamW's."""


class Muon(torch.optim.AdamW):
    """Updates the groups with ``use_muon`` by Muon, and the others by AdamW.

    Matrices of one shape are orthogonalized as one batch. A weight that holds several maps side by side (queries, keys
    and values) is orthogonalized map by map.

    Args:
        groups: Parameter groups; those with ``use_muon=True`` hold matrices only.
        num_maps: Maps along the rows of a weight, where there are several.
        momentum: Decay of the momentum.
        iterations: Newton-Schulz iterations.
        options: Of AdamW.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        num_maps: Mapping[nn.Parameter, int],
        momentum: float,
        iterations: int,
        **options: Any,
    ) -> None:
        super().__init__([{"use_muon": False, **group} for group in groups], **options)
        self.num_maps, self.momentum, self.iterations = dict(num_maps), momentum, iterations
        # The fused AdamW would unscale the gradients of 16-bit training by itself, but those of its own groups only.
        self._step_supports_amp_scaling = False

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        try:
            self.param_groups = [group for group in groups if not group["use_muon"]]
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["use_muon"]:
                self._update_matrices(group)
        return loss

    @torch.no_grad()
    def _update_matrices(self, group: dict[str, Any]) -> None:
        parts: list[Tensor] = []
        updates: list[Tensor] = []
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                # AdamW expects a count of steps in every state that it loads.
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))
            state["step"] += 1
            momentum = state["momentum"].mul_(self.momentum).add_(weight.grad)
            nesterov = torch.add(weight.grad, momentum, alpha=self.momentum)
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            num_maps = self.num_maps.get(weight, 1)
            parts += weight.chunk(num_maps)
            updates += nesterov.chunk(num_maps)
        for part, update in zip(parts, orthogonalize_all(updates, self.iterations), strict=True):
            part.add_(update, alpha=-group["lr"] * RMS * math.sqrt(max(part.shape)))


def orthogonalize_all(matrices: list[Tensor], iterations: int) -> list[Tensor]:
    """`orthogonalize` of each matrix; those of one shape, or its transpose, as one batch."""
    batches: dict[tuple[int, ...], list[int]] = {}
    for index, matrix in enumerate(matrices):
        batches.setdefault(tuple(sorted(matrix.shape)), []).append(index)
    results: list[Tensor] = list(matrices)
    for members in batches.values():
        is_tall = [matrices[index].shape[0] > matrices[index].shape[1] for index in members]
        wide = torch.stack([matrices[i].T if tall else matrices[i] for i, tall in zip(members, is_tall, strict=True)])
        for index, tall, result in zip(members, is_tall, orthogonalize(wide, iterations), strict=True):
            results[index] = result.T if tall else result
    return results


def orthogonalize(matrices: Float[Tensor, "k m n"], iterations: int) -> Float[Tensor, "k m n"]:
    """Matrices with the same singular vectors and singular values of about 1 (0.7 to 1.2 after 5 iterations).

    Computed in bfloat16 on GPUs, where it is enough, and in the matrices' own precision elsewhere.

    Args:
        matrices: No higher than wide.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    result: Tensor = x.to(matrices.dtype)
    return result
