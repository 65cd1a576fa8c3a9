"""Writes tar archives whose bytes depend on nothing but their members."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from modalities.errors import DataError
from modalities.storage.atomic import atomic_file

SHARD_NAME = "shard-{number:05d}.tar"
"""Name of the archive of one shard, as published for 4M."""


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive of named contents atomically; names are ``KEY.ext``.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_file(path, make_parents=True) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            add_member(archive, name, content)


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a member without time or owner, so that equal members make equal archives."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def shard_path(root: Path, split: str, modality: str, number: int) -> Path:
    """The archive of one shard of a modality: ``ROOT/SPLIT/MODALITY/shard-00000.tar``."""
    return root / split / modality / SHARD_NAME.format(number=number)


def member_keys(keys: Sequence[str], origin: str) -> list[str]:
    """Keys of samples as names of members, in which a dot would begin the extension.

    Args:
        origin: Names the shard in the message.

    Raises:
        DataError: Two keys would give one name.
    """
    names: dict[str, str] = {}
    for key in keys:
        name = key.replace(".", "_")
        if name in names:
            raise DataError(
                f"The keys {names[name]!r} and {key!r} of {origin} differ in dots alone, which names in tars cannot "
                "have: rename one."
            )
        names[name] = key
    return list(names)
