"""What was read from a file, kept for all sources of a process while the file stays the same."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from modalities.sources.remote import FileEntry, Storage

T = TypeVar("T")


class FileCache(Generic[T]):
    """Results of reading files, the last ones used."""

    def __init__(self, read: Callable[[Storage, str], T], max_files: int) -> None:
        self._read, self._max_files = read, max_files
        self._kept: OrderedDict[tuple[str, int, str], T] = OrderedDict()

    def __call__(self, storage: Storage, entry: FileEntry) -> T:
        """The result of reading a file, read again where its size or version is another."""
        key = (storage.origin(entry.name), entry.size, entry.version)
        if key not in self._kept:
            self._kept[key] = self._read(storage, entry.name)
            if len(self._kept) > self._max_files:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
