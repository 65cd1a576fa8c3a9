"""The mistakes a user can make: one class each, all under `UserError`, which the command line catches."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the message explains in one line: what was found, what was expected, what to do."""


class UnknownNameError(UserError):
    """A name that is not among those that exist; the message suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"No {kind} named {name!r}.{hint} Known: {', '.join(names) or 'none'}.")


class DuplicateNameError(UserError):
    """Two packages brought a modality, or a view of one, under the same name."""


class BrokenPluginError(UserError):
    """A package could not be imported, or did not publish what its entry point promises."""


class ConfigError(UserError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class DataError(UserError):
    """A file that is missing, truncated, of an unknown type, or at odds with its neighbors."""


class UnavailableError(DataError):
    """Data that could not be reached: a network or a disk failed, and another try may succeed."""


class CheckpointError(UserError):
    """A checkpoint that is incomplete, or made for other modalities or sizes than expected."""
