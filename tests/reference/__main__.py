"""``python -m tests.reference DIR``: one line per check, then the count; exit status 1 on failure or without a case."""

import argparse
import sys
from pathlib import Path

from tests.reference.cases import run_cases


def main(root: Path) -> int:
    """Run every case below ``root``."""
    passed = failed = 0
    for check in run_cases(root):
        sys.stdout.write(f"{check}\n")
        passed, failed = passed + check.passed, failed + (not check.passed)
    if not passed + failed:
        sys.stdout.write(f"{root} holds no case that is known here.\n")
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.reference", description=__doc__)
    parser.add_argument("root", type=Path, metavar="DIR")
    sys.exit(main(parser.parse_args().root))
