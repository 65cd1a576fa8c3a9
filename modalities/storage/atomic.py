"""Results on disk: written under a temporary name and renamed, so that a file is there whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from modalities.errors import DataError


def atomic_write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text.

    Raises:
        DataError: The file cannot be written.
    """
    atomic_write_bytes(path, text.encode())


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write bytes.

    Raises:
        DataError: The file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def atomic_folder_update(folder: Path, written_last: str) -> Iterator[Path]:
    """A folder to write into, whose files take their places in ``folder`` when all are written, ``last`` as the last.

    What else lies in ``folder`` stays, and where not all can be written, all of it does.

    Raises:
        DataError: Something cannot be written.
    """
    target = folder.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        target.mkdir(exist_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: (path.name == written_last, path.name)):
            path.replace(target / path.name)
    except (OSError, DataError) as error:
        reason = error.__cause__ if isinstance(error, DataError) else error
        if not isinstance(reason, OSError):
            raise
        # Whoever asked knows nothing of the folder beside.
        raise DataError(f"{folder} cannot be written: {reason.strerror or reason}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}.") from error


def write_file_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, then rename it: it is there whole or not at all.

    Raises:
        DataError: The folder is missing or may not be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path} could not be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
