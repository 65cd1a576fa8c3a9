"""What an examination counts and finds, over samples that are written down here."""

from typing import Any

import numpy as np
import pytest

from experiments.doctor.examine import Diagnosis, examine
from experiments.doctor.findings import Finding, Severity
from modalities.geometry.boxes import Box
from tests.experiments.doctor.table import SCALE, Table, subject_of

CAPTIONS = ("a red ball", "a dog on the grass", "two people in a room", "a green box")


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def healthy() -> dict[str, dict[str, dict[str, Any]]]:
    """Three training samples and one held-out one, with an image, a class map, boxes and a caption."""
    table: dict[str, dict[str, dict[str, Any]]] = {"train": {}, "validation": {}}
    for number, caption in enumerate(CAPTIONS):
        split = "validation" if number == 3 else "train"
        table[split][str(number)] = {
            "rgb": picture(number),
            "semseg": np.full((32, 32), number, np.uint8),
            "bounding_boxes": (Box(box=(0.1, 0.2, 0.5, 0.6), class_name="dog"),),
            "caption": caption,
        }
    return table


NAMES = ("rgb", "semseg", "bounding_boxes", "caption")


def diagnose(table: Table, *names: str) -> Diagnosis:
    return examine(subject_of(table, *(names or NAMES)))


def of_check(diagnosis: Diagnosis, check: str) -> list[Finding]:
    return [item for item in diagnosis.findings if item.check == check]


def test_a_healthy_source_has_neither_errors_nor_warnings() -> None:
    diagnosis = diagnose(healthy())
    assert {item.severity for item in diagnosis.findings} == {Severity.note}
    assert [(item.name, item.samples, item.read) for item in diagnosis.splits] == [
        ("train", 3, 3),
        ("validation", 1, 1),
    ]


def test_counts_shapes_types_and_ranges() -> None:
    table = healthy()
    del table["train"]["1"]["rgb"]
    columns = {(item.modality, item.split): item for item in diagnose(table).columns}
    rgb = columns["rgb", "train"]
    assert (rgb.present, rgb.missing_keys, rgb.unreadable) == (2, ["1"], 0)
    assert dict(rgb.shapes) == {(32, 32, 3): 2}
    assert dict(rgb.types) == {"uint8": 2}
    both = np.stack([picture(0), picture(2)])
    assert (rgb.low, rgb.high) == (both.min(), both.max())
    assert dict(columns["caption", "train"].types) == {"str": 3}


def test_samples_that_lack_a_modality_are_named() -> None:
    table = healthy()
    del table["train"]["1"]["rgb"]
    (found,) = of_check(diagnose(table), "missing")
    assert found.severity is Severity.note
    assert found.message == "rgb is missing in 1 of 3 samples of train: 1."


def test_holes_in_a_map_do_not_count_as_its_range() -> None:
    table = healthy()
    depth = np.full((32, 32), 2.0, np.float32)
    depth[0, 0], depth[0, 1], depth[0, 2] = np.nan, np.inf, 5.0
    for sample in [*table["train"].values(), *table["validation"].values()]:
        sample["depth"] = depth
    columns = {(item.modality, item.split): item for item in diagnose(table, "rgb", "depth").columns}
    assert (columns["depth", "train"].low, columns["depth", "train"].high) == (2.0, 5.0)


def test_a_value_of_another_kind_is_an_error_that_names_its_place() -> None:
    table = healthy()
    table["train"]["1"]["rgb"] = np.zeros((32, 32, 4), np.int64)
    (found,) = of_check(diagnose(table), "unreadable")
    assert (found.severity, found.modality, found.split, found.key) == (Severity.error, "rgb", "train", "1")
    assert found.origin == "train/1/rgb"
    assert found.message.startswith("train/1/rgb: ")


def test_a_map_in_another_unit_is_told_by_what_the_tokenizer_sees() -> None:
    table = healthy()
    ramp = np.linspace(1, 4, 1024, dtype=np.float32).reshape(32, 32)
    for split in table.values():
        for key, sample in split.items():
            sample["depth"] = ramp * 1000 if key == "2" else ramp
    (found,) = of_check(diagnose(table, "rgb", "depth"), "range")
    assert found.origin == "train/2/depth"
    assert "1000 to 4000, are one and the same to the tokenizer" in found.message


def test_a_modality_that_no_sample_has_is_an_error() -> None:
    (found,) = of_check(diagnose(healthy(), "rgb", "depth"), "absent")
    assert found.message.startswith("No sample that was read has depth")


def test_an_image_in_two_splits_is_an_error_and_twice_in_one_a_warning() -> None:
    table = healthy()
    table["validation"]["3"]["rgb"] = picture(0)
    table["train"]["2"]["rgb"] = picture(1)
    diagnosis = diagnose(table)
    (leak,) = of_check(diagnosis, "duplicate_between_splits")
    assert leak.severity is Severity.error
    assert leak.message.startswith("validation/3/rgb: the same image as train/0/rgb, in train and validation")
    (twice,) = of_check(diagnosis, "duplicate")
    assert twice.severity is Severity.warning
    assert twice.message.startswith("train/2/rgb: the same image as train/1/rgb, in train twice")


