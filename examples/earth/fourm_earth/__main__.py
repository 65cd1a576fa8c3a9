"""The command that writes the tiles: ``python -m fourm_earth OUT``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fourm_earth.bands import open_world
from fourm_earth.build import BuildConfig, build
from modalities import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tiles; 1 where a mistake of the user is reported."""
    parser = argparse.ArgumentParser(prog="python -m fourm_earth", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--per-side", type=int, default=5, help="rows and columns of tiles in a block (default 5)")
    parser.add_argument("--min-land", type=float, default=0.05, help="smallest share of land of a tile (default 0.05)")
    parser.add_argument("--north", type=int, default=60, help="northern edge, in degrees (default 60)")
    parser.add_argument("--south", type=int, default=-60, help="southern edge, in degrees (default -60)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = BuildConfig(
            per_side=options.per_side, min_land=options.min_land, north=options.north, south=options.south
        )
        count = build(open_world(), options.out, config)
    except UserError as error:
        logging.error("%s", error)
        return 1
    logging.info("%s: %d tiles.", options.out, count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
