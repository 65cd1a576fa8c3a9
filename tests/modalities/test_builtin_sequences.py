"""The nine built-in sequence modalities: declared facts, round trips, files, views, pictures."""

from pathlib import Path

import numpy as np
import pytest

from modalities.geometry.boxes import Box, box_iou
from modalities.geometry.masks import mask_boxes, mask_to_rle, rle_to_mask
from modalities.geometry.poses import rest_pose
from modalities.metrics.detection import panoptic_quality
from modalities.registry import default_registry
from modalities.sources.scenes import ScenesSource
from modalities.spec import Crop, learned_tokenizer
from networks.tokenizers.text import TextTokenizer
from tests.modalities.scene_cases import view_of
from tests.modalities.sequence_cases import NAMES, modality_of, random_codes, scenes

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "serialisation.json"
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference is not here")

WHOLE = Crop(left=0, top=0, width=1, height=1)
MIRROR = Crop(left=0, top=0, width=1, height=1, flip=True)
BOXES, POSES, INSTANCES = (modality_of(name) for name in ("bounding_boxes", "human_poses", "sam_instances"))


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    texts = [scene.caption for scene in scenes()] + [scene.web_text for scene in scenes()]
    return TextTokenizer.train(texts, ScenesSource.class_names)


@pytest.mark.parametrize("name", NAMES)
def test_text_follows_its_own_grammar_and_fits(name: str, tokenizer: TextTokenizer) -> None:
    modality = modality_of(name)
    rng = np.random.default_rng(0)
    for scene in scenes():
        value = view_of(modality, scene)
        ids = tokenizer.encode(modality.serialize(value, rng, random_codes(modality, value, rng)))
        assert len(ids) < modality.num_tokens
        parsed = modality.parse(tokenizer.decode(ids))
        assert parsed.well_formed
        if parsed.codes is not None:
            assert len(parsed.codes) == len(parsed.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("sam_instances", "color_palette")])
def test_spelling_what_was_read_gives_the_same_text(name: str, tokenizer: TextTokenizer) -> None:
    modality = modality_of(name)
    for scene in scenes():
        value = view_of(modality, scene)
        codes = random_codes(modality, value, np.random.default_rng(1))
        text = modality.serialize(value, np.random.default_rng(0), codes)
        parsed = modality.parse(text)
        if name == "human_poses":
            again = modality.serialize(parsed.value, np.random.default_rng(0), parsed.codes)
            differences = [
                abs(int(a[3:]) - int(b[3:])) if a.startswith("v") else float(a != b)
                for a, b in zip(again.split(), text.split(), strict=True)
            ]
            assert max(differences) <= 1  # Rotations are made orthogonal again.
        elif name.startswith("metadata"):
            assert modality.to_bins(parsed.value) == modality.to_bins(value)  # type: ignore[attr-defined]
        else:
            assert modality.serialize(parsed.value, np.random.default_rng(0)) == text


