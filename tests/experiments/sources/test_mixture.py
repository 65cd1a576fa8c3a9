"""Archives and scenes together train an ablation to its report."""

from pathlib import Path

from tests.experiments.sources.train import train_to_report
from tests.modalities.sources.webdataset.test_source import write_published


def test_archives_and_scenes_train_to_a_report(tmp_path: Path) -> None:
    write_published(tmp_path / "tars" / "train", range(12), 0, ("rgb", "caption"))
    write_published(tmp_path / "tars" / "val", range(12, 15), 0, ("rgb", "caption"))
    tars = f"{{kind: webdataset, path: '{tmp_path / 'tars'}', weight: 1}}"
    report = train_to_report(
        "tars",
        tmp_path / "runs",
        data__source__kind="mixture",
        data__source__path="''",
        data__source__options=f"{{sources: [{tars}, {{kind: scenes, weight: 1}}]}}",
    )
    assert "procedural scenes" in report