def test_a_sample_with_one_modality_alone_is_named() -> None:
    table = healthy()
    table["train"]["lonely"] = {"caption": "nobody"}
    table["train"]["nothing"] = {}
    alone, nothing = of_check(diagnose(table), "no_partner")
    assert alone.message.startswith("train/lonely/caption: caption alone; there is no rgb and no semseg")
    assert nothing.message == "Sample nothing has none of rgb, semseg, bounding_boxes, caption."


def test_classes_that_are_known_unknown_ignored_and_unused() -> None:
    table = healthy()
    strange = np.zeros((32, 32), np.uint8)
    strange[0], strange[1] = 99, 255
    table["train"]["1"]["semseg"] = strange
    table["train"]["2"]["bounding_boxes"] = (Box(box=(0.0, 0.0, 1.0, 1.0), class_name="unicorn"),)
    diagnosis = diagnose(table)
    classes = {item.modality: item for item in diagnosis.classes}
    assert dict(classes["semseg"].used) == {"sky": 2, "wall": 1, "floor": 1}
    assert dict(classes["semseg"].unknown) == {"99": 1}
    assert dict(classes["semseg"].ignored) == {"255": 1}
    assert "grass" in classes["semseg"].unused
    assert dict(classes["bounding_boxes"].unknown) == {"unicorn": 1}
    found = {item.origin: item for item in of_check(diagnosis, "unknown_class")}
    assert found["train/1/semseg"].message == (
        "train/1/semseg: semseg has the class 99, expected 0 to 12, or 255 for no class."
    )
    assert found["train/2/bounding_boxes"].severity is Severity.error


def test_texts_are_measured_in_tokens() -> None:
    table = healthy()
    table["train"]["2"]["caption"] = " ".join(["ball"] * 40)
    table["validation"]["3"]["caption"] = "犬 と 猫"
    diagnosis = diagnose(table)
    texts = {(item.modality, item.split): item for item in diagnosis.texts}
    train, held_out = texts["caption", "train"], texts["caption", "validation"]
    # A word that occurs twice in training is one piece, and one more token ends a text.
    assert train.longest == 41
    assert train.limit == SCALE.max_tokens
    assert train.num_over == 1
    assert held_out.lengths == {4: 1}
    assert held_out.unknown_share == pytest.approx(3 / 4)
    (long,) = of_check(diagnosis, "too_long")
    assert long.message.startswith("train/2/caption: caption takes 41 tokens, of which a run keeps 24")
    (unknown,) = of_check(diagnosis, "unknown_tokens")
    assert unknown.message.startswith("validation/3/caption: 3 of 4 tokens of caption are unknown")


def test_all_texts_of_a_sample_are_measured() -> None:
    table = healthy()
    table["train"]["0"]["caption"] = ["a dog", " ".join(["dog"] * 50)]
    diagnosis = diagnose(table)
    assert [item.origin for item in of_check(diagnosis, "too_long")] == ["train/0/caption"]


def test_a_split_without_samples_is_an_error() -> None:
    table = {"train": healthy()["train"]}
    (found,) = of_check(diagnose(table), "empty_split")
    assert "has no samples in split validation" in found.message


def test_a_key_in_two_splits_is_an_error() -> None:
    table = healthy()
    table["validation"]["0"] = table["train"]["0"]
    (found,) = of_check(diagnose(table), "shared_keys")
    assert found.message.endswith("split validation shares samples with another: 0.")


def test_a_limit_is_said_and_kept() -> None:
    diagnosis = examine(subject_of(healthy(), *NAMES), limit=2)
    assert [item.read for item in diagnosis.splits] == [2, 1]
    assert diagnosis.notes == ("train: 2 of 3 samples were read, at even steps.",)


def test_a_licence_that_is_not_stated_is_noted() -> None:
    diagnosis = examine(subject_of(healthy(), *NAMES, license=""))
    (found,) = of_check(diagnosis, "license")
    assert found.severity is Severity.note


def test_holes_are_an_accident_in_few_maps_and_a_note_in_many() -> None:
    table = healthy()
    for number in range(20):
        sample = {"rgb": picture(100 + number), "depth": np.full((32, 32), 1 + number / 10, np.float32)}
        table["train"][f"d{number}"] = sample
    table["train"]["d3"]["depth"] = np.where(np.eye(32, dtype=bool), np.nan, 2).astype(np.float32)
    (rare,) = of_check(diagnose(table, "rgb", "depth"), "holes")
    assert rare.severity is Severity.warning
    assert rare.message.startswith("train/d3/depth: 3.12 % of the pixels of depth have no measurement")
    for number in range(10):
        table["train"][f"d{number}"]["depth"][:8] = 0
    (many,) = of_check(diagnose(table, "rgb", "depth"), "holes")
    assert many.severity is Severity.note
    assert many.message.startswith("depth: 10 of 20 maps have pixels without a measurement")
