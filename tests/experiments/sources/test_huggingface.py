"""A data set that the library `datasets` saved, and Parquet files, train an ablation to its report."""

from pathlib import Path

import pytest

from tests.experiments.sources.train import train_to_report
from tests.modalities.sources.huggingface.small import dataset, write_parquet

OPTIONS = "{columns: {rgb: image, caption: text}}"


def test_a_saved_data_set_trains_to_a_report(tmp_path: Path) -> None:
    library = pytest.importorskip("datasets")
    library.DatasetDict(train=dataset(range(16)), validation=dataset(range(16, 20))).save_to_disk(tmp_path / "set")
    report = train_to_report(
        "tars",
        tmp_path / "runs",
        data__source__kind="huggingface",
        data__source__path=tmp_path / "set",
        data__source__options=OPTIONS,
    )
    assert "Depth" in report


def test_parquet_files_train_to_a_report(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "train-00000-of-00001.parquet", range(16))
    write_parquet(tmp_path / "set" / "validation-00000-of-00001.parquet", range(16, 20))
    train_to_report(
        "tars",
        tmp_path / "runs",
        data__source__kind="huggingface",
        data__source__path=tmp_path / "set",
        data__source__options=OPTIONS,
        arms="{all: [rgb, caption]}",
    )
