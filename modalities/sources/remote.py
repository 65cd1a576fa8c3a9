"""Files on this machine or behind a URL, by one small interface: list, size, open, read a range of bytes.

A URL (``s3://bucket/photos``, ``memory://...``) is opened by fsspec, an optional dependency; paths and ``file://`` need
none. Nothing is copied as a whole.
"""

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeAlias, runtime_checkable
from urllib.parse import unquote, urlsplit

from modalities.errors import ConfigError, DataError, UnavailableError

BinaryFile: TypeAlias = Any
"""An open binary file with ``read``, ``seek`` and ``tell``; file systems have classes of their own."""

_VERSION_ENTRIES = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
"""Entries of fsspec's listings that change with a file's content, the surest first; each file system has others."""

_LASTING = (PermissionError, IsADirectoryError, NotADirectoryError, ValueError)
"""Errors that another try meets again."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a storage."""

    name: str
    """Path below the storage's root, its parts joined by ``/``."""
    size: int
    """Bytes."""
    version: str
    """A text that changes when the content does: an entity tag or a modification time, empty where none is known."""


@runtime_checkable
class Storage(Protocol):
    """A folder and the files below it."""

    @property
    def root(self) -> str:
        """Path or URL of the folder, as it was given."""

    def walk(self, folder: str = "") -> list[FileEntry]:
        """Every file below ``folder``, in the order of the names.

        Raises:
            DataError: There is no such folder, or it cannot be listed.
        """

    def open(self, name: str) -> BinaryFile:
        """A file for reading, which can be sought in.

        Raises:
            DataError: There is no such file, or it cannot be opened.
        """

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from ``start`` to before ``stop``; None stands for the end.

        Raises:
            DataError: There is no such file, it ends before ``stop``, or it cannot be read.
        """

    def local_path(self, name: str) -> Path | None:
        """The file's path on this machine; None where it lies elsewhere."""

    def origin(self, name: str) -> str:
        """The file in messages: its whole path or URL."""


