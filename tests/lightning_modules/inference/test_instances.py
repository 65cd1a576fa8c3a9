"""Merging what many query points found."""

import numpy as np
import torch

from lightning_modules.inference.inputs import repeat_sample
from lightning_modules.inference.instances import merge_instances, query_points
from networks.batch import PaddedTokens
from networks.generation.inputs import ConditionInput


def _square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((20, 20), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_masks_that_agree_are_one_instance_and_the_one_most_agree_with_is_kept() -> None:
    a, b, far = _square(2, 2, 8), _square(2, 2, 9), _square(12, 12, 5)
    found = merge_instances(np.stack([b, a, a, far, np.zeros((20, 20), dtype=bool)]))
    assert found.shape == (2, 20, 20)
    assert any((mask == a).all() for mask in found) or any((mask == b).all() for mask in found)
    assert any((mask == far).all() for mask in found)


def test_an_instance_inside_another_stays_one_of_its_own() -> None:
    found = merge_instances(np.stack([_square(0, 0, 20), _square(5, 5, 4)]))
    assert len(found) == 2


def test_nothing_found_is_no_instance() -> None:
    assert merge_instances(np.zeros((3, 20, 20), dtype=bool)).shape == (0, 20, 20)
    assert merge_instances(np.zeros((0, 20, 20), dtype=bool)).shape == (0, 20, 20)


def test_query_points_cover_the_image_evenly() -> None:
    points = query_points(16)
    assert len(points) == 16
    assert {y for y, _ in points} == {28, 84, 140, 196}
    assert query_points(1) == [(112, 112)]


def test_the_first_sample_is_asked_at_every_point() -> None:
    column = PaddedTokens(values=torch.tensor([[1, 2], [3, 4]]), lengths=torch.tensor([2, 2]))
    again = repeat_sample(ConditionInput(tokens=column, known=torch.tensor([[True, False], [True, True]])), 3)
    assert again.tokens.values.tolist() == [[1, 2]] * 3
    assert again.known is not None
    assert again.known.tolist() == [[True, False]] * 3
