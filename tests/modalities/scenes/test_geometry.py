"""Depth, normals, instances and placement, held against MuJoCo's own ray casting and collision code."""

import itertools

import mujoco
import numpy as np
import pytest

from modalities.labels import CLASSES
from modalities.scenes.layout import sample_scene_geometry
from modalities.scenes.scene import make_scene
from modalities.scenes.world import MAX_DEPTH
from tests.modalities.scenes.mjcf import cast_rays, load_model

SEEDS = range(0, 160, 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_normals_and_instances_are_those_of_mujoco(seed: int) -> None:
    scene = make_scene(seed, size=48)
    geometry = scene.geometry
    model, data, num_planes = load_model(geometry)
    depth, geom, normal = cast_rays(model, data, scene.camera.rays(scene.size))
    is_sky = scene.classes.ravel() == CLASSES.index("sky")
    depth = np.where((geom < 0) | (depth > MAX_DEPTH), MAX_DEPTH, depth)
    normal = normal @ scene.camera.rotation.T
    normal[is_sky] = (0, 0, 1)
    owners = np.array([0] * num_planes + [solid.instance for solid in geometry.solids] + [0], np.int32)
    same = owners[geom] == scene.instances.ravel()
    assert same.mean() > 0.999
    assert np.abs(depth - scene.depth.ravel())[same].max() < 2e-3
    # A ray that meets a box or a cylinder within a float's rounding of an edge may see either face.
    angle = np.degrees(np.arccos(np.clip((normal * scene.normals.reshape(-1, 3)).sum(axis=1), -1, 1)))[same]
    assert np.mean(angle > 0.5) < 2e-3


def test_the_compared_scenes_have_every_kind_of_primitive_and_room() -> None:
    layouts = [sample_scene_geometry(seed) for seed in SEEDS]
    assert {solid.kind for geometry in layouts for solid in geometry.solids} == {"sphere", "capsule", "cylinder", "box"}
    assert {geometry.room.kind for geometry in layouts} == {"corner", "wall", "hall", "yard", "field"}
    assert {"sitting", "standing", "walking"} <= {figure.action for geometry in layouts for figure in geometry.figures}


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_nothing_runs_into_anything_else(start: int) -> None:
    for seed in range(start, start + 50):
        geometry = sample_scene_geometry(seed)
        model, data, num_planes = load_model(geometry)
        places = data.geom_xpos
        for (i, a), (j, b) in itertools.combinations(enumerate(geometry.solids), 2):
            if a.instance == b.instance:
                continue
            first, second = i + num_planes, j + num_planes
            reach = model.geom_rbound[first] + model.geom_rbound[second]
            if np.linalg.norm(places[first] - places[second]) > reach:
                continue
            distance = mujoco.mj_geomDistance(model, data, first, second, 1.0, None)
            assert distance > -2e-3, (seed, a, b)


@pytest.mark.parametrize("seed", range(60))
def test_everything_rests_on_the_ground_or_on_its_support(seed: int) -> None:
    geometry = sample_scene_geometry(seed)
    floor = -geometry.room.camera.height
    tops = {0: floor} | {thing.instance: thing.top for thing in geometry.things}
    for thing in geometry.things:
        half = thing.top - thing.center[1]
        assert thing.center[1] - half == pytest.approx(tops[thing.support], abs=1e-6)
        assert geometry.room.contains(thing.center[0], thing.center[2], 0.0)
    for figure in geometry.figures:
        solids = [solid for solid in geometry.solids if solid.instance == figure.instance]
        assert min(min(s.a[1], s.b[1]) - s.radius for s in solids) == pytest.approx(floor, abs=1e-6)


@pytest.mark.parametrize("size", [32, 64, 112, 224])
def test_geometry_does_not_depend_on_the_size(size: int) -> None:
    small, large = make_scene(12, size=size), make_scene(12, size=2 * size)
    assert small.geometry.things == large.geometry.things
    assert small.geometry.solids == large.geometry.solids
    assert small.camera == large.camera
    blocks = large.depth.reshape(size, 2, size, 2).mean(axis=(1, 3))
    close = np.abs(blocks - small.depth) < 0.02 * small.depth
    assert close.mean() > 0.85
