"""A tokenizer's figures on held-out values, against the same computed by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.references.tokenizer_quality import measure_tokenizer
from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.data.rows import load_rows
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.spec import tokenizer_tasks
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig

SCALE = ScaleConfig(size=32, patch=8, max_channels=8, max_vocab=16, max_tokens=40)


@pytest.fixture
def raw(tmp_path: Path) -> RawStore:
    """Six held-out depth maps of 32 pixels."""
    modalities = {"depth": default_registry()["depth"].scaled(SCALE)}
    write_shard(tmp_path / "raw", modalities, open_source(SourceConfig(), modalities), "validation", range(6))
    return RawStore.open([tmp_path / "raw"], modalities)


def test_rows_are_the_preprocessed_values_and_no_more_than_asked_for(raw: RawStore) -> None:
    depth = raw.modalities["depth"]
    rows = load_rows(raw, 4)
    assert rows.dtype == torch.float32
    np.testing.assert_array_equal(rows.numpy(), np.concatenate([depth.preprocess(value) for value in raw["depth"][:4]]))
    twice = RawStore(
        folders=raw.folders,
        modalities={"depth": depth, "other": replace(depth, name="other", base="depth")},
        columns={"depth": raw["depth"], "other": raw["depth"]},
        num_samples=6,
        fingerprint="",
    )
    np.testing.assert_array_equal(load_rows(twice, 4).numpy(), torch.cat([rows[:2], rows[:2]]).numpy())


def test_usage_and_the_round_trip_are_those_of_the_tokenizer(raw: RawStore) -> None:
    depth, torch_seed = raw.modalities["depth"], 0
    torch.manual_seed(torch_seed)
    task = tokenizer_tasks(dict(raw.modalities))["depth"]
    tokenizer = build_tokenizer(task, TokenizerConfig.nano()).eval()
    quality = measure_tokenizer(tokenizer, task.tokenizer.vocab_size, raw, num_rows=6, num_values=3)
    with torch.no_grad():
        codes = tokenizer.encode(load_rows(raw, 6))
        decoded = tokenizer.decode(codes[:3]).numpy()
    assert quality.usage is not None
    assert quality.usage.used == pytest.approx(len(codes.unique()) / task.tokenizer.vocab_size)
    values = raw["depth"][:3]
    predicted = [depth.postprocess(row) for row in decoded]
    expected = depth.metrics()
    expected.update(depth.collate(predicted), depth.collate(values))
    assert quality.metrics
    assert {name: item.value for name, item in quality.metrics.items()} == {
        f"depth/{name}": pytest.approx(float(value)) for name, value in expected.compute().items()
    }
