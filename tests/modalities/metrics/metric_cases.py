"""Arrays for the tests of metrics, and metrics of arrays."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import MetricCollection


def compute_metrics(
    metrics: MetricCollection, prediction: NDArray[Any], target: NDArray[Any], batch: int = 3
) -> dict[str, float]:
    """The metrics of arrays, taken in batches of uneven size."""
    for begin in range(0, len(target), batch):
        part = slice(begin, begin + batch)
        metrics.update(torch.from_numpy(prediction[part]), torch.from_numpy(target[part]))
    return {name: float(value) for name, value in metrics.compute().items()}


def pictures(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    noisy = coarse + rng.normal(0, 25, coarse.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), coarse.astype(np.uint8)
