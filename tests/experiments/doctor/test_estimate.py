"""Estimates against what a run writes and builds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.doctor.examine import examine
from experiments.doctor.findings import Severity
from experiments.schema.sections import DataConfig
from lightning_modules.data.raw import write_shard
from lightning_modules.data.store import id_dtype
from modalities.sources.crops import CropConfig
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.streams import streams_of
from tests.experiments.doctor.table import subject_of
from tests.experiments.doctor.test_examine import NAMES, healthy


def test_bytes_are_those_of_a_shard(tmp_path: Path) -> None:
    table = healthy()
    del table["train"]["1"]["rgb"]
    subject = subject_of(table, *NAMES)
    for split, count in (("train", 3), ("validation", 1)):
        write_shard(tmp_path / split, subject.modalities, subject.source, split, range(count))
    estimate = examine(subject).estimate
    assert estimate.samples == {"train": 3, "validation": 1}
    raw = {item.modality: item.raw_bytes for item in estimate.modalities}
    for name in ("semseg", "rgb"):
        assert raw[name] == sum(np.load(path).nbytes for path in tmp_path.glob(f"*/{name}/values.npy"))
    assert raw["caption"] == sum(path.stat().st_size for path in tmp_path.glob("*/caption/values.jsonl"))


def test_tokens_are_counted_over_the_samples_that_have_them() -> None:
    table = healthy()
    del table["train"]["1"]["rgb"]
    diagnosis = examine(subject_of(table, *NAMES))
    tokens = {item.modality: item.tokens for item in diagnosis.estimate.modalities}
    assert tokens["rgb"] == 3 * 16
    assert tokens["semseg"] == 4 * 16
    assert tokens["caption"] == sum(item.total for item in diagnosis.texts if item.modality == "caption")
    # Ids of 16 bits, and the raw patches that the model reads too.
    rgb = next(item for item in diagnosis.estimate.modalities if item.modality == "rgb")
    assert rgb.token_bytes == 3 * 16 * id_dtype(64).itemsize + rgb.raw_bytes


def test_samples_that_were_not_read_count_too() -> None:
    table = healthy()
    whole, part = (examine(subject_of(table, "rgb", "semseg"), limit).estimate for limit in (None, 1))
    assert part.tokens == whole.tokens
    assert part.disk_bytes == whole.disk_bytes


def test_a_model_is_counted_as_it_is_built() -> None:
    subject = subject_of(healthy(), *NAMES, has_run=True)
    config = replace(
        subject.config,
        model=FourMConfig(size=Size.nano),
        data=DataConfig(train=2, validation=1, crops=CropConfig(count=2)),
    )
    diagnosis = examine(replace(subject, config=config))
    estimate = diagnosis.estimate
    assert estimate.samples == {"train": 2, "validation": 1}
    assert estimate.model is not None
    torch.manual_seed(0)
    # 4,284 published tokens and those of the words here; the table's size follows from the parameters.
    sizes = {
        vocab: sum(p.numel() for p in FourM(streams_of(subject.modalities, vocab), config.model).parameters())
        for vocab in (5000, 5001)
    }
    per_token = sizes[5001] - sizes[5000]
    vocab, rest = divmod(estimate.model.parameters["examined"] - sizes[5000], per_token)
    assert rest == 0
    assert 4284 < 5000 + vocab < 5000
    assert estimate.model.training_bytes == 16 * estimate.model.parameters["examined"]
    expected = config.num_steps * config.training.batch_size / 2
    assert estimate.model.times_shown == pytest.approx(expected)


def test_without_a_config_no_model_is_guessed() -> None:
    assert examine(subject_of(healthy(), *NAMES)).estimate.model is None


def test_every_crop_is_a_sample_of_a_run() -> None:
    subject = subject_of(healthy(), *NAMES)
    data = DataConfig(train=None, validation=None, crops=CropConfig(count=4))
    estimate = examine(replace(subject, config=replace(subject.config, data=data))).estimate
    assert estimate.samples == {"train": 12, "validation": 1}


def test_fewer_samples_than_a_run_wants_are_an_error() -> None:
    subject = subject_of(healthy(), *NAMES)
    data = DataConfig(train=1000, validation=1)
    diagnosis = examine(replace(subject, config=replace(subject.config, data=data)))
    (found,) = diagnosis.of_severity(Severity.error)
    assert found.message.startswith("table has 3 samples in split 'train', but data.train is 1,000")
