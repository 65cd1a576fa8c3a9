"""The generation sheets of one model, made and kept: `recipes` says which."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.files import read_json, write_text
from evaluation.generation.contact import contact_sheet
from evaluation.generation.recipes import RECIPES, Inputs, Material, Recipe
from evaluation.generation.request import fulfil
from evaluation.generation.settings import spoken
from evaluation.pictures import Sheet, from_plain, to_plain
from modalities.errors import DataError
from networks.fourm import FourM

log = logging.getLogger(__name__)

FILE = "exhibits.json"
HERE = "HERE"
"""Stands for the folder of the exhibits in their commands, until somebody knows where that will be."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One generation sheet and what a reader must know of it."""

    name: str
    sentence: str
    """What was given, and what was made of it."""
    settings: str
    """What was set for each target, in words."""
    commands: tuple[tuple[str, ...], ...]
    """What makes it again, as words of ``fourm generate``; one for each request."""
    sheet: Sheet

    def at(self, folder: str) -> "Exhibit":
        """The same, its commands naming ``folder``."""
        moved = tuple(tuple(word.replace(HERE, folder) for word in words) for words in self.commands)
        return replace(self, commands=moved)

    def behind(self, words: tuple[str, ...]) -> "Exhibit":
        """The same, its commands behind ``words``."""
        return replace(self, commands=tuple((*words, *command) for command in self.commands))


def make_exhibits(
    model: FourM, material: Material, progress: Callable[[float], None] = lambda _: None
) -> list[Exhibit]:
    """Every sheet that the model can make; a line of the log says which it cannot, and why."""
    was_training = model.training
    model.eval()
    found: list[Exhibit] = []
    for number, recipe in enumerate(RECIPES):
        exhibit = _exhibit(model, material, recipe)
        if exhibit is not None:
            found.append(exhibit)
        progress((number + 1) / len(RECIPES))
    model.train(was_training)
    return found


def _exhibit(model: FourM, material: Material, recipe: Recipe) -> Exhibit | None:
    lacking = [name for name in recipe.needs if name not in material.targets]
    if lacking:
        log.warning("No sheet %s: the model cannot predict %s.", recipe.name, ", ".join(lacking))
        return None
    sample = material.sample(recipe.first, recipe.needs)
    requests = {} if sample is None else recipe.requests(Inputs(material=material, sheet=recipe.name, sample=sample))
    if sample is None or not requests:
        log.warning("No sheet %s: no held-out sample has what it asks for.", recipe.name)
        return None
    codecs = material.codecs
    outcomes = {label: fulfil(model, codecs, request) for label, request in requests.items()}
    settings = [
        f"{label}: {words}" if label else words
        for label, outcome in outcomes.items()
        for words in [spoken(outcome.plan, codecs.streams, outcome.targets)]
    ]
    # Files are named by where they will lie, not by where they are written.
    place = str(material.folder.parent)
    return Exhibit(
        name=recipe.name,
        sentence=recipe.sentence,
        settings=". ".join(settings),
        commands=tuple(tuple(word.replace(place, HERE) for word in request.words()) for request in requests.values()),
        sheet=contact_sheet(codecs, outcomes, recipe.title, material.truth(sample) if recipe.is_given else None),
    )


def write_exhibits(folder: Path, exhibits: Sequence[Exhibit]) -> None:
    """Write each sheet as ``NAME.png``, and all that is told of them as JSON.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        for item in exhibits:
            item.sheet.image().save(folder / f"{item.name}.png")
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.") from error
    write_text(folder / FILE, json.dumps([_plain(item) for item in exhibits]) + "\n")


def read_exhibits(folder: Path) -> list[Exhibit]:
    """What `write_exhibits` wrote.

    Raises:
        DataError: The file is missing or is something else.
    """
    content = read_json(folder / FILE)
    try:
        return [
            Exhibit(
                name=item["name"],
                sentence=item["sentence"],
                settings=item["settings"],
                commands=tuple(tuple(words) for words in item["commands"]),
                sheet=Sheet(
                    title=item["title"],
                    columns=tuple(item["columns"]),
                    rows=tuple(tuple(map(from_plain, row)) for row in item["rows"]),
                ),
            )
            for item in content
        ]
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{folder / FILE} does not hold generation sheets: {error}.") from error


def _plain(item: Exhibit) -> dict[str, object]:
    return {
        "name": item.name,
        "sentence": item.sentence,
        "settings": item.settings,
        "commands": item.commands,
        "title": item.sheet.title,
        "columns": item.sheet.columns,
        "rows": [[to_plain(drawing) for drawing in row] for row in item.sheet.rows],
    }
