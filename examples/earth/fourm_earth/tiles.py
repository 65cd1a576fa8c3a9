"""The tiles: where they lie in the pixel grid of the globe, and the block that each belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass

from fourm_earth.raster import PIXELS_PER_DEGREE

TILE = 64
"""Side of a tile, in pixels: 4.3 degrees."""
BLOCK_DEGREES = 10
"""Side of a block. Tiles of a block may overlap, tiles of two never do: a split takes whole blocks."""
NORTHERNMOST, SOUTHERNMOST = 60, -60
"""Latitudes between which blocks lie by default; nearer the poles a pixel is less than half as wide as high."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A square of `TILE` pixels inside a block."""

    key: str
    """Name of the block by its south-west corner, then row and column within it: ``n40w010_r0c2``."""
    block: str
    top: int
    """First row in the pixel grid of the globe, from the north pole."""
    left: int
    """First column, from 180 degrees west."""


def block_name(south: int, west: int) -> str:
    """The name of the block whose south-west corner is given, in degrees."""
    return f"{'n' if south >= 0 else 's'}{abs(south):02d}{'e' if west >= 0 else 'w'}{abs(west):03d}"


def block_tiles(south: int, west: int, per_side: int) -> Iterator[Tile]:
    """The tiles of a block: ``per_side`` rows and columns at even steps; above 2 neighbours overlap.

    Raises:
        ValueError: ``per_side`` is not positive.
    """
    if per_side < 1:
        raise ValueError(f"A block has at least one tile a side, got {per_side}.")
    room = BLOCK_DEGREES * PIXELS_PER_DEGREE - TILE
    offsets = [round(index * room / (per_side - 1)) for index in range(per_side)] if per_side > 1 else [room // 2]
    top, left = (90 - south - BLOCK_DEGREES) * PIXELS_PER_DEGREE, (west + 180) * PIXELS_PER_DEGREE
    name = block_name(south, west)
    for row, down in enumerate(offsets):
        for column, right in enumerate(offsets):
            yield Tile(key=f"{name}_r{row}c{column}", block=name, top=top + down, left=left + right)