@dataclass(frozen=True, kw_only=True)
class LocalStorage:
    """A folder on this machine."""

    root: str

    def walk(self, folder: str = "") -> list[FileEntry]:
        """Every file below ``folder``; links to folders are followed."""
        top = Path(self.root) / folder
        if not top.is_dir():
            raise DataError(f"{top} is not a folder." if top.exists() else f"There is no folder {top}.")
        with _named_errors(str(top)):
            return sorted(_list_files(str(top), f"{folder}/" if folder else "", ()), key=lambda entry: entry.name)

    def open(self, name: str) -> BinaryFile:
        """The file, opened."""
        with _named_errors(self.origin(name)):
            return self._path(name).open("rb")

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of the range."""
        with self.open(name) as file, _named_errors(self.origin(name)):
            file.seek(start)
            return _check_length(file.read(-1 if stop is None else stop - start), start, stop, self.origin(name))

    def local_path(self, name: str) -> Path:
        """The path."""
        return self._path(name)

    def origin(self, name: str) -> str:
        """The path."""
        return str(self._path(name))

    def _path(self, name: str) -> Path:
        return Path(self.root) / name


def _list_files(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[FileEntry]:
    """Every file below a folder; a link that leads nowhere is one that cannot be read, a link to a folder above none.

    Args:
        prefix: Put before the names.
        above: Device and inode of the folders above this one.
    """
    status = os.stat(folder)  # noqa: PTH116
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as found:
        for item in found:
            name = f"{prefix}{item.name}"
            if item.is_dir():
                yield from _list_files(item.path, f"{name}/", (*above, here))
                continue
            try:
                facts = item.stat()
                yield FileEntry(name=name, size=facts.st_size, version=str(facts.st_mtime_ns))
            except FileNotFoundError:
                yield FileEntry(name=name, size=0, version="a link that leads nowhere")


@dataclass(frozen=True, kw_only=True)
class RemoteStorage:
    """A folder behind a URL that fsspec opens. Picklable; each process has a connection of its own."""

    root: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of fsspec's file system, such as ``anon: true``."""

    def walk(self, folder: str = "") -> list[FileEntry]:
        """Every file below ``folder``."""
        system, top = self._open_system()
        where = _join(top, folder)
        with _named_errors(_join(self.root, folder)):
            system.invalidate_cache()
            found = system.find(where, detail=True)
            is_file = len(found) == 1 and next(iter(found)) == where
            if is_file or (not found and not system.isdir(where)):
                raise DataError(f"{_join(self.root, folder)} is not a folder, or there is nothing below it.")
        entries = [
            FileEntry(name=_relative(path, top), size=int(facts["size"] or 0), version=_version(facts))
            for path, facts in found.items()
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def open(self, name: str) -> BinaryFile:
        """The file, read ahead block by block."""
        system, top = self._open_system()
        with _named_errors(self.origin(name)):
            return system.open(_join(top, name), "rb")

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of the range, which alone are transferred."""
        system, top = self._open_system()
        with _named_errors(self.origin(name)):
            content = bytes(system.cat_file(_join(top, name), start=start, end=stop))
        return _check_length(content, start, stop, self.origin(name))

    def local_path(self, name: str) -> None:
        """None: the file lies elsewhere."""
        return

    def origin(self, name: str) -> str:
        """The URL."""
        return _join(self.root, name)

    def _open_system(self) -> tuple[Any, str]:
        """The file system, which fsspec caches for each process, and the root's path in it.

        Raises:
            ConfigError: fsspec or what it needs for this kind of URL is not installed, or the kind is unknown.
        """
        try:
            core = importlib.import_module("fsspec.core")
        except ImportError as error:
            raise ConfigError(
                f"{self.root} is read by fsspec, which is not installed: pip install 'fourm-lab[remote]'."
            ) from error
        try:
            system, path = core.url_to_fs(self.root, **self.options)
        except (ImportError, ValueError, TypeError) as error:
            raise ConfigError(f"{self.root} cannot be opened: {_one_line(error)}.") from error
        return system, str(path)


def open_storage(place: str | Path, options: Mapping[str, Any] | None = None) -> Storage:
    """The folder at a path or URL. Nothing is read yet.

    Args:
        options: Arguments of fsspec's file system, for URLs.

    Raises:
        ConfigError: Options are given for a path.
    """
    text = str(place)
    parts = urlsplit(text)
    if "://" in text and parts.scheme != "file":
        return RemoteStorage(root=text.rstrip("/") if parts.path.strip("/") else text, options=dict(options or {}))
    if options:
        raise ConfigError(
            f"Storage options are for URLs, such as s3://bucket/folder: {text} is a path on this machine."
        )
    return LocalStorage(root=unquote(parts.path) if "://" in text else text)


def split_place(place: str) -> tuple[str, str]:
    """The folder of a file's path or URL, and its name."""
    folder, _, name = place.rpartition("/")
    return (folder or "/" if place.startswith("/") else folder or "."), name


@contextmanager
def _named_errors(origin: str) -> Iterator[None]:
    """Turn whatever a file system raises into one line; each has exceptions of its own.

    Raises:
        DataError: The file is missing, is none, or may not be read.
        UnavailableError: Anything else went wrong, which may pass.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"There is no file {origin}.") from error
    except _LASTING as error:
        raise DataError(f"{origin} cannot be read: {_one_line(error)}.") from error
    except Exception as error:
        raise UnavailableError(f"{origin} cannot be read: {_one_line(error)}.") from error


def _check_length(content: bytes, start: int, stop: int | None, origin: str) -> bytes:
    if stop is not None and len(content) != stop - start:
        raise DataError(
            f"{origin} ends at byte {start + len(content)}, expected {stop}: it is truncated or was changed."
        )
    return content


def _version(facts: Mapping[str, Any]) -> str:
    return next((str(facts[name]) for name in _VERSION_ENTRIES if facts.get(name)), "")


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if name else folder


def _relative(path: str, top: str) -> str:
    return PurePosixPath("/" + path.lstrip("/")).relative_to("/" + top.strip("/")).as_posix()


def _one_line(error: BaseException) -> str:
    """The message of an error as one line without a full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
