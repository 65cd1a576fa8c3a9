"""Annotation files are read by image; an entry of another form is one line that names it."""

import json
from pathlib import Path
from typing import Any

import pytest

from modalities.errors import DataError
from modalities.sources.coco.annotations import CocoInstance, CocoSegments, read_coco_file
from modalities.sources.remote import open_storage

IMAGE = {"id": 9, "file_name": "009.jpg", "height": 20, "width": 30}
INSTANCE = {"id": 1, "image_id": 9, "category_id": 18, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]}

MAP = {"image_id": 9, "file_name": "009.png", "segments_info": []}


def _read(folder: Path, content: Any) -> Any:
    (folder / "a.json").write_text(json.dumps(content))
    return read_coco_file(open_storage(folder), "a.json")


def test_annotations_are_grouped_by_image(tmp_path: Path) -> None:
    segments = {"image_id": 9, "file_name": "009.png", "segments_info": [{"id": 258, "category_id": 18}]}
    found = _read(
        tmp_path,
        {
            "images": [IMAGE],
            "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}],
            "annotations": [
                {"id": 4, "image_id": 9, "caption": "A dog."},
                {"id": 5, "image_id": 9, "caption": "Some dog."},
                INSTANCE,
                {**INSTANCE, "id": 2, "iscrowd": 1},
                segments,
            ],
        },
    )
    assert found.images[9].width == 30
    assert found.categories == {18: "dog"}
    assert found.captions == {9: ["A dog.", "Some dog."]}
    assert found.segments == {9: CocoSegments(file_name="009.png", categories={258: 18})}
    first, second = found.instances[9]
    assert first == CocoInstance(
        annotation_id=1, category=18, bbox=(1, 2, 3, 4), segmentation=[[1, 2, 4, 2, 4, 6]], is_crowd=False
    )
    assert second.is_crowd


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has no list of images"),
        ({"images": [{"id": 3}]}, r"image 3 is not as COCO has it \(no entry 'height'\)"),
        ({"images": [{**IMAGE, "width": 0}]}, r"image 9 is not as COCO has it \(it has 0 x 20 pixels\)"),
        ({"images": [IMAGE], "annotations": [{"id": 8}]}, r"annotation 8 .* \(no entry 'image_id'\)"),
        ({"images": [IMAGE], "annotations": [{**INSTANCE, "bbox": [1, 2]}]}, "annotation 1 is not as COCO"),
        ({"images": [IMAGE], "categories": ["dog"]}, "category dog is not as COCO"),
        ({"images": [IMAGE], "categories": {"18": "dog"}}, "has a dict under 'categories', expected a list"),
        (
            {"images": [IMAGE], "annotations": [{"id": 4, "image_id": 9, "caption": None}]},
            r"annotation 4 is not as COCO has it \(caption is null, expected text\)",
        ),
        ({"images": [IMAGE], "categories": [{"id": 1, "name": None}]}, "category 1 .*name is null"),
        ({"images": [IMAGE, {**IMAGE, "file_name": "010.jpg"}]}, "has two entries of image 9"),
        ({"images": [IMAGE], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "entries of category 1"),
        (
            {"images": [IMAGE], "annotations": [{"id": 4, "image_id": 12, "caption": "A dog."}]},
            "has annotations of 1 images that it does not list, such as 12",
        ),
        ({"images": [IMAGE], "annotations": [MAP, MAP]}, "has two panoptic maps of image 9"),
    ],
)
def test_other_forms_are_one_line(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"a\.json.*{message}"):
        _read(tmp_path, content)


def test_lists_that_are_null_are_empty(tmp_path: Path) -> None:
    found = _read(tmp_path, {"images": [IMAGE], "annotations": None, "categories": None, "licenses": None})
    assert (list(found.images), found.categories, found.captions, found.licenses) == ([9], {}, {}, ())


def test_what_is_no_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json cannot be read as JSON"):
        read_coco_file(open_storage(tmp_path), "a.json")
