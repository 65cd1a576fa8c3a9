"""The nine built-in sequence modalities: published spelling, and robustness to any text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.builtin import human_poses, sam_instances
from modalities.builtin.color_palette import MODALITY as PALETTE
from modalities.builtin.color_palette import palette_tokens as spell_palette
from modalities.geometry.boxes import Box
from modalities.geometry.poses import Pose, rest_pose
from modalities.kinds.metadata import GEOMETRIC_FIELDS, IMAGE_FIELDS, SEMANTIC_FIELDS
from modalities.kinds.metadata import fact_tokens as spell_fact
from modalities.scenes.scene import make_scene
from modalities.spec import learned_tokenizer
from modalities.vocabulary import GRAMMAR_KEYWORDS
from tests.modalities.scene_cases import view_of
from tests.modalities.sequence_cases import NAMES, modality_of, random_codes

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "serialisation.json"
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference is not here")

BOXES, POSES, INSTANCES = (modality_of(name) for name in ("bounding_boxes", "human_poses", "sam_instances"))


def reference(kind: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(REFERENCE.read_text())[kind]
    return cases


@needs_reference
def test_boxes_are_spelled_as_published() -> None:
    for case in reference("boxes"):
        value = [
            Box(box=tuple(item["boxes"]), class_name=item["class_name"], score=item["score"])
            for item in case["instances"]
        ]
        assert BOXES.serialize(value, np.random.default_rng(0)) == case["text"]


@needs_reference
def test_metadata_is_spelled_as_published() -> None:
    for case in reference("metadata"):
        found = set()
        for name in ("metadata_semantic", "metadata_geometric", "metadata_image"):
            words = modality_of(name).serialize(case["metadata"], np.random.default_rng(0)).split()
            found |= {f"{kind} {number}" for kind, number in zip(words[::2], words[1::2], strict=True)}
        assert found == set(case["chunks"])


@needs_reference
def test_poses_are_spelled_as_published() -> None:
    for case in reference("human_poses"):
        people = []
        for row in case["humans"]:
            at = {name: row.index(name) + 1 for name in human_poses.PARAMETER_GROUPS}
            pose = Pose(
                box=tuple(row[1:5]),
                global_orient=np.array(row[at["global"] :][:9], dtype=np.float32).reshape(3, 3),
                body_pose=rest_pose().body_pose,
                betas=np.array(row[at["shape"] :][:10], dtype=np.float32),
                camera=np.array(row[at["camera"] :][:3], dtype=np.float32),
            )
            people.append(human_poses.person_tokens(pose, row[at["pose"] :][:8], case["group_order"]))
        assert " ".join(people) == case["text"].strip()


@needs_reference
def test_palettes_are_spelled_as_published() -> None:
    for case in reference("color_palette"):
        colors = np.array(case["rgb"]).reshape(-1, 3).tolist()
        assert spell_palette([tuple(color) for color in colors]) == case["text"]


@needs_reference
def test_instances_are_spelled_as_published() -> None:
    for case in reference("sam_instances"):
        points = []
        for point in case["points"]:
            hits = []
            for item in point["instances"]:
                ymin, xmin, ymax, xmax = (int(edge) for edge in item["bbox_ymin_xmin_ymax_xmax"])
                hits.append(((xmin, ymin, xmax, ymax), item["tokens"]))
            points.append(sam_instances.query_point_tokens(point["y"], point["x"], hits))
        assert " ".join(points) == case["text"]


def test_boxes_run_from_the_upper_left_and_unsure_ones_are_left_out() -> None:
    value = [
        Box(box=(0.5, 0.5, 1, 1.2), class_name="traffic light", score=0.6),
        Box(box=(0, 0, 1, 1), class_name="cat", score=0.59),
        Box(box=(0.1, 0.2, 0.3, 0.4), class_name="dog"),
    ]
    text = "v0=100 v1=200 v2=300 v3=400 dog v0=500 v1=500 v2=999 v3=999 traffic light"
    assert BOXES.serialize(value, np.random.default_rng(0)) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("original_width", 1518, "v1=0 v0=47"),
        ("caption_n_chars", 1325, "v1=2 v0=999"),
        ("brightness", 120, "v1=10 v0=23"),
        ("brightness", 255, "v1=10 v0=49"),
        ("entropy", -1, "v1=13 v0=0"),
        ("occlusion_score", 3, "v1=18 v0=49"),
    ],
)
def test_facts_fall_into_the_published_bins(name: str, value: float, text: str) -> None:
    field = next(field for field in (*SEMANTIC_FIELDS, *GEOMETRIC_FIELDS, *IMAGE_FIELDS) if field.name == name)
    assert spell_fact(field.id, field.to_bin(value)) == text


def test_nineteen_facts_are_told_in_three_groups() -> None:
    assert sorted(field.id for field in (*SEMANTIC_FIELDS, *GEOMETRIC_FIELDS, *IMAGE_FIELDS)) == list(range(19))
    for field in (*SEMANTIC_FIELDS, *GEOMETRIC_FIELDS, *IMAGE_FIELDS):
        for number in range(field.num_bins):
            assert field.to_bin(field.from_bin(number)) == number


def test_every_length_of_palette_is_drawn_as_often() -> None:
    rng = np.random.default_rng(0)
    value = tuple((index, 2 * index, 3 * index) for index in range(7))
    texts = [PALETTE.serialize(value, rng) for _ in range(1400)]
    counts = np.bincount([len(PALETTE.parse(text).value) for text in texts], minlength=8)
    assert counts[0] == 0
    assert (abs(counts[1:] - 200) < 60).all()
    assert all(PALETTE.parse(text).value == value[: len(PALETTE.parse(text).value)] for text in texts)


TOKENS = st.one_of(
    st.builds("v{}={}".format, st.integers(0, 4), st.integers(0, 1100)),
    st.sampled_from(GRAMMAR_KEYWORDS),
    st.sampled_from(["car", "traffic light", "ball", "[UNK]", "[S_1]", "##x", "hello", "\u00e9", "v0=", "."]),
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=80, deadline=None)
@given(tokens=st.lists(TOKENS, max_size=60))
def test_no_text_makes_reading_fail(name: str, tokens: list[str]) -> None:
    modality = modality_of(name)
    parsed = modality.parse(" ".join(tokens))
    modality.render(parsed.value)
    spec = learned_tokenizer(modality)
    if spec is not None:
        assert parsed.codes is not None
        assert parsed.codes.shape == (len(parsed.value), spec.layout.num_tokens)
        assert (parsed.codes < spec.tokenizer.vocab_size).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 20), cut=st.integers(0, 300), at=st.integers(0, 300), token=TOKENS)
def test_a_text_that_is_cut_or_garbled_is_read_as_far_as_it_goes(
    name: str, seed: int, cut: int, at: int, token: str
) -> None:
    modality = modality_of(name)
    rng = np.random.default_rng(seed)
    value = view_of(modality, make_scene(seed, size=16))
    if name == "sam_instances":
        value = value.repeat(4, 1).repeat(4, 2)
    words = modality.serialize(value, rng, random_codes(modality, value, rng)).split()
    whole = modality.parse(" ".join(words))
    part = modality.parse(" ".join(words[:cut]))
    if name not in ("caption", "web_text", "metadata_semantic", "metadata_geometric", "metadata_image"):
        assert len(part.value) <= len(whole.value)
        if part.codes is not None and whole.codes is not None:
            assert part.codes.tolist() == whole.codes[: len(part.codes)].tolist()
    words.insert(at % (len(words) + 1), token)
    modality.parse(" ".join(words))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bounding_boxes", "v0=1 v1=2 v2=3 v3=4 car v0=1 v1=2 v2=3 v3=4"),
        ("bounding_boxes", "v0=1 v1=2 v2=3 v3=4 car v0=1 v1=2"),
        ("bounding_boxes", "v0=1 v1=2 v2=3 v3=4 car human v0=3 v1=3 v2=2 v3=4 dog"),
        ("bounding_boxes", "v0=1 v1=2 v2=3 v3=4 car v0=5 v1=5 v2=9 v3=9 unicorn"),
        ("bounding_boxes", "v1=2 v2=3 v3=4 car v0=1 v1=2 v2=3 v3=4 car"),
        ("metadata_image", "v1=0 v0=2 v1=1"),
        ("metadata_image", "v1=0 v0=2 v1=0 v0=3"),
        ("metadata_image", "v1=0 v0=2 v1=13 v0=50"),
        ("metadata_image", "v1=5 v0=2 v1=0 v0=2"),
        ("color_palette", "v1=2 v0=1 v0=2 v0=3 v0=1 v0=2"),
        ("color_palette", "v1=1 v0=1 v0=2 v0=300"),
        ("color_palette", "v1=1 v0=1 v0=2 v0=3 v0=4"),
        ("human_poses", "none none"),
        ("human_poses", "human v0=0 v1=0 v2=9 v3=9 pose"),
        ("human_poses", ""),
        ("sam_instances", "point v0=1 v1=1"),
        ("sam_instances", "point v0=1 v1=1 none polygon"),
        ("sam_instances", ""),
    ],
)
def test_what_breaks_the_grammar_is_told(name: str, text: str) -> None:
    assert modality_of(name).parse(text).well_formed is False


def test_one_bad_box_leaves_the_others() -> None:
    text = "v0=1 v1=2 v2=3 v3=4 car v0=7 v1=2 v0=5 v1=5 v2=9 v3=9 dog"
    assert [box.class_name for box in BOXES.parse(text).value] == ["car", "dog"]


def test_no_things_at_all_are_well_formed_where_the_grammar_says_so() -> None:
    assert BOXES.parse("").well_formed
    assert POSES.parse("none").well_formed
    assert INSTANCES.parse("point v0=1 v1=1 none").well_formed
