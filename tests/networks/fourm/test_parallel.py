"""The model sharded by FSDP2 and compiled block by block computes what it computes alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

SHARDED = """
import os
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from tests.networks.small import small_batch, small_model

dist.init_process_group("gloo")
batch, alone, shared = small_batch(), small_model(), small_model()
mesh = init_device_mesh("cpu", (2,))
for block in [*shared.encoder, *shared.decoder]:
    fully_shard(block, mesh=mesh)
fully_shard(shared, mesh=mesh)
assert all(weight.to_local().numel() < weight.numel() for weight in shared.parameters() if weight.shape[0] > 1)
for model in (alone, shared):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(batch).loss.backward()
        optimizer.step()
for name, weight in shared.named_parameters():
    torch.testing.assert_close(weight.full_tensor(), alone.get_parameter(name), msg=name)
print("equal", os.environ["RANK"])
dist.destroy_process_group()
"""


def test_two_processes_that_share_the_weights_train_as_one_does() -> None:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SHARDED],
            cwd=Path(__file__).parents[3],
            env={**os.environ, **place, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=180) for process in started]
    assert [out.strip() for out, _ in told] == ["equal 0", "equal 1"], told[0][1][-2000:] + told[1][1][-2000:]


COMPILED = """
from dataclasses import replace
import torch
from torch._dynamo.utils import counters
from tests.networks.small import small_batch, small_model

batch, plain, compiled = small_batch(padding=4), small_model(), small_model()
fewer = batch.visible.clone()
fewer[:, 4] = False
compiled.compile_blocks()
for model in (plain, compiled):
    model(batch).loss.backward()
    # More padding in the same shape compiles nothing new.
    model(replace(batch, visible=fewer)).loss.backward()
assert counters["stats"]["unique_graphs"] == 2, counters["stats"]
for name, weight in compiled.named_parameters():
    torch.testing.assert_close(weight.grad, plain.get_parameter(name).grad, msg=name)
print("equal")
"""


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_compiled_blocks_share_a_graph_of_each_kind_and_compute_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILED],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
