"""A COCO folder trains an ablation to its report."""

from pathlib import Path

from tests.experiments.sources.train import train_to_report
from tests.modalities.sources.coco.small import write_coco


def test_coco_trains_to_a_report(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco", "train2017", range(16))
    write_coco(tmp_path / "coco", "val2017", range(16, 20))
    (tmp_path / "coco" / "classes.txt").write_text("cat\ngreen grass\ndog\n")
    report = train_to_report(
        "tars",
        tmp_path / "runs",
        arms="{all: [rgb, caption, bounding_boxes, sam_instances, semseg]}",
        scale__max_tokens=48,
        evaluation__num_sequences=1,
        data__source__kind="coco",
        data__source__path=tmp_path / "coco",
        data__classes="{semseg: classes.txt, bounding_boxes: classes.txt}",
    )
    assert "Bounding boxes" in report
    assert "CC-BY-4.0" in report
