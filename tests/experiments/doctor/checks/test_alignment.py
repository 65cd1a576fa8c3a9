"""Shifted maps are found, and nothing else: over drawn photographs whose labels are known."""

import numpy as np
import pytest

from experiments.doctor.checks.alignment import AlignmentCheck, shift_scores
from experiments.doctor.examine import examine
from experiments.doctor.findings import Finding
from experiments.doctor.samples import read_samples
from modalities.sources.scenes import ScenesSource
from tests.experiments.doctor.table import modalities_at_scale, subject_of

SIDE = 32


def drawn(seed: int, shift: tuple[int, int] = (0, 0)) -> dict[str, np.ndarray]:
    """A photograph of bright boxes on a dark ground, and its class map moved to the right and down by ``shift``."""
    rng = np.random.default_rng(seed)
    classes = np.zeros((SIDE, SIDE), np.uint8)
    for number in range(1, 4):
        top, left = rng.integers(6, 16, 2)
        classes[top : top + rng.integers(4, 9), left : left + rng.integers(4, 9)] = number
    colors = np.array([[30, 30, 40], [200, 80, 60], [90, 210, 80], [240, 240, 120]])
    noise = rng.integers(-8, 9, (SIDE, SIDE, 3))
    return {
        "rgb": np.clip(colors[classes] + noise, 0, 255).astype(np.uint8),
        "semseg": np.roll(classes, (shift[1], shift[0]), (0, 1)),
    }


def shifted(shifts: list[tuple[int, int]]) -> list[Finding]:
    table = {
        "train": {str(number): drawn(number, shift) for number, shift in enumerate(shifts)},
        "validation": {"held-out": drawn(99)},
    }
    return [item for item in examine(subject_of(table, "rgb", "semseg")).findings if item.check == "shifted"]


def test_scores_are_means_of_edges_under_moved_lines() -> None:
    rng = np.random.default_rng(0)
    edges, lines = rng.normal(size=(18, 24)), rng.random((18, 24)) < 0.3
    scores = shift_scores(edges, lines)
    assert scores.shape == (7, 7)
    for down in range(-3, 4):
        for right in range(-3, 4):
            inside = [
                edges[y + down, x + right]
                for y, x in zip(*np.nonzero(lines), strict=True)
                if 0 <= y + down < 18 and 0 <= x + right < 24
            ]
            found = scores[down + 3, right + 3]
            if len(inside) < 0.6 * lines.sum():
                assert found == -np.inf
            else:
                assert found == pytest.approx(np.mean(inside))


def test_maps_that_fit_are_not_told() -> None:
    assert shifted([(0, 0)] * 6) == []


def test_one_shifted_map_is_named_with_the_way_back() -> None:
    (found,) = shifted([(0, 0), (0, 0), (-4, 0), (0, 0), (0, 0)])
    assert found.message.startswith("train/2/semseg: ")
    assert "moved 4 pixels to the right, of 32" in found.message


def test_a_shift_of_all_maps_is_told_once() -> None:
    (found,) = shifted([(4, -3)] * 12)
    assert found.message.startswith("semseg: the borders of all 13 maps together")
    assert "moved 4 pixels to the left and 3 down" in found.message


def test_labels_that_have_nothing_to_do_with_edges_are_left_alone() -> None:
    rng = np.random.default_rng(1)
    table = {
        split: {
            f"{split}{number}": {**drawn(number), "semseg": rng.integers(0, 3, (SIDE, SIDE), dtype=np.uint8)}
            for number in range(6)
        }
        for split in ("train", "validation")
    }
    found = examine(subject_of(table, "rgb", "semseg")).findings
    assert [item for item in found if item.check == "shifted"] == []


def test_scenes_fit() -> None:
    modalities = modalities_at_scale("rgb", "semseg", "sam_edges", "sam_instances")
    source = ScenesSource.for_modalities(modalities)
    check = AlignmentCheck(modalities)
    for sample in read_samples(source, modalities, "train", source.keys("train")[:20]):
        check.observe(sample)
    assert list(check.findings()) == []


def test_a_map_with_hardly_any_border_says_nothing() -> None:
    table = {"train": {str(number): drawn(number) for number in range(4)}, "validation": {"held-out": drawn(99)}}
    small = np.zeros((SIDE, SIDE), np.uint8)
    small[2:4, 2:4] = 1
    table["train"]["2"]["semseg"] = small
    found = examine(subject_of(table, "rgb", "semseg")).findings
    assert [item for item in found if item.check == "shifted"] == []
