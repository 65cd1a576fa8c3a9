"""One comparison, and the tolerances that all of them share."""

from dataclasses import dataclass

import torch
from torch import Tensor

ACTIVATION, LOSS, EXACT = 1e-4, 1e-5, 0.0
"""Agreement to expect in fp32 on a CPU."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was compared, how far it was off, and how far it may be."""

    case: str
    quantity: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """False also where the error is not a number."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        word = "ok" if self.passed else "FAIL"
        return f"{word:4}  {self.case}  {self.quantity}  {self.error:.3g}  {self.tolerance:.3g}"


def compare_tensors(case: str, quantity: str, found: Tensor, expected: Tensor, tolerance: float) -> Check:
    """The largest absolute difference; infinite where shapes differ, not a number where either is not."""
    if found.shape != expected.shape:
        return Check(case=case, quantity=quantity, error=float("inf"), tolerance=tolerance)
    difference = (found.double() - expected.double()).abs()
    error = float(difference.max()) if difference.numel() else 0.0
    if not torch.isfinite(difference).all():
        error = float("nan")
    return Check(case=case, quantity=quantity, error=error, tolerance=tolerance)


def compare_values(case: str, quantity: str, found: object, expected: object) -> Check:
    """Whether two plain values are the same."""
    return Check(case=case, quantity=quantity, error=0.0 if found == expected else 1.0, tolerance=EXACT)
