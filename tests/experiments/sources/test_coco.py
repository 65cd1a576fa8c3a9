"""A COCO folder trains an ablation to its report."""

from pathlib import Path

from tests.experiments.sources.train import train_to_report
from tests.modalities.sources.coco.small import write_coco


def test_coco_trains_to_a_report(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco", "train2017", range(16))
    write_coco(tmp_path / "coco", "val2017", range(16, 20))
    report = train_to_report(
        "tars",
        tmp_path / "runs",
        arms="{all: [rgb, caption, bounding_boxes, sam_instances]}",
        data__source__kind="coco",
        data__source__path=tmp_path / "coco",
        data__source__options="{ignore_categories: true}",
    )
    assert "Bounding boxes" in report
