"""Archives, tables, annotations and mixtures are examined as folders are, faults named by their member or row."""

from pathlib import Path
from typing import Any

import pytest

from experiments.doctor.examine import Diagnosis, examine
from experiments.doctor.findings import Severity
from experiments.doctor.subject import open_subject
from modalities.sources.webdataset.write import write_tar
from tests.modalities.sources.coco.small import write_coco
from tests.modalities.sources.huggingface.small import write_parquet
from tests.modalities.sources.samples import contents
from tests.modalities.sources.webdataset.test_source import write_published

SCALE = {"size": "32", "patch": "8", "max_tokens": "64"}


def diagnose(text: str, *overrides: str, names: tuple[str, ...] = ()) -> Diagnosis:
    return examine(open_subject(text, overrides, names, SCALE))


def messages(diagnosis: Diagnosis) -> list[str]:
    return [item.message for item in diagnosis.findings if item.severity is not Severity.note]


def write_tars(root: Path, damaged: int | None = None) -> None:
    write_published(root / "val", range(12, 15), 0)
    for name in ("rgb", "depth", "caption"):
        members: list[tuple[str, bytes]] = []
        for number in range(6):
            extension, data = contents(number)[name]
            is_damaged = name == "rgb" and number == damaged
            members.append((f"{number:04d}.{extension}", data[:60] if is_damaged else data))
        write_tar(root / "train" / name / "shard-00000.tar", members)


def test_archives(tmp_path: Path) -> None:
    write_tars(tmp_path)
    diagnosis = diagnose(f"webdataset:{tmp_path}")
    assert messages(diagnosis) == []
    assert {item.modality: item.present for item in diagnosis.columns if item.split == "train"} == {
        "rgb": 6,
        "depth": 6,
        "caption": 6,
    }


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    write_tars(tmp_path, damaged=4)
    (message,) = messages(diagnose(f"webdataset:{tmp_path}"))
    assert "train/rgb/shard-00000.tar: 0004." in message
    assert "is not a whole image" in message


def test_tables(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00001.parquet", range(8))
    write_parquet(tmp_path / "validation-00000-of-00001.parquet", range(8, 12))
    columns = "data.source.options={columns: {rgb: image, caption: text}}"
    diagnosis = diagnose(f"huggingface:{tmp_path}", columns)
    assert messages(diagnosis) == []
    columns_of_train = {item.modality: item for item in diagnosis.columns if item.split == "train"}
    assert columns_of_train["depth"].missing == 2
    texts = next(item for item in diagnosis.texts if item.modality == "caption" and item.split == "train")
    # Two captions of each row.
    assert texts.count == 16


def test_annotations(tmp_path: Path) -> None:
    write_coco(tmp_path, "train2017", range(6))
    write_coco(tmp_path, "val2017", range(6, 8))
    names = ("rgb", "bounding_boxes", "sam_instances", "caption")
    diagnosis = diagnose(f"coco:{tmp_path}", "data.source.options={ignore_categories: true}", names=names)
    found: dict[str, Any] = {item.modality: item for item in diagnosis.columns if item.split == "train"}
    assert found["rgb"].present == found["caption"].present == 6
    assert not [item for item in diagnosis.findings if item.severity is Severity.error and item.check != "source"]


def test_a_mixture_names_the_files_of_its_members(tmp_path: Path) -> None:
    write_tars(tmp_path, damaged=1)
    tars = f"{{kind: webdataset, path: '{tmp_path}'}}"
    options = f"data.source.options={{sources: [{tars}, {{kind: folder, path: '{tmp_path / 'more'}'}}]}}"
    for split in ("train", "validation"):
        (tmp_path / "more" / split / "caption").mkdir(parents=True)
        (tmp_path / "more" / split / "caption" / f"{split}.txt").write_text("a dog")
    found = messages(diagnose("mixture", options, names=("rgb", "caption")))
    assert len([line for line in found if "train/rgb/shard-00000.tar: 0001." in line]) == 1
    assert [line for line in found if "more/train/caption/train.txt: caption alone" in line]


def test_a_mixture_that_repeats_a_source_has_no_duplicates(tmp_path: Path) -> None:
    write_tars(tmp_path)
    tars = f"{{kind: webdataset, path: '{tmp_path}', weight: 1}}"
    scenes = "{kind: scenes, weight: 3}"
    options = f"data.source.options={{repeat: true, sources: [{tars}, {scenes}]}}"
    subject = open_subject("mixture", [options], ["rgb", "caption"], SCALE)
    assert not [item for item in examine(subject, 40).findings if item.check.startswith("duplicate")]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_reads_less(tmp_path: Path, limit: int) -> None:
    write_tars(tmp_path)
    diagnosis = examine(open_subject(f"webdataset:{tmp_path}", scale=SCALE), limit)
    assert [item.read for item in diagnosis.splits] == [limit, limit]
