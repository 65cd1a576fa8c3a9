"""Position codes against their formula."""

import numpy as np
import pytest
import torch

from networks.layers.positions import sincos_1d, sincos_2d


@pytest.mark.parametrize("period", [10_000.0, 20.0])
def test_one_axis_is_sines_then_cosines_of_a_geometric_row_of_frequencies(period: float) -> None:
    codes = sincos_1d(7, 12, period).numpy()
    for place in range(7):
        for channel in range(6):
            angle = place / period ** (channel / 6)
            assert codes[place, channel] == pytest.approx(np.sin(angle), abs=1e-6)
            assert codes[place, 6 + channel] == pytest.approx(np.cos(angle), abs=1e-6)


def test_two_axes_are_the_codes_of_the_row_and_of_the_column() -> None:
    codes, axis = sincos_2d(3, 16).numpy(), sincos_1d(3, 8).numpy()
    for row in range(3):
        for column in range(3):
            np.testing.assert_array_equal(codes[3 * row + column], np.concatenate([axis[row], axis[column]]))


def test_all_places_of_a_grid_differ() -> None:
    codes = sincos_2d(8, 64, 20.0).numpy()
    distance = np.linalg.norm(codes[:, None] - codes[None], axis=-1) + 9 * np.eye(64)
    assert distance.min() > 0.5


def test_a_coarser_grid_counts_in_the_places_of_the_finest() -> None:
    """The middle of two places of a fine grid is where one place of a grid of half the resolution lies."""
    fine, coarse = sincos_1d(8, 16), sincos_1d(4, 16, stride=2.0)
    frequency = 10_000.0 ** (-np.arange(8) / 8)
    middles = np.array([0.5, 2.5, 4.5, 6.5])[:, None] * frequency
    np.testing.assert_allclose(coarse.numpy(), np.concatenate([np.sin(middles), np.cos(middles)], 1), atol=1e-6)
    assert not torch.allclose(coarse, fine[:4])
    assert torch.equal(sincos_2d(4, 16, stride=1.0), sincos_2d(4, 16))
