"""InfoNCE against the published formula in plain numpy, with missing samples, and over two processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from networks.binding.loss import info_nce
from tests.ports import free_port


def unit_rows(seed: int, count: int = 6) -> torch.Tensor:
    return F.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


def clip_loss(one: NDArray[np.float64], other: NDArray[np.float64], scale: float) -> float:
    """The loss of open_clip: the mean of two cross-entropies against the diagonal of ``scale * one @ other.T``."""
    logits = scale * one @ other.T
    total = 0.0
    for rows in (logits, logits.T):
        log_probability = rows - np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        log_probability -= rows.max(axis=1, keepdims=True)
        total += -np.diag(log_probability).mean()
    return total / 2


def test_the_loss_is_the_published_formula() -> None:
    one, other = unit_rows(0), unit_rows(1)
    found = info_nce(one, other, torch.tensor(14.0), torch.ones(6, dtype=torch.bool))
    assert float(found) == pytest.approx(clip_loss(one.double().numpy(), other.double().numpy(), 14.0), rel=1e-5)


def test_samples_that_lack_one_of_the_two_are_neither_rows_nor_columns() -> None:
    one, other, present = unit_rows(0), unit_rows(1), torch.tensor([True, False, True, True, False, True])
    found = info_nce(one, other, torch.tensor(5.0), present)
    kept = clip_loss(one[present].double().numpy(), other[present].double().numpy(), 5.0)
    assert float(found) == pytest.approx(kept, rel=1e-5)
    nothing = info_nce(one.requires_grad_(), other, torch.tensor(5.0), torch.zeros(6, dtype=torch.bool))
    assert float(nothing.detach()) == 0
    nothing.backward()
    assert one.grad is not None
    assert not one.grad.any()


TWO = """
import os, sys
import torch
import torch.distributed as dist
from networks.binding.loss import info_nce
from tests.networks.binding.test_loss import unit_rows

rank = int(os.environ["RANK"])
dist.init_process_group("gloo")
weight = torch.eye(4).requires_grad_()
scale = torch.tensor(7.0, requires_grad=True)
present = torch.tensor([True, False, True, True, True, True])
own = slice(3 * rank, 3 * rank + 3)
loss = info_nce(unit_rows(0)[own] @ weight, unit_rows(1)[own] @ weight.T, scale, present[own])
loss.backward()
# As DDP does: the mean over processes.
for gradient in (weight.grad, scale.grad):
    dist.all_reduce(gradient)
total = loss.detach().clone()
dist.all_reduce(total)
torch.save((total / 2, weight.grad / 2, scale.grad / 2), f"{sys.argv[1]}/{rank}.pt")
dist.destroy_process_group()
"""


def test_two_processes_have_the_loss_and_the_gradients_of_the_joint_batch(tmp_path: Path) -> None:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TWO, str(tmp_path)],
            cwd=Path(__file__).parents[3],
            env={**os.environ, **place, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=180)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    weight, scale = torch.eye(4).requires_grad_(), torch.tensor(7.0, requires_grad=True)
    present = torch.tensor([True, False, True, True, True, True])
    loss = info_nce(unit_rows(0) @ weight, unit_rows(1) @ weight.T, scale, present)
    loss.backward()
    for rank in range(2):
        for found, expected in zip(
            torch.load(tmp_path / f"{rank}.pt"), (loss.detach(), weight.grad, scale.grad), strict=True
        ):
            torch.testing.assert_close(found, expected)
