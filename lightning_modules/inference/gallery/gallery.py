"""The generation sheets of one model, made and kept: `recipes` says which."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_modules.inference.gallery.contact_sheet import contact_sheet
from lightning_modules.inference.gallery.presets import GALLERY_PRESETS, GalleryData, GalleryPreset, PresetInputs
from lightning_modules.inference.request import GenerationRequest, run_request
from lightning_modules.inference.settings import describe_plan
from modalities.errors import DataError
from modalities.rendering.sheet import ContactSheet, rendering_from_json, rendering_to_json
from modalities.storage.atomic import atomic_write_text, read_json
from networks.fourm.model import FourM

log = logging.getLogger(__name__)

GALLERY_FILE = "exhibits.json"
FOLDER_PLACEHOLDER = "HERE"
"""Stands for the folder of the exhibits in their commands, until somebody knows where that will be."""


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """One generation sheet and what a reader must know of it."""

    name: str
    sentence: str
    """Inputs and generated targets, as one contact sheet."""
    settings: str
    """Decoding settings of each target, in words."""
    commands: tuple[tuple[str, ...], ...]
    """Arguments of ``fourm generate`` that reproduce it; one list for each request."""
    sheet: ContactSheet

    def with_folder(self, folder: str) -> "GalleryItem":
        """The same, its commands naming ``folder``."""
        moved = tuple(tuple(word.replace(FOLDER_PLACEHOLDER, folder) for word in words) for words in self.commands)
        return replace(self, commands=moved)

    def with_prefix(self, words: tuple[str, ...]) -> "GalleryItem":
        """The same, its commands behind ``words``."""
        return replace(self, commands=tuple((*words, *command) for command in self.commands))


def make_gallery(
    model: FourM,
    gallery_data: GalleryData,
    format_command: Callable[[GenerationRequest], Sequence[str]],
    progress: Callable[[float], None] = lambda _: None,
) -> list[GalleryItem]:
    """Every sheet that the model can make; a line of the log says which it cannot, and why.

    Args:
        format_command: The words of the command line that a request stands for, for people to run it again.
    """
    was_training = model.training
    model.eval()
    found: list[GalleryItem] = []
    for number, preset in enumerate(GALLERY_PRESETS):
        exhibit = _make_item(model, gallery_data, preset, format_command)
        if exhibit is not None:
            found.append(exhibit)
        progress((number + 1) / len(GALLERY_PRESETS))
    model.train(was_training)
    return found


def _make_item(
    model: FourM,
    gallery_data: GalleryData,
    preset: GalleryPreset,
    format_command: Callable[[GenerationRequest], Sequence[str]],
) -> GalleryItem | None:
    missing = [name for name in preset.required_targets if name not in gallery_data.targets]
    if missing:
        log.warning("No sheet %s: the model cannot predict %s.", preset.name, ", ".join(missing))
        return None
    sample = gallery_data.sample(preset.first, preset.required_targets)
    requests = (
        {}
        if sample is None
        else preset.requests(PresetInputs(gallery_data=gallery_data, sheet=preset.name, sample=sample))
    )
    if sample is None or not requests:
        log.warning("No sheet %s: no held-out sample has what it asks for.", preset.name)
        return None
    codec = gallery_data.codec
    outcomes = {label: run_request(model, codec, request) for label, request in requests.items()}
    settings = [
        f"{label}: {words}" if label else words
        for label, outcome in outcomes.items()
        for words in [describe_plan(outcome.plan, model.streams, outcome.targets)]
    ]
    # Files are named by where they will lie, not by where they are written.
    folder_name = str(gallery_data.folder.parent)
    return GalleryItem(
        name=preset.name,
        sentence=preset.sentence,
        settings=". ".join(settings),
        commands=tuple(
            tuple(word.replace(folder_name, FOLDER_PLACEHOLDER) for word in format_command(request))
            for request in requests.values()
        ),
        sheet=contact_sheet(codec, outcomes, preset.title, gallery_data.truth(sample) if preset.has_sample else None),
    )


def write_gallery(folder: Path, exhibits: Sequence[GalleryItem]) -> None:
    """Write each sheet as ``NAME.png``, and their sentences, settings and commands as JSON.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        for item in exhibits:
            item.sheet.image().save(folder / f"{item.name}.png")
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.") from error
    atomic_write_text(folder / GALLERY_FILE, json.dumps([_item_to_json(item) for item in exhibits]) + "\n")


def read_gallery(folder: Path) -> list[GalleryItem]:
    """The items that `write_gallery` wrote.

    Raises:
        DataError: The file is missing or is something else.
    """
    content = read_json(folder / GALLERY_FILE)
    try:
        return [
            GalleryItem(
                name=item["name"],
                sentence=item["sentence"],
                settings=item["settings"],
                commands=tuple(tuple(words) for words in item["commands"]),
                sheet=ContactSheet(
                    title=item["title"],
                    columns=tuple(item["columns"]),
                    rows=tuple(tuple(map(rendering_from_json, row)) for row in item["rows"]),
                ),
            )
            for item in content
        ]
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{folder / GALLERY_FILE} does not hold generation sheets: {error}.") from error


def _item_to_json(item: GalleryItem) -> dict[str, object]:
    return {
        "name": item.name,
        "sentence": item.sentence,
        "settings": item.settings,
        "commands": item.commands,
        "title": item.sheet.title,
        "columns": item.sheet.columns,
        "rows": [[rendering_to_json(drawing) for drawing in row] for row in item.sheet.rows],
    }