@pytest.mark.parametrize("name", NAMES)
def test_files_bring_the_value_back(name: str, tmp_path: Path) -> None:
    modality = modality_of(name)
    for index, scene in enumerate(scenes()):
        value = view_of(modality, scene)
        path = tmp_path / f"{index}{modality.suffix}"
        modality.write_file(path, value)
        again = modality.read_file(path)
        modality.write_file(tmp_path / "again", again)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()
        for metric in modality.metrics().values():
            metric.update(modality.collate([again]), modality.collate([value]))
            found = float(metric.compute())
            assert np.isnan(found) or found == pytest.approx(float(bool(metric.higher_is_better)), abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_perfect_on_the_truth_and_worse_on_a_constant(name: str) -> None:
    modality = modality_of(name)
    values = [view_of(modality, scene) for scene in scenes()]
    guess = modality.constant_baseline(values)
    for metric in modality.metrics().values():
        metric.update(modality.collate(values), modality.collate(values))
        best = float(metric.compute())
        assert best == pytest.approx(float(bool(metric.higher_is_better)))
        metric.reset()
        metric.update(modality.collate([guess] * len(values)), modality.collate(values))
        worse = float(metric.compute())
        assert worse < best if metric.higher_is_better else worse > best
        assert metric.unit


@pytest.mark.parametrize("name", NAMES)
def test_everything_can_be_drawn(name: str) -> None:
    modality = modality_of(name)
    for value in [view_of(modality, scenes()[0]), modality.constant_baseline([]), modality.parse("").value]:
        picture = modality.render(value)
        assert isinstance(picture, str) or (picture.dtype == np.uint8 and picture.shape[2] == 3)


@pytest.mark.parametrize("name", NAMES)
def test_an_unchanged_view_changes_nothing_and_two_mirrors_neither(name: str) -> None:
    modality = modality_of(name)
    value = view_of(modality, scenes()[3])
    for again in (
        modality.transform(value, WHOLE),
        modality.transform(modality.transform(value, MIRROR), MIRROR),
    ):
        for metric in modality.metrics().values():
            metric.update(modality.collate([again]), modality.collate([value]))
            found = float(metric.compute())
            assert np.isnan(found) or found == pytest.approx(float(bool(metric.higher_is_better)), abs=1e-3)


def test_codes_are_kept_in_the_order_of_the_parts() -> None:
    people = [rest_pose(), rest_pose()]
    codes = np.array([[1, 2, 3, 4, 5, 6, 7, 8], [299] * 8])
    parsed = POSES.parse(POSES.serialize(people, np.random.default_rng(0), codes))
    assert parsed.codes is not None
    assert parsed.codes.tolist() == codes.tolist()


def test_codes_of_another_count_are_refused() -> None:
    with pytest.raises(ValueError, match="needs the codes of 1 people"):
        POSES.serialize([rest_pose()], np.random.default_rng(0))


def test_masks_come_back_through_their_crops() -> None:
    for scene in scenes():
        masks = view_of(INSTANCES, scene)
        crops = INSTANCES.preprocess(masks)
        assert crops.min() >= 0
        assert crops.max() <= 1
        logits = ((crops - 0.5) * 50).astype(np.float32)
        boxes = np.zeros_like(masks)
        for box, (left, top, right, bottom) in zip(boxes, (mask_boxes(masks) * 64).round().astype(int), strict=True):
            box[top:bottom, left:right] = True
        again = INSTANCES.with_decoded_parts(boxes, logits)
        assert panoptic_quality(again, masks) > 0.95


def test_instances_that_are_hit_come_back_in_place() -> None:
    rng = np.random.default_rng(0)
    for scene in scenes():
        masks = view_of(INSTANCES, scene)
        codes = np.arange(len(masks))[:, None].repeat(16, 1)
        parsed = INSTANCES.parse(INSTANCES.serialize(masks, rng, codes))
        assert parsed.codes is not None
        hit = parsed.codes[:, 0]
        assert len(set(hit.tolist())) == len(hit)
        overlap = box_iou(mask_boxes(parsed.value), mask_boxes(masks[hit]))
        assert (np.diag(overlap) > 0.7).all()


def test_run_lengths_are_cocos() -> None:
    mask = np.array([[1, 0, 1], [1, 1, 0]], dtype=bool)
    assert mask_to_rle(mask) == {"size": [2, 3], "counts": [0, 2, 1, 2, 1]}
    assert (rle_to_mask(mask_to_rle(mask)) == mask).all()
    with pytest.raises(ValueError, match="runs of 3 pixels, expected 2 x 2 = 4"):
        rle_to_mask({"size": [2, 2], "counts": [1, 2]})


# --- views --------------------------------------------------------------------------------------------------------


def test_a_crop_cuts_boxes_and_masks_alike() -> None:
    crop = Crop(left=0.25, top=0.125, width=0.5, height=0.5, flip=True)
    for scene in scenes():
        whole = view_of(INSTANCES, scene)
        value = [Box(box=tuple(box), class_name="x") for box in mask_boxes(whole).tolist()]
        boxes = np.array([box.box for box in BOXES.transform(value, crop)]).reshape(-1, 4)
        # An instance's part need not reach all edges of its box's part, as the box is that of the whole.
        for left, top, right, bottom in mask_boxes(INSTANCES.transform(whole, crop)):
            reach = [left, top, -right, -bottom] - boxes * [1, 1, -1, -1]
            assert (reach > -1e-6).all(1).any()


def test_a_mirrored_person_has_mirrored_joints() -> None:
    people = [pose for scene in scenes() for pose in view_of(POSES, scene)]
    assert people
    left_and_right = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    for pose in people:
        (mirrored,) = POSES.transform([pose], MIRROR)
        expected = pose.joints()[left_and_right] * [-1, 1, 1]
        # Spine and neck bones lie in the plane of symmetry, so the body's mirror image is exact.
        assert np.allclose(mirrored.joints(), expected, atol=1e-5)
        assert np.allclose(mirrored.translation, pose.translation * [-1, 1, 1], atol=1e-5)
        assert mirrored.box[0] == pytest.approx(1 - pose.box[2])


def test_the_scenes_people_are_where_the_scene_says() -> None:
    for scene in scenes():
        for person in scene.people:
            (pose,) = [pose for pose in view_of(POSES, scene) if pose.box == person.box]
            assert np.allclose(pose.joints() + pose.translation, person.joints, atol=1e-4)


def test_declared_facts_are_the_published_ones() -> None:
    registry = default_registry()
    lengths = {name: registry[name].num_tokens for name in NAMES}
    assert lengths == {
        "caption": 256,
        "web_text": 256,
        "bounding_boxes": 256,
        "metadata_semantic": 21,
        "metadata_geometric": 5,
        "metadata_image": 15,
        "color_palette": 23,
        "human_poses": 275,
        "sam_instances": 290,
    }
    assert all(registry[name].data_type == "sequence" for name in NAMES)
    all_vocabulary_rows = [learned_tokenizer(registry[name]) for name in ("human_poses", "sam_instances")]
    assert [(spec.layout.num_tokens, spec.tokenizer.vocab_size) for spec in all_vocabulary_rows if spec] == [
        (8, 1024),
        (16, 1024),
    ]
