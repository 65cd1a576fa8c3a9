"""Photographs of scikit-image from a folder: one of them has true depth, from a stereo pair, with holes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities import Modality, ScaleConfig, default_registry
from modalities.sources.base import Source
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source

data = pytest.importorskip("skimage.data")

SIDE = 56
FOCAL, BASELINE, OFFSET = 994.978, 0.193001, 31.086
"""Calibration of the pair at this size: pixels, metres, pixels (Middlebury 2014, as scikit-image states it)."""
NAMES = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle")


def _true_depth(disparity: NDArray[Any]) -> NDArray[Any]:
    """Metres by triangulation; infinite where the disparity is not known, as the data set has it."""
    with np.errstate(invalid="ignore"):
        depth: NDArray[Any] = np.where(np.isfinite(disparity), FOCAL * BASELINE / (disparity + OFFSET), np.inf)
    return depth.astype(np.float32)


@pytest.fixture(scope="module")
def modalities() -> Mapping[str, Modality]:
    scale = ScaleConfig(size=SIDE, patch=8)
    return {name: default_registry()[name].scaled(scale) for name in ("rgb", "depth", "caption")}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, modalities: Mapping[str, Modality]) -> Source:
    """A folder of five photographs, all with a caption, one with depth."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("rgb", "depth", "caption"):
        (folder / name).mkdir()
    left, _, disparity = data.stereo_motorcycle()
    np.save(folder / "depth" / "motorcycle.npy", _true_depth(disparity))
    for name in NAMES:
        picture = left if name == "motorcycle" else getattr(data, name)()
        Image.fromarray(picture).save(folder / "rgb" / f"{name}.png")
        (folder / "caption" / f"{name}.txt").write_text(f"A photograph called {name}.\n")
    options = {"splits": {"train": 1.0}}
    return open_source(SourceConfig(kind="folder", path=str(folder), options=options), modalities)


def test_photographs_without_depth_lack_it(photographs: Source, modalities: Mapping[str, Modality]) -> None:
    assert set(photographs.keys("train")) == set(NAMES)
    missing = {key for key in NAMES if photographs.read(key, modalities["depth"]) is None}
    assert missing == set(NAMES) - {"motorcycle"}
    assert all(photographs.read(key, modalities["caption"]) == f"A photograph called {key}." for key in NAMES)


def test_true_depth_is_cropped_with_the_picture_and_keeps_its_holes(
    photographs: Source, modalities: Mapping[str, Modality]
) -> None:
    """Each pixel is near the mean of the true depths below it, within the centred square of the photograph."""
    _, _, disparity = data.stereo_motorcycle()
    height, width = disparity.shape
    square = _true_depth(disparity)[:, (width - height) // 2 : (width + height) // 2]
    found = photographs.read("motorcycle", modalities["depth"])
    assert found is not None
    assert found.shape == (SIDE, SIDE)
    edges = np.linspace(0, height, SIDE + 1).round().astype(int)
    errors, holes = [], []
    for row in range(SIDE):
        for column in range(SIDE):
            cell = square[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
            known = cell[np.isfinite(cell)]
            if not known.size:
                holes.append(float(found[row, column]))
            elif known.size == cell.size and np.ptp(known) < 0.05:
                errors.append(abs(float(found[row, column]) - float(known.mean())))
    assert len(errors) > 1000
    assert max(errors) < 0.2
    assert np.median(errors) < 0.005
    assert holes
    assert not any(holes)
    # The motorcycle stands two to five metres away.
    assert 1.9 < found[found > 0].min() < 2.6
    assert found.max() < 5.1


def test_the_tokenizer_sees_no_depth_in_holes(photographs: Source, modalities: Mapping[str, Modality]) -> None:
    depth = modalities["depth"]
    value = photographs.read("motorcycle", depth)
    levels = depth.preprocess(value)[0, 0]
    known = np.asarray(value) > 0
    assert np.isfinite(levels[known]).all()
    assert np.allclose(depth.postprocess(levels[None])[known], np.asarray(value)[known], atol=1e-3)
