"""Tar archives train an ablation to its report."""

from pathlib import Path

from tests.experiments.sources.train import train_to_report
from tests.modalities.sources.webdataset.test_source import write_ordinary, write_published


def test_published_archives_train_to_a_report(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 16)):
        for shard in range(2):
            start = first + shard * (8 if split == "train" else 2)
            write_published(tmp_path / "tars" / split, range(start, start + 8), shard)
    report = train_to_report("tars", tmp_path / "runs", data__source__path=tmp_path / "tars")
    assert "depth" in report


def test_archives_of_all_modalities_train_to_a_report(tmp_path: Path) -> None:
    write_ordinary(tmp_path / "tars", range(40), 0)
    report = train_to_report(
        "tars",
        tmp_path / "runs",
        data__source__path=tmp_path / "tars",
        data__source__options="{columns: {caption: 'json:alt'}, splits: {train: 0.6, validation: 0.4}}",
        arms="{all: [rgb, caption]}",
    )
    assert "rgb" in report
