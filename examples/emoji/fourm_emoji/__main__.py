"""The command that writes the emoji: ``python -m fourm_emoji OUT``."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fourm_emoji.build import build
from fourm_emoji.package import fetch_package, unpack
from modalities import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the emoji; 1 where a mistake of the user is reported."""
    parser = argparse.ArgumentParser(prog="python -m fourm_emoji", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--package", type=Path, metavar="FILE", help="the package as .tgz; npm fetches it otherwise")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with tempfile.TemporaryDirectory() as folder:
            archive = options.package or fetch_package(Path(folder))
            count = build(unpack(archive, Path(folder)), options.out)
    except UserError as error:
        logging.error("%s", error)
        return 1
    logging.info("%s: %d emoji.", options.out, count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
