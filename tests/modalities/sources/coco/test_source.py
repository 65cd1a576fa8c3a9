"""COCO's annotations arrive as the modalities' values, in the place where the image shows them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.kinds.keypoints import Keypoints
from modalities.layouts import Dense, Text
from modalities.sources.coco.source import CocoSource
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.sources.stored import decode_stored
from modalities.spec import Modality
from tests.modalities.sources.coco.small import CATEGORIES, HEIGHT, WIDTH, cat, dog_mask, panoptic, write_coco
from tests.modalities.sources.samples import SIDE, run_modalities, words

NAMES = tuple(str(item["name"]) for item in CATEGORIES)
READ = ("rgb", "bounding_boxes", "sam_instances", "semseg", "caption")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_coco(tmp_path, "train2017", range(1, 7))
    write_coco(tmp_path, "val2017", range(7, 9))
    return tmp_path


def data_modalities(*names: str) -> dict[str, Modality]:
    """Modalities with the data's classes."""
    found: dict[str, Any] = run_modalities(*names)
    if "semseg" in found:
        layout = replace(found["semseg"].layout, channels=len(NAMES))
        found["semseg"] = replace(found["semseg"], classes=NAMES, layout=layout)
    if "bounding_boxes" in found:
        found["bounding_boxes"] = replace(found["bounding_boxes"], class_names=NAMES)
    return found


def opened(path: Any, names: tuple[str, ...] = READ, **options: Any) -> CocoSource:
    source = open_source(SourceConfig(kind="coco", path=str(path), options=options), data_modalities(*names))
    assert isinstance(source, CocoSource)
    return source


def read(source: CocoSource, name: str, key: str = "train2017/000000000003") -> Any:
    return source.read(key, source.modalities[name])


def _cropped(array: Any) -> Any:
    """The centred square, resized by the nearest pixel."""
    start = (WIDTH - HEIGHT) // 2
    steps = ((np.arange(SIDE) + 0.5) * HEIGHT / SIDE).astype(int)
    return array[steps[:, None], start + steps[None, :]]


def test_sets_are_splits(root: Path) -> None:
    source = opened(root)
    assert source.splits == ("train", "validation")
    assert list(source.keys("validation")) == ["val2017/000000000007", "val2017/000000000008"]
    assert len(source.keys("train")) == 6
    assert source.license == "CC-BY-4.0"
    assert set(NAMES) <= set(source.class_names)
    assert all(source.explain_missing(item) is None for item in source.modalities.values())


def test_images_and_captions(root: Path) -> None:
    source = opened(root)
    assert (read(source, "rgb") == 15).all()
    assert read(source, "caption").startswith(words(3))
    texts = {read(source, "caption", f"train2017/{number:012d}")[-2] for number in range(1, 7)}
    assert len(texts) > 1, "five captions of each image are drawn among"


def test_boxes_are_shares_of_the_crop_without_crowds(root: Path) -> None:
    boxes = read(opened(root), "bounding_boxes")
    left, top, right, bottom = cat(3)
    start = (WIDTH - HEIGHT) / 2
    x, y = ([max(0.0, (edge - start) / HEIGHT) for edge in (left, right)], [edge / HEIGHT for edge in (top, bottom)])
    found = {box.class_name: box.box for box in boxes if box.class_name == "cat"}
    np.testing.assert_allclose(found["cat"], (x[0], y[0], x[1], y[1]))
    dogs = [box.box for box in boxes if box.class_name == "dog"]
    assert len(dogs) == 2
    np.testing.assert_allclose(sorted(dogs)[0], ((20 - start) / HEIGHT, 20 / HEIGHT, 1, 1))


def test_instances_are_masks_without_crowds(root: Path) -> None:
    masks = read(opened(root), "sam_instances")
    whole = np.zeros((HEIGHT, WIDTH), dtype=bool)
    left, top, right, bottom = cat(3)
    whole[top:bottom, left:right] = True
    assert any((mask == _cropped(whole)).all() for mask in masks)
    assert any((mask == _cropped(dog_mask())).all() for mask in masks)
    assert not any(mask[0, 0] and mask.sum() < 9 for mask in masks)


def test_panoptic_maps_are_class_maps(root: Path) -> None:
    ids = panoptic(3).astype(int) @ [1, 256, 65536]
    expected = np.select([ids == 300, ids == 1], [NAMES.index("cat"), NAMES.index("green grass")], 255)
    np.testing.assert_array_equal(read(opened(root), "semseg"), _cropped(expected))


def test_instances_make_class_maps_too(root: Path) -> None:
    found = read(opened(root, columns={"semseg": "classes"}), "semseg")
    assert (found[_cropped(dog_mask())] == NAMES.index("dog")).all()
    assert set(np.unique(found)) == {NAMES.index("cat"), NAMES.index("dog"), 255}


