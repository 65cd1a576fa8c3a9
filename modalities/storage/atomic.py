"""Atomic writing of files and folders, and reading of JSON.

Content is written under a temporary name beside its target and renamed, so that a reader finds all of it or none.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from modalities.errors import DataError, UserError


@contextmanager
def atomic_file(path: Path, *, make_parents: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an error.

    Raises:
        DataError: The folder is missing or may not be written to, or the disk is full.
    """
    partial = _partial_path(path)
    try:
        if make_parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        _unlink(partial)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text, and the folders above it.

    Raises:
        DataError: The file cannot be written.
    """
    atomic_write_bytes(path, text.encode())


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, and the folders above them.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_file(path, make_parents=True) as file:
        file.write(content)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that replaces ``folder`` when the block ends without an error.

    Raises:
        DataError: The disk is full, or the folder cannot be written.
    """
    with _partial_folder(folder) as (target, partial):
        yield partial
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)


@contextmanager
def atomic_folder_update(folder: Path, written_last: str) -> Iterator[Path]:
    """A folder to write into whose files are moved to ``folder`` when the block ends without an error.

    Other files in ``folder`` stay. The file named ``written_last`` is moved last, so that its presence vouches for the
    others.

    Raises:
        DataError: Something cannot be written.
    """
    with _partial_folder(folder) as (target, partial):
        yield partial
        target.mkdir(exist_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: (path.name == written_last, path.name)):
            path.replace(target / path.name)


def read_json(path: Path, error_class: type[UserError] = DataError) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: Of the class ``error_class``; the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise error_class(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise error_class(f"{path} cannot be read as JSON: {error}.") from error


def read_json_object(path: Path, error_class: type[UserError] = DataError) -> dict[str, Any]:
    """The content of a JSON file that holds an object.

    Raises:
        UserError: Of the class ``error_class``; the file is missing, is not JSON, or holds something else.
    """
    content = read_json(path, error_class)
    if not isinstance(content, dict):
        raise error_class(f"{path} holds {type(content).__name__}, expected a JSON object.")
    return content


@contextmanager
def _partial_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The resolved target and an empty folder beside it, which is removed afterwards."""
    target = folder.resolve()
    partial = _partial_path(target)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield target, partial
    except OSError as error:
        raise _write_error(folder, error) from error
    except DataError as error:
        # A writer inside names the temporary folder, of which the caller knows nothing.
        if str(partial) in str(error) and isinstance(error.__cause__, OSError):
            raise _write_error(folder, error.__cause__) from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _write_error(path: Path, error: OSError) -> DataError:
    hint = " Free some space or choose another place." if error.errno == errno.ENOSPC else ""
    return DataError(f"{path} cannot be written: {error.strerror or error}.{hint}")


def _unlink(path: Path) -> None:
    """Remove a temporary file; its folder may be missing or no folder at all."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
