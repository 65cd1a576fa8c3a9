"""The source of samples in tar archives."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.errors import DataError, UnknownNameError
from modalities.sources.cache import FileCache
from modalities.sources.config import SourceConfig
from modalities.sources.remote import Storage, open_storage
from modalities.sources.splits import DEFAULT_SHARES, SPLIT_OPTIONS, split_keys
from modalities.sources.stored import Stored, StoredSource
from modalities.sources.webdataset.columns import TarColumn, parse_columns
from modalities.sources.webdataset.index import read_tar_index
from modalities.sources.webdataset.keys import ShardKeys
from modalities.sources.webdataset.layout import Shard, find_shards, split_pattern
from modalities.sources.webdataset.tokenized import refuse_tokens
from modalities.spec import Modality

_tar_index = FileCache(read_tar_index, max_files=4096)
"""Indices of archives; each has about 50 bytes a sample."""


class WebDatasetSource(StoredSource):
    """Samples in tar archives, read by offset without being unpacked.

    Path: a folder or URL of tars, ``[SPLIT/]MODALITY/shard-00000.tar`` with members ``KEY.ext`` as published for 4M, or
    ``[SPLIT/]shard-00000.tar`` with members ``KEY.rgb.jpg``; or a pattern of them
    (`modalities.sources.webdataset.layout.split_pattern`).

    Options:
        columns: Which folder, extension and JSON entry a modality has (`parse_columns`).
        splits, group: Shares of splits or lists of keys, where no folders are splits (`modalities.sources.splits`).
        storage: Arguments of fsspec's file system.
    """

    kind = "webdataset"
    known_options = ("columns", "storage", *SPLIT_OPTIONS)

    def __init__(self, config: SourceConfig, modalities: Mapping[str, Modality]) -> None:
        """Find the archives.

        Raises:
            UserError: There are none, or an option is malformed.
        """
        super().__init__(config, modalities)
        root, pattern = split_pattern(config.path)
        self.storage: Storage = open_storage(root, config.options.get("storage"))
        self.shards = {shard.name: shard for shard in find_shards(self.storage, pattern)}
        first = next(iter(self.shards.values()))
        self.one_tar, self.has_split_folders = "" in first.tars, bool(first.split)
        self.columns = parse_columns(config.options.get("columns", {}), modalities, one_tar=self.one_tar)
        if self.has_split_folders and (given := [name for name in SPLIT_OPTIONS if name in config.options]):
            raise DataError(f"{root} has folders of splits, so that options.{given[0]} has no effect: remove it.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that have folders, or those of the option."""
        if self.has_split_folders:
            return tuple(dict.fromkeys(shard.split for shard in self.shards.values()))
        return tuple(self.config.options.get("splits", DEFAULT_SHARES))

    def sample_keys(self, split: str) -> Sequence[str]:
        """``SHARD/KEY`` of each sample: in the archives' order where splits are folders, else as they are shuffled."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        return self._keys_by_split[split]

    def stored(self, key: str, modality: Modality) -> Stored | None:
        """The member that holds the value."""
        column = self._column(modality)
        shard, sample = self._split_key(key)
        entry = shard.tars.get(column.folder)
        if entry is None:
            return None
        where = f"{self.storage.origin(entry.name)}: {sample}"
        member = column.select(_tar_index(self.storage, entry).members(sample), where)
        if member is None:
            return None
        content = self.storage.read(entry.name, member.start, member.start + member.size)
        origin = f"{where}.{member.extension}"
        refuse_tokens(content, modality, origin)
        return column.stored(content, member, modality, origin)

    def explain_missing(self, modality: Modality) -> str | None:
        """The folders or extensions that there are, where none is the modality's."""
        column = self._column(modality)
        entries = [shard.tars[column.folder] for shard in self.shards.values() if column.folder in shard.tars]
        if not entries:
            folders = sorted({name for shard in self.shards.values() for name in shard.tars})
            return (
                f"{self.name} has no folder {column.folder!r} of tars for {modality.name!r}; it has "
                f"{', '.join(folders)}. Name the folder in options.columns, or leave {modality.name!r} out."
            )
        extensions: set[str] = set()
        for entry in entries:
            found = {bytes(item).decode() for item in set(_tar_index(self.storage, entry).extensions.tolist())}
            if any(column.holds(extension) for extension in found):
                return None
            extensions |= found
        return (
            f"{self.name} has no members {' or '.join(column.extensions)} for {modality.name!r}; it has "
            f"{', '.join(sorted(extensions)) or 'none'}. Name the extension in options.columns, or leave "
            f"{modality.name!r} out."
        )

    def data_fingerprint(self, modality: Modality) -> str:
        """Names, sizes and times of the modality's archives, and the keys of all samples."""
        column = self._column(modality)
        entries = [shard.tars.get(column.folder) for shard in self.shards.values()]
        return repr((column, entries, self._keys_digest))

    def data_version(self, key: str, modality: Modality) -> str:
        """Name, size and version of the archive, and the member's place in it."""
        column = self._column(modality)
        shard, sample = self._split_key(key)
        entry = shard.tars.get(column.folder)
        if entry is None:
            return ""
        where = f"{self.storage.origin(entry.name)}: {sample}"
        return repr((column, entry, column.select(_tar_index(self.storage, entry).members(sample), where)))

    @functools.cached_property
    def _keys_by_split(self) -> dict[str, Sequence[str]]:
        if self.has_split_folders:
            return {
                split: ShardKeys(
                    {name: self._shard_keys[name] for name, shard in self.shards.items() if shard.split == split}
                )
                for split in self.splits
            }
        folder = self.storage.local_path("") or Path()
        return dict(split_keys(ShardKeys(self._shard_keys), self.config.options, self.name, folder))

    @functools.cached_property
    def _keys_digest(self) -> str:
        """A digest of all keys, and of the options that divide them."""
        digest = hashlib.sha256(repr([self.config.options.get(name) for name in SPLIT_OPTIONS]).encode())
        for name, keys in self._shard_keys.items():
            digest.update(f"{name} {keys.dtype} {len(keys)}\n".encode())
            digest.update(keys.tobytes())
        lists = [] if self.has_split_folders else [sorted(keys) for keys in self._keys_by_split.values()]
        digest.update(repr(lists).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @functools.cached_property
    def _shard_keys(self) -> dict[str, NDArray[Any]]:
        return {name: self._read_keys(shard) for name, shard in self.shards.items()}

    def _read_keys(self, shard: Shard) -> NDArray[Any]:
        """Keys that any archive of the run's modalities has, UTF-8, in their order.

        Raises:
            DataError: An archive has no key that another has: they are not aligned.
        """
        folders = dict.fromkeys(self.columns[name].folder for name in self.modalities)
        found: NDArray[Any] = np.array([], dtype=np.bytes_)
        first = ""
        for entry in [shard.tars[folder] for folder in folders if folder in shard.tars]:
            keys = _tar_index(self.storage, entry).unique_keys
            if len(found) and len(keys) and not np.isin(keys, found).any():
                raise DataError(
                    f"{self.storage.origin(entry.name)} and {self.storage.origin(first)} have no key in common "
                    f"({keys[0].decode()}, {found[0].decode()}): expected members of equal names, KEY.ext, for equal "
                    "samples."
                )
            first = first or entry.name
            found = np.union1d(found, keys)
        return found

    def _split_key(self, key: str) -> tuple[Shard, str]:
        parts = key.split("/", 2 if self.has_split_folders else 1)
        return self.shards["/".join(parts[:-1])], parts[-1]

    def _column(self, modality: Modality) -> TarColumn:
        own = TarColumn(folder="" if self.one_tar else modality.name, extensions=(modality.name,) * self.one_tar)
        return self.columns.get(modality.name, own)