def test_an_image_without_things_has_no_boxes_and_one_that_is_not_listed_lacks_them(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = [item for item in content["annotations"] if item["image_id"] not in (1, 2)]
    content["images"] = [item for item in content["images"] if item["id"] != 2]
    path.write_text(json.dumps(content))
    source = opened(root)
    empty, missing = "train2017/000000000001", "train2017/000000000002"
    assert read(source, "bounding_boxes", empty) == ()
    assert read(source, "sam_instances", empty).shape == (0, SIDE, SIDE)
    assert read(source, "bounding_boxes", missing) is None
    assert read(source, "sam_instances", missing) is None
    assert read(source, "rgb", missing) is not None


def test_a_missing_image_file_is_a_missing_value(root: Path) -> None:
    (root / "train2017" / "000000000003.png").unlink()
    source = opened(root)
    assert read(source, "rgb") is None
    assert read(source, "caption")


def test_keypoints_are_not_bodies_but_are_given_to_what_reads_them(root: Path) -> None:
    source = opened(root, ("rgb", "human_poses"))
    poses = source.modalities["human_poses"]
    assert "they do not determine the body" in str(source.explain_missing(poses))
    stored: Any = source.stored("train2017/000000000003", poses)
    things = json.loads(stored.data)
    assert things == [[[0.25, 0.25, 1], [0, 0, 0], [0.5, 0.5, 1]]]
    joints = Keypoints(
        name="joints",
        title="Joints",
        layout=Text(max_tokens=32),
        tokenizer=poses.tokenizer,
        names=("head", "left", "right"),
    )
    np.testing.assert_array_equal(decode_stored(stored, joints)[0], np.array(things, dtype=np.float32))


def test_classes_that_the_data_has_and_the_modality_lacks_are_said(root: Path) -> None:
    source = open_source(SourceConfig(kind="coco", path=str(root)), run_modalities("rgb", "semseg"))
    semseg = source.modalities["semseg"]  # type: ignore[attr-defined]
    assert isinstance(semseg.layout, Dense)
    assert "3 categories that are no classes of 'semseg', such as 'cat'" in str(source.explain_missing(semseg))
    lenient = opened(root, ("rgb",), ignore_categories=True)
    assert lenient.explain_missing(semseg) is None
    boxes: Any = replace(data_modalities("bounding_boxes")["bounding_boxes"], class_names=("dog",))  # type: ignore[call-arg]
    found: Any = lenient.read("train2017/000000000003", boxes)
    assert {box.class_name for box in found} == {"dog"}


def test_one_set_without_a_name_is_split_by_shares(tmp_path: Path) -> None:
    write_coco(tmp_path, "all", range(40))
    for path in (tmp_path / "annotations").glob("*.json"):
        path.rename(path.with_name(path.name.replace("_all", "")))
    (tmp_path / "all").rename(tmp_path / "images")
    (tmp_path / "annotations" / "panoptic_all").rename(tmp_path / "annotations" / "panoptic")
    source = opened(tmp_path, splits={"train": 0.5, "validation": 0.5})
    train, validation = (set(source.keys(split)) for split in ("train", "validation"))
    assert len(train) + len(validation) == 40
    assert not train & validation
    assert read(source, "semseg", "000000000003").shape == (SIDE, SIDE)


def test_a_url_gives_the_same(root: Path) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    for path in root.rglob("*.*"):
        if path.is_file():
            memory.pipe_file(f"/coco/{path.relative_to(root)}", path.read_bytes())
    near, far = opened(root), opened("memory://coco")
    for name in READ:
        np.testing.assert_equal(read(far, name), read(near, name))


def test_the_fingerprint_follows_the_files_of_the_modality(root: Path) -> None:
    def prints() -> dict[str, str]:
        source = opened(root)
        return {name: source.fingerprint(item) for name, item in source.modalities.items()}

    before = prints()
    path = root / "annotations" / "captions_train2017.json"
    path.write_text(path.read_text().replace("Again", "Once more"))
    after = prints()
    assert {name for name in READ if after[name] != before[name]} == {"caption"}


def test_what_does_not_fit_is_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"No content of COCO named 'box'\. Did you mean 'boxes'"):
        opened(root, columns={"bounding_boxes": "box"})
    with pytest.raises(ConfigError, match=r"options\.splits has no effect"):
        opened(root, splits={"train": 1.0})
    (root / "annotations" / "panoptic_train2017" / "000000000003.png").unlink()
    with pytest.raises(DataError, match=r"names the map 000000000003\.png, which is in none of the folders"):
        read(opened(root), "semseg")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="has no annotation files of COCO"):
        opened(empty)
