"""Weights written one at a time are what the format's own reader reads."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lightning_modules.checkpoints import safetensors
from lightning_modules.checkpoints.safetensors import SafetensorsFile, write_safetensors


def test_what_is_written_is_read_by_the_formats_own_reader(tmp_path: Path) -> None:
    whole = torch.arange(24.0).view(4, 6)
    tensors = {
        "view": whole.T[1:3],
        "whole": whole,
        "flag": torch.tensor([True, False, True]),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "one": torch.tensor(7),
        "none": torch.zeros(0, 4),
    }
    write_safetensors(tmp_path / "file", tensors, {"config": "{}"})
    found = load_file(tmp_path / "file")
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(value, tensors[name]) and value.dtype == tensors[name].dtype for name, value in found.items()
    )
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"config": "{}"}


def test_tensors_outlive_the_mapping_they_were_read_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {str(number): torch.full((1000,), float(number)) for number in range(8)}
    write_safetensors(tmp_path / "file", tensors)
    monkeypatch.setattr(safetensors, "MAX_MAPPED_BYTES", 5000)
    source = SafetensorsFile(tmp_path / "file")
    read = {name: source[name] for name in source}
    assert all(torch.equal(value, tensors[name]) for name, value in read.items())
    assert source.shape("3") == (1000,)
