"""The command that writes the stamps: ``python -m fourm_stamps OUT``."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fourm_stamps.build import build
from fourm_stamps.package import STAMPS, fetch_package, unpack
from modalities import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the stamps; 1 where a mistake of the user is reported."""
    parser = argparse.ArgumentParser(prog="python -m fourm_stamps", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--package", type=Path, metavar="FILE", help="the .deb file; otherwise the installed one, or apt fetches it"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with tempfile.TemporaryDirectory() as folder:
            counts = build(_stamps(options.package, Path(folder)), options.out)
    except UserError as error:
        logging.error("%s", error)
        return 1
    logging.info("%s: %s.", options.out, ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 0


def _stamps(package: Path | None, folder: Path) -> Path:
    """The folder of stamps: of a file, of the installed package, or of one that is fetched."""
    installed = Path("/") / STAMPS
    if package is None and installed.is_dir():
        return installed
    return unpack(package or fetch_package(folder), folder)


if __name__ == "__main__":
    sys.exit(main())
