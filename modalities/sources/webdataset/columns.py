"""Which member of an archive holds a modality: the settings ``options.columns``, and the names if they are silent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modalities.errors import ConfigError, DataError
from modalities.sources.cells import stored_cell, stored_content
from modalities.sources.stored import Stored
from modalities.sources.webdataset.index import TarMember
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class TarColumn:
    """The place of one modality in a set of tars."""

    folder: str
    """Folder of its tars; empty where one tar holds all modalities."""
    extensions: tuple[str, ...]
    """Its members' extensions, or how they begin: ``rgb`` is also ``rgb.jpg``; empty for any."""
    entry: str = ""
    """Entry of the member's JSON that is the value; empty where the member is."""

    def select(self, members: Sequence[TarMember], origin: str) -> TarMember | None:
        """The member that holds the value, or None.

        Args:
            origin: Names the sample in the message.

        Raises:
            DataError: Several members may.
        """
        found = [member for member in members if self.holds(member.extension)]
        if len(found) > 1:
            raise DataError(
                f"{origin} has several members ({', '.join(member.extension for member in found)}), expected one: "
                "choose by its extension in options.columns."
            )
        return found[0] if found else None

    def holds(self, extension: str) -> bool:
        """True for the extension of a member that holds the value."""
        return not self.extensions or any(
            extension == own or extension.startswith(f"{own}.") for own in self.extensions
        )

    def stored(self, content: bytes, member: TarMember, modality: Modality, origin: str) -> Stored | None:
        """A member's content as a stored value.

        Raises:
            DataError: It is no JSON, where an entry is asked for, or no .npz that holds the value.
        """
        if not self.entry:
            suffix = f".{member.extension.rpartition('.')[2]}" if member.extension else ""
            return stored_content(content, suffix, modality, origin)
        try:
            record = json.loads(content)
        except ValueError as error:
            raise DataError(f"{origin} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise DataError(f"{origin} holds a {type(record).__name__}, expected an object with {self.entry!r}.")
        return stored_cell(record.get(self.entry), modality, f"{origin}, entry {self.entry!r}")


def parse_columns(given: Any, modalities: Mapping[str, Modality], *, one_tar: bool) -> dict[str, TarColumn]:
    """The place of every modality.

    Args:
        given: The option: ``{rgb: FOLDER[:EXT[:ENTRY]]}``, or of tars that hold all modalities ``{rgb: EXT[:ENTRY]}``;
            several extensions are a list. A modality that is not in it has its own name as folder or extension.
        one_tar: True where one tar holds all modalities.

    Raises:
        ConfigError: The option has another form.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"options.columns must map modalities to names in the tars, got {given!r}.")
    columns = {}
    own = {name: name for name in modalities if name not in given}
    for name, value in [*own.items(), *given.items()]:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, Sequence) or not words or not all(isinstance(word, str) and word for word in words):
            raise ConfigError(f"options.columns.{name} must be a name or a list of names, got {value!r}.")
        columns[str(name)] = _parse_column(str(name), list(words), one_tar=one_tar)
    return columns


def _parse_column(name: str, words: Sequence[str], *, one_tar: bool) -> TarColumn:
    parts = [word.split(":") for word in words]
    folders = {"" if one_tar else part.pop(0) for part in parts}
    entries = {part[1] if len(part) > 1 else "" for part in parts}
    if len(folders) > 1 or len(entries) > 1 or any(len(part) > 2 for part in parts):
        form = "EXTENSION[:ENTRY]" if one_tar else "FOLDER[:EXTENSION[:ENTRY]]"
        raise ConfigError(f"options.columns.{name} must have the form {form}, got {', '.join(words)}.")
    extensions = tuple(part[0].lower().removeprefix(".") for part in parts if part and part[0])
    return TarColumn(folder=folders.pop(), extensions=extensions, entry=entries.pop())
