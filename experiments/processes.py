"""The module search path of processes that are started: never the working folder first.

The packages have common names (``experiments``, ``evaluation``), which a person's project may use too.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CODE_ROOT = Path(__file__).resolve().parents[1]
"""Folder that holds this distribution's packages."""


def child_search_path() -> list[str]:
    """This process's search path, with the working folder behind all others unless the packages lie in it.

    The working folder stays on the path: a person's plug-in may lie there.
    """
    working_folder = Path.cwd().resolve()
    entries = [str(Path(entry or working_folder)) for entry in sys.path]
    if working_folder == CODE_ROOT:
        return entries
    last = [entry for entry in entries if Path(entry).resolve() == working_folder]
    return [*(entry for entry in entries if entry not in last), *dict.fromkeys(last)]


def child_environment() -> dict[str, str]:
    """Environment of a Python process that finds the same modules as this one, and the packages first of all."""
    # Without the second variable, `python -m` puts the working folder in front, whatever the first one says.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(child_search_path()), "PYTHONSAFEPATH": "1"}


@contextmanager
def spawning() -> Iterator[None]:
    """Give processes that multiprocessing spawns meanwhile the search path of `child_search_path`."""
    path, safe = list(sys.path), os.environ.get("PYTHONSAFEPATH")
    sys.path[:] = child_search_path()
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        sys.path[:] = path
        if safe is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = safe
