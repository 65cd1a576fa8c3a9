"""The index of a split: where the columns of its shards are, and which samples are left out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_text, read_json_object

INDEX_FILE = "split.json"


@dataclass(frozen=True, kw_only=True)
class SplitIndex:
    """Shards of one split, each a folder that holds a folder for each column."""

    shards: tuple[str, ...]
    """Folders of the shards, relative to the folder that holds the index's."""
    firsts: tuple[int, ...]
    """Number of each shard's first sample in the split."""
    columns: Mapping[str, str]
    """Name of the folder of each modality or stream in a shard."""
    omitted: tuple[int, ...] = ()
    """Samples that are left out, counted over the shards."""
    num_omitted: int = 0
    """Samples of the split that are left out, those of lost shards too."""

    def save(self, folder: Path) -> None:
        """Write the index into ``folder``."""
        atomic_write_text(folder / INDEX_FILE, json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "SplitIndex":
        """The index that `save` wrote.

        Raises:
            DataError: It is missing or damaged.
        """
        content = read_json_object(folder / INDEX_FILE)
        try:
            return cls(
                shards=tuple(content["shards"]),
                firsts=tuple(content["firsts"]),
                columns=dict(content["columns"]),
                omitted=tuple(content["omitted"]),
                num_omitted=int(content["num_omitted"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / INDEX_FILE} is damaged: {error}. Delete {folder} and make it again.") from error

    def folders(self, folder: Path) -> list[Path]:
        """Folders of the shards, given the folder of the index."""
        return [folder.parent / shard for shard in self.shards]

    def has_columns(self, folder: Path) -> bool:
        """True if the folders of all columns are there, given the folder of the index."""
        names = set(self.columns.values())
        return all(
            shard.is_dir() and names.issubset(path.name for path in shard.iterdir()) for shard in self.folders(folder)
        )
