"""Stages that train on several devices: two processes of this machine's CPU, joined by gloo."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.experiments.miniature import ablate, partial_files

BOTH = {"arms__twin": "[fourm_21]", "optim__total_tokens": 5120, "training__pictures_every": 0}


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """Tokens and tokenizers of the finished miniature, for other models."""
    shutil.copytree(finished / "stages", tmp_path / "stages")
    return tmp_path


def models(root: Path) -> set[Path]:
    return set((root / "stages").glob("model-twin-0-*"))


def test_two_processes_train_what_one_trains_that_accumulates_two_batches(copy: Path) -> None:
    assert ablate(copy, **BOTH, executor__devices=2, executor__strategy="ddp") == 0
    (spread,) = models(copy)
    assert ablate(copy, **BOTH, training__accumulate=2) == 0
    (alone,) = models(copy) - {spread}
    ours, theirs = load_file(spread / "model.safetensors"), load_file(alone / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=2e-5)
    facts = [json.loads((folder / "facts.json").read_text()) for folder in (spread, alone)]
    assert facts[0]["steps"] == facts[1]["steps"] == 4
    assert facts[0]["tokens_seen"] == facts[1]["tokens_seen"] == 5120
    history = json.loads((spread / "history.json").read_text())
    assert [step for step, _ in history["val/loss"]][-1] >= 3
    assert partial_files(copy) == []


def test_a_tokenizer_trains_in_two_processes(copy: Path) -> None:
    before = set((copy / "stages").glob("tokenizer-depth-*"))
    changes = {"tokenizer_training__devices": 2, "executor__workers": 2, "tokenizer__codebook": "cosine"}
    assert ablate(copy, arms__twin="[rgb,depth]", **changes) == 0
    (made,) = set((copy / "stages").glob("tokenizer-depth-*")) - before
    assert json.loads((made / "card.json").read_text())["card"]["steps"] == 2


def test_a_mistake_in_two_processes_is_one_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(copy, **BOTH, executor__devices=2, training__batch_size=16) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fourm:")]
    assert said == [
        "fourm: 24 training samples are fewer than one step takes: batch size 16 on 2 processes. "
        "Lower training.batch_size, or raise data.train."
    ]
    assert models(copy) == set()
    assert partial_files(copy) == []
