"""Files of a command's results: a value and a picture of each target."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalities.rendering.sheet import render_tile, render_value
from modalities.spec import Modality, SequenceModality

PICTURE_SIZE = 448
"""Side of a picture, in pixels."""


@dataclass(frozen=True, kw_only=True)
class CommandOutput:
    """Lines for the terminal."""

    lines: list[str]
    warning: str


def write_values(folder: Path, modality: Modality, values: Sequence[Any]) -> list[dict[str, Any]]:
    """Write each value in its modality's format and as a picture; the entries of a record that name them.

    Raises:
        DataError: A file cannot be written.
    """
    entries = []
    for number, value in enumerate(values):
        stem = modality.name if len(values) == 1 else f"{modality.name}_{number:02d}"
        entry: dict[str, Any] = {"file": f"{stem}{modality.suffix}", "labels": modality.provenance.value}
        modality.write_file(folder / entry["file"], value)
        rendering = render_value(modality, value)
        if isinstance(rendering, str):
            entry["text"] = rendering
        else:
            entry["picture"] = f"{stem}_picture.png"
            render_tile(rendering, PICTURE_SIZE).save(folder / entry["picture"])
        if isinstance(modality, SequenceModality):
            entry["value"] = modality.to_json(value)
        entries.append(entry)
    return entries


def describe_entry(out: Path, name: str, entry: dict[str, Any]) -> str:
    """One line: the text of a result, or where its picture is."""
    return f"{name}: {entry['text'] if 'text' in entry else out / entry['picture']}"
