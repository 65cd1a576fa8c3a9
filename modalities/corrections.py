"""Lines on values that were taken in a changed form: cut, converted, or in part left out."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

log = logging.getLogger(__name__)

MAX_WARNINGS = 20
"""Lines that a process logs as warnings; further ones are logged at level DEBUG."""

_collected: ContextVar[list[str] | None] = ContextVar("collected_corrections", default=None)
_num_logged = 0


def report_correction(line: str) -> None:
    """Log one sentence that says which value was changed and how, or add it to the list of `collect_corrections`."""
    global _num_logged
    collected = _collected.get()
    if collected is not None:
        collected.append(line)
        return
    _num_logged += 1
    log.log(logging.WARNING if _num_logged <= MAX_WARNINGS else logging.DEBUG, "%s", line)
    if _num_logged == MAX_WARNINGS:
        log.warning("Further values that are cut or converted are logged at level DEBUG.")


@contextmanager
def collect_corrections() -> Iterator[list[str]]:
    """Collect the lines of `report_correction` inside the block, in place of logging them."""
    lines: list[str] = []
    token = _collected.set(lines)
    try:
        yield lines
    finally:
        _collected.reset(token)
