"""The twelve built-in dense modalities: values, views, files, what tokenizers get, constant guesses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import f1_score

from modalities.builtin.normals import normalize_vectors
from modalities.corrections import collect_corrections
from modalities.errors import DataError
from modalities.kinds.discrete import ClassMap
from modalities.labels import CLASSES
from modalities.layouts import Dense, ScaleConfig
from modalities.registry import default_registry
from modalities.scenes.proxies import feature_map, text_embedding
from modalities.scenes.scene import make_scene
from modalities.scenes.world import MAX_DEPTH
from modalities.spec import Crop, Modality, Provenance
from modalities.tokenizer_specs import UNLABELLED
from tests.modalities.scene_cases import view_of

SCALE = ScaleConfig(size=64, patch=8, max_channels=32)
WHOLE = Crop(left=0, top=0, width=1, height=1)
MIRROR = Crop(left=0, top=0, width=1, height=1, flip=True)
CORNER = Crop(left=0.25, top=0.5, width=0.5, height=0.5)
SCENES = [make_scene(seed, size=64) for seed in range(4)]
REGISTRY = default_registry()


def modality_of(name: str) -> Modality:
    return REGISTRY[name].scaled(SCALE)


DEPTH, NORMALS, SEMSEG, CANNY, RGB = (
    modality_of(name) for name in ("depth", "normals", "semseg", "canny_edges", "rgb")
)

LAYERS: dict[str, Any] = {
    "rgb": lambda scene: scene.rgb,
    "depth": lambda scene: scene.depth,
    "normals": lambda scene: scene.normals,
    "semseg": lambda scene: scene.classes,
    "clip": lambda scene: feature_map(scene, grid=8, channels=32, proxy="clip"),
    "dinov2": lambda scene: feature_map(scene, grid=8, channels=32, proxy="dinov2"),
    "t5_caption": lambda scene: text_embedding(scene.caption, channels=32, max_tokens=77),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_modality_looks_at_its_own_layer(name: str) -> None:
    np.testing.assert_array_equal(view_of(modality_of(name), SCENES[0]), LAYERS[name](SCENES[0]))


def test_what_stands_in_for_a_network_says_so() -> None:
    proxies = {name for name, modality in REGISTRY.items() if modality.provenance is Provenance.proxy}
    assert proxies == {"clip", "dinov2", "imagebind", "dinov2_global", "imagebind_global", "t5_caption"}
    assert all("proxy" in REGISTRY[name].title for name in proxies)
    assert all(REGISTRY[name].labeller for name in REGISTRY)


def test_sam_edges_leave_textures_alone_and_canny_edges_do_not() -> None:
    scene = SCENES[1]
    borders = view_of(modality_of("sam_edges"), scene).astype(bool)
    inside = np.zeros_like(borders)
    inside[:, :-1] |= scene.instances[:, 1:] != scene.instances[:, :-1]
    inside[:-1] |= scene.instances[1:] != scene.instances[:-1]
    np.testing.assert_array_equal(borders, inside)
    assert (view_of(CANNY, scene).astype(bool) & ~borders).sum() > 20


# Views


def test_a_mirror_turns_normals_and_leaves_depth() -> None:
    scene = SCENES[0]
    np.testing.assert_array_equal(DEPTH.transform(scene.depth, MIRROR), scene.depth[:, ::-1])
    mirrored = NORMALS.transform(scene.normals, MIRROR)
    np.testing.assert_array_equal(mirrored, scene.normals[:, ::-1] * np.array([-1, 1, 1], np.float32))


def test_a_mirrored_camera_frame_is_still_one_of_depth_and_normals_that_agree() -> None:
    """Normals from the gradient of depth have the sign of x that the mirrored normals have."""
    plane = np.broadcast_to(np.linspace(4, 2, 64, dtype=np.float32), (64, 64))  # Nearer on the right: faces left.
    left = normalize_vectors(np.broadcast_to(np.array([-1, 0, 1], np.float32), (64, 64, 3)))
    assert np.gradient(DEPTH.transform(plane, MIRROR), axis=1).mean() > 0
    assert NORMALS.transform(left, MIRROR)[..., 0].mean() > 0


def test_a_view_of_normals_has_unit_length() -> None:
    shown = NORMALS.transform(SCENES[0].normals, Crop(left=0.1, top=0.2, width=0.63, height=0.63))
    np.testing.assert_allclose(np.linalg.norm(shown, axis=-1), 1, atol=1e-5)


def test_missing_depth_is_not_mixed_into_what_is_there() -> None:
    depth = np.full((64, 64), 5.0, np.float32)
    depth[:, :20] = 0
    depth[:, 20:24] = np.nan
    shown = DEPTH.transform(depth, Crop(left=0.2, top=0.2, width=0.7, height=0.7))
    assert set(np.unique(shown.round(4)).tolist()) == {0.0, 5.0}
    assert (shown[:, 0] == 0).all()
    assert (shown[:, -1] > 0).all()


def test_missing_normals_stay_missing() -> None:
    normals = SCENES[0].normals.copy()
    normals[:20, :20] = 0
    shown = NORMALS.transform(normals, Crop(left=0, top=0, width=0.5, height=0.5))
    assert (shown[:30, :30] == 0).all()


@pytest.mark.parametrize("name", ["rgb", "depth", "normals", "semseg", "canny_edges", "clip"])
def test_a_larger_value_is_brought_to_the_layout(name: str) -> None:
    modality = modality_of(name)
    large = view_of(REGISTRY[name].scaled(ScaleConfig(size=128, patch=8, max_channels=32)), make_scene(1, size=128))
    assert modality.transform(large, CORNER).shape == view_of(modality, SCENES[0]).shape
    assert modality.transform(large, CORNER).dtype == large.dtype


def test_the_views_of_all_modalities_show_the_same_place() -> None:
    """What a crop of the image shows as one class has that class in the crop of the class map, and depth alike."""
    scene = make_scene(2, size=64)
    crop = Crop(left=16 / 64, top=8 / 64, width=32 / 64, height=32 / 64, flip=True)
    window = np.s_[8:40, 16:48]
    small = ScaleConfig(size=32, patch=8)
    for name, layer in (("rgb", scene.rgb), ("depth", scene.depth), ("semseg", scene.classes)):
        shown = REGISTRY[name].scaled(small).transform(layer, crop)
        np.testing.assert_allclose(shown, layer[window][:, ::-1], atol=1e-5)


# Files


def test_a_photograph_of_any_shape_is_seen_through_the_central_square(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "a.jpg")
    photo = RGB.read_file(tmp_path / "a.jpg")
    assert photo.shape == (90, 120, 3)
    assert RGB.transform(photo, Crop(left=1 / 8, top=0, width=3 / 4, height=1)).shape == (64, 64, 3)


def test_depth_in_millimetres_is_read_and_written(tmp_path: Path) -> None:
    depth = SCENES[0].depth.copy()
    depth[0] = 0
    DEPTH.write_file(tmp_path / "a.png", depth)
    np.testing.assert_allclose(DEPTH.read_file(tmp_path / "a.png"), depth, atol=5.1e-4)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png has levels of 8 bits, expected 16 bits of millimetres"):
        DEPTH.read_file(tmp_path / "b.png")


def test_normals_as_bytes_keep_their_direction_to_a_degree(tmp_path: Path) -> None:
    normals = SCENES[0].normals.copy()
    normals[0] = 0
    NORMALS.write_file(tmp_path / "a.png", normals)
    back = NORMALS.read_file(tmp_path / "a.png")
    assert (back[0] == 0).all()
    assert np.degrees(np.arccos(np.clip((back * normals)[1:].sum(-1), -1, 1))).max() < 1


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("depth", (4, 4, 3), r"float32 \(h, w\), metres as floats"),
        ("normals", (4, 4), r"float32 \(h, w, 3\), unit vectors"),
        ("clip", (8, 8, 31), r"float32 \(h, w, 32\), from -65504 to 65504"),
        ("dinov2_global", (31,), r"float32 \(32,\)"),
        ("t5_caption", (5, 31), r"float32 \(n, 32\), 1 to 77 vectors"),
    ],
)
def test_an_array_of_another_shape_is_refused(tmp_path: Path, name: str, shape: tuple[int, ...], expected: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    with pytest.raises(DataError, match=rf"a\.npy has shape .*, expected {expected}"):
        modality_of(name).read_file(tmp_path / "a.npy")


def test_a_class_map_in_colours_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"has shape \(4, 4, 3\), expected \(any, any\)"):
        SEMSEG.read_file(tmp_path / "a.png")


def test_embeddings_that_are_too_long_are_cut_and_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((100, 32), np.float32))
    with collect_corrections() as lines:
        assert modality_of("t5_caption").read_file(tmp_path / "a.npy").shape == (77, 32)
    assert lines == [f"{tmp_path / 'a.npy'} has 100 vectors: the first 77 are kept."]


# Rows for tokenizers


def test_a_picture_enters_from_minus_one_to_one() -> None:
    ends = np.array([[[0, 128, 255]]], np.uint8)
    assert RGB.preprocess(ends)[0, :, 0, 0].tolist() == pytest.approx([-1, 1 / 255, 1], abs=1e-6)
    np.testing.assert_array_equal(
        RGB.postprocess(np.array([[[-3.0]], [[0.0]], [[3.0]]], np.float32)), [[[0, 128, 255]]]
    )
    every = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    np.testing.assert_array_equal(RGB.postprocess(RGB.preprocess(every)[0]), every)


def test_depth_enters_in_proportion_to_metres() -> None:
    depth = np.array([[0.1, 6.05, MAX_DEPTH, 20.0, 0.01]], np.float32)
    assert DEPTH.preprocess(depth)[0, 0, 0].tolist() == pytest.approx([-1, 0, 1, 1, -1], abs=1e-6)
    holes = np.array([[0.0, np.nan, np.inf, -1.0, -np.inf]], np.float32)
    assert np.isnan(DEPTH.preprocess(holes)).all()
    assert DEPTH.postprocess(np.array([[[-1, 0, 1, 5, -5]]], np.float32))[0].tolist() == pytest.approx(
        [0.1, 6.05, MAX_DEPTH, MAX_DEPTH, 0.1]
    )


def test_restored_normals_have_unit_length() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(NORMALS.postprocess(rows), axis=-1), 1, atol=1e-6)


def test_a_class_map_is_restored_from_the_greatest_logit() -> None:
    logits = np.random.default_rng(0).standard_normal((len(CLASSES), 5, 6)).astype(np.float32)
    np.testing.assert_array_equal(SEMSEG.postprocess(logits), torch.from_numpy(logits).argmax(0).numpy())
    unknown = np.array([[0, 12, 13, 255]], np.uint8)
    assert SEMSEG.preprocess(unknown)[0, 0].tolist() == [0, 12, UNLABELLED, UNLABELLED]
    assert isinstance(SEMSEG, ClassMap)
    counted_from_1 = replace(SEMSEG, ignore_index=0)
    assert counted_from_1.preprocess(unknown)[0, 0].tolist() == [UNLABELLED, 12, UNLABELLED, UNLABELLED]


def test_an_ignored_class_enters_neither_chance_nor_metrics() -> None:
    assert isinstance(SEMSEG, ClassMap)
    ignoring = replace(SEMSEG, ignore_index=0)
    maps = [np.array([[0, 1], [255, 2]], np.uint8), np.array([[0, 0], [3, 2]], np.uint8), np.zeros((2, 2), np.uint8)]
    assert SEMSEG.constant_baseline(maps).tolist() == [[0, 0], [0, 2]]
    guess = ignoring.constant_baseline(maps)
    assert (guess[0, 1], guess[1].tolist()) == (1, [3, 2])
    metrics = ignoring.metrics()
    metrics.update(ignoring.collate([guess] * 3), ignoring.collate(maps))
    labelled = [(guess[place], map_[place]) for map_ in maps for place in np.ndindex(2, 2) if map_[place] in (1, 2, 3)]
    assert float(metrics["accuracy"].compute()) == pytest.approx(np.mean([one == other for one, other in labelled]))


def test_an_edge_is_a_level_above_the_threshold() -> None:
    levels = np.array([[[-0.2, 0.0, 0.2]]], np.float32)
    assert CANNY.postprocess(levels)[0].tolist() == [0, 0, 1]


def test_batches_are_stacked_and_writable() -> None:
    batch = DEPTH.collate([scene.depth for scene in SCENES])  # The scenes' own arrays are read-only.
    batch[0, 0, 0] = 3


# Constant guesses


def constant_baseline(modality: Modality, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
    guess = modality.constant_baseline(values)
    assert isinstance(guess, np.ndarray)
    return guess


def test_the_typical_picture_is_the_mean() -> None:
    values = [scene.rgb for scene in SCENES]
    np.testing.assert_array_equal(constant_baseline(RGB, values), np.rint(np.mean(values, axis=0)).astype(np.uint8))


def test_the_typical_depth_is_the_mean_of_what_is_there() -> None:
    values = np.array([[[1, 0, 0]], [[3, 4, np.nan]]], np.float32)
    assert constant_baseline(DEPTH, list(values)).tolist() == [[2, 4, pytest.approx(8 / 3)]]


def test_no_depth_at_all_is_guessed_to_be_far() -> None:
    assert constant_baseline(DEPTH, [np.zeros((1, 2), np.float32)]).tolist() == [[MAX_DEPTH, MAX_DEPTH]]


def test_the_typical_normals_are_the_mean_direction() -> None:
    values = [scene.normals for scene in SCENES]
    mean = np.mean(values, axis=0)
    np.testing.assert_allclose(
        constant_baseline(NORMALS, values), mean / np.linalg.norm(mean, axis=-1, keepdims=True), atol=1e-5
    )
    opposite = [np.array([[[1, 0, 0]]], np.float32), np.array([[[-1, 0, 0]]], np.float32)]
    assert constant_baseline(NORMALS, opposite).tolist() == [[[0, 0, 1]]]


def test_the_typical_class_is_the_commonest() -> None:
    maps = np.random.default_rng(0).integers(0, 5, (11, 6, 7)).astype(np.uint8)
    maps[:, 0, 0] = [255] * 9 + [3, 3]
    counts = np.stack([(maps == index).sum(0) for index in range(13)])
    np.testing.assert_array_equal(constant_baseline(SEMSEG, list(maps)), counts.argmax(0))


def test_no_constant_edge_map_has_a_better_f1_than_the_typical_one() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random((3, 3)) * 0.6
    values = [(rng.random((3, 3)) < chances).astype(np.uint8) for _ in range(30)]
    truth = np.stack(values).ravel()

    def score(guess: NDArray[np.uint8]) -> float:
        return float(f1_score(truth, np.stack([guess] * 30).ravel()))

    every = ((np.arange(512)[:, None] >> np.arange(9)) & 1).astype(np.uint8).reshape(-1, 3, 3)
    assert score(constant_baseline(CANNY, values)) == pytest.approx(max(score(guess) for guess in every[1:]))
    assert not constant_baseline(CANNY, [np.zeros((2, 2), np.uint8)] * 3).any()


def test_the_typical_embedding_is_as_long_as_most() -> None:
    rows = [np.full((length, 4), length, np.float32) for length in (2, 3, 9)]
    guess = constant_baseline(REGISTRY["t5_caption"].scaled(ScaleConfig(max_channels=4)), rows)
    np.testing.assert_allclose(guess, np.repeat([[14 / 3], [14 / 3], [6.0]], 4, axis=1), rtol=1e-6)


@pytest.mark.parametrize("name", ["rgb", "depth", "semseg", "clip", "dinov2_global"])
def test_nothing_is_typical_of_no_values(name: str) -> None:
    with pytest.raises(ValueError, match="no values"):
        modality_of(name).constant_baseline([])


# Facts


def test_a_class_list_and_its_layout_must_agree() -> None:
    with pytest.raises(ValueError, match="has 13 classes and a layout for 5"):
        ClassMap(
            name="semseg",
            title="x",
            classes=CLASSES,
            layout=Dense(channels=5, size=64, patch=8, categorical=True),
            tokenizer=SEMSEG.tokenizer,
        )
