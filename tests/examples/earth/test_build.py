"""Tiles of a made-up world of a few degrees' resolution: what is written, aligned, and left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourm_earth.bands import World, draw_lines
from fourm_earth.build import MODALITIES, BuildConfig, build
from fourm_earth.packages import Town, package_file
from fourm_earth.places import TownIndex
from fourm_earth.raster import cell_raster
from modalities import ConfigError, DataError


@pytest.fixture(scope="module")
def world() -> World:
    """An island from 20 to 30 degrees east and 40 to 50 north, of red ground 1,000 m high; blue ocean elsewhere."""
    land = np.zeros((180, 360), np.uint8)
    land[40:50, 200:210] = 1
    colors = np.where(land[..., None] == 1, np.array([200, 30, 30]), np.array([10, 20, 120])).astype(np.uint8)
    sharp = np.repeat(np.repeat(colors, 15, axis=0), 15, axis=1)
    return World(
        blue_marble=cell_raster(sharp),
        surface=cell_raster(land),
        elevation=cell_raster(land * np.float32(1000)),
        temperature=[cell_raster(np.full((90, 180), month, np.float32)) for month in range(12)],
        rain=[cell_raster(np.full((90, 180), 80, np.float32)) for _ in range(12)],
        borders=[np.array([[20.0, 45.0], [30.0, 45.0]], np.float32)],
        towns=TownIndex([Town(latitude=45, longitude=25, name="Middle", country="XX")], {"XX": "Island"}),
    )


@pytest.fixture(scope="module")
def tiles(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earth")
    assert build(world, folder, BuildConfig(per_side=1, north=50, south=40)) == 1
    return folder


def test_a_tile_on_land_has_a_file_of_every_modality(tiles: Path) -> None:
    files = {path.parent.name: path for path in tiles.glob("*/*")}
    assert set(files) == set(MODALITIES)
    assert {path.stem for path in files.values()} == {"n40e020_r0c0"}
    values = {name: MODALITIES[name].read_file(path) for name, path in files.items()}
    assert (values["surface"] == 1).all()
    assert (values["rgb"] == [200, 30, 30]).all()
    assert np.allclose(values["elevation"], 1000)
    assert np.allclose(values["slope"], 0, atol=1e-4)
    assert values["monthly_temperature"].tolist() == list(range(12))
    assert np.allclose(values["temperature"], 5.5)
    assert np.allclose(values["rain"], 960)
    assert values["place"] == "Middle, Island"
    # The border runs along 45 degrees north, the middle of the tile.
    assert np.flatnonzero(values["borders"].any(axis=1)).tolist() in ([31], [32])
    assert "high plateau" in values["caption"] or "highlands" in values["caption"]


def test_all_maps_of_a_coast_agree(world: World, tmp_path: Path) -> None:
    """Neighbouring tiles of five a side see the island's edge at the same pixel in the mask and in the picture."""
    assert build(world, tmp_path, BuildConfig(per_side=5, min_land=0.0, north=50, south=40)) == 36 * 25
    surface = np.asarray(Image.open(tmp_path / "surface" / "n40e010_r2c4.png"))
    picture = np.asarray(Image.open(tmp_path / "rgb" / "n40e010_r2c4.png"))
    assert ((picture[..., 0] > 100) == (surface == 1)).all()
    assert not surface.any()
    assert not (tmp_path / "caption" / "n40e010_r2c4.txt").exists()
    assert len(list((tmp_path / "place").iterdir())) < 25


def test_a_line_across_180_degrees_is_drawn_on_both_sides() -> None:
    line = np.array([[178.0, 0.05], [179.5, 0.05], [-179.5, 0.05], [-178.0, 0.05]], np.float32)
    found = draw_lines([line], top=1345, height=10)
    columns = np.flatnonzero(found.any(axis=0))
    assert found[:, :30].any()
    assert found[:, -30:].any()
    assert not found[:, 100:-100].any()
    assert len(columns) < 60


def test_a_line_is_drawn_where_it_lies() -> None:
    found = draw_lines([np.array([[10.0, 45.3], [10.0, 44.7]], np.float32)], 600, 150)
    rows, columns = np.nonzero(found)
    assert set(columns) == {2850}
    assert (rows.min(), rows.max()) == (70, 79)


def test_settings_that_fit_no_block_are_refused() -> None:
    with pytest.raises(ConfigError, match="10 divides, got -60 and 55"):
        BuildConfig(north=55)
    with pytest.raises(ConfigError, match="got 0 and"):
        BuildConfig(per_side=0)


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match=r"Package no-such-package is not installed: pip install 'fourm-lab\[earth\]'"):
        package_file("no-such-package", "file")
    with pytest.raises(DataError, match="Package numpy has no file nothing"):
        package_file("numpy", "nothing")
