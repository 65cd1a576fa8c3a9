"""Modalities that differ from the installed ones: of another size, or with the classes of a data set's own labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from modalities.errors import ConfigError, DataError
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Dense, Layout
from modalities.registry import Registry
from modalities.spec import Modality, Provenance
from modalities.tokenizer_specs import TokenizerSpec

M = TypeVar("M", bound=Modality)


def class_names_of(modality: Modality) -> tuple[str, ...]:
    """The classes that a modality's values are labelled with: of maps by index, of boxes and texts those that count."""
    names: Sequence[str] = getattr(modality, "classes", ()) or getattr(modality, "class_names", ())
    return tuple(names)


def declared_classes(modality: Modality) -> tuple[str, ...]:
    """The classes of a map's values or of a record's parts; a text's own are words among others, and do not count."""
    return () if isinstance(modality, FreeTextModality) else class_names_of(modality)


def with_classes(modality: M, names: Sequence[str]) -> M:
    """The same modality with other classes.

    Raises:
        ConfigError: Its values have no classes, or there are too few or too many for a map.
    """
    changed: Any = modality
    if hasattr(modality, "classes") and isinstance(modality.layout, Dense):
        if not 2 <= len(names) <= 256:
            raise ConfigError(f"{modality.name} takes 2 to 256 classes, got {len(names)}.")
        return replace(changed, classes=tuple(names), layout=replace(modality.layout, channels=len(names)))  # type: ignore[no-any-return]
    if hasattr(modality, "class_names"):
        return replace(changed, class_names=tuple(names))  # type: ignore[no-any-return]
    raise ConfigError(f"Values of {modality.name} have no classes: leave it out of data.classes.")


def with_labels_of_experts(modality: M) -> M:
    """The same modality, its labels an expert's: deterministic stand-ins (`Provenance.proxy`) are the scenes' alone."""
    if modality.provenance is not Provenance.proxy:
        return modality
    changed: Any = modality
    return replace(changed, provenance=Provenance.expert, title=modality.title.replace(" (proxy)", ""))  # type: ignore[no-any-return]


def read_class_names(file: str, folder: str) -> tuple[str, ...]:
    """The names in a text file, one a line: the first line is class 0.

    Args:
        file: Path of the file, looked for in ``folder`` first.
        folder: Folder of the data.

    Raises:
        DataError: The file is missing or empty, a line is empty, or a name is there twice.
    """
    inside = Path(folder) / file
    path = inside if inside.is_file() else Path(file)
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines())
    except FileNotFoundError:
        raise DataError(f"There is no file {inside}, nor {path}, expected the names of classes, one a line.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    if not all(names) or not names:
        place = names.index("") + 1 if names else 1
        raise DataError(f"{path}, line {place} is empty, expected the name of class {place - 1}.")
    for place, name in enumerate(names):
        if names.index(name) != place:
            raise DataError(f"{path} has the class {name!r} in lines {names.index(name) + 1} and {place + 1}.")
    return names


@dataclass(frozen=True, kw_only=True)
class ModalityVariant:
    """A modality whose resolution, vocabulary, length or classes differ from the installed one's at every scale."""

    base: str
    """Name of the installed modality."""
    layout: Layout
    tokenizer: TokenizerSpec
    classes: tuple[str, ...] = ()
    """Names of the classes of its values; empty for those of the installed modality."""

    def build_modality(self, name: str, registry: Registry) -> Modality:
        """The installed modality under another name, of this size and with these classes.

        Raises:
            UnknownNameError: The base is not installed.
        """
        base = with_classes(registry[self.base], self.classes) if self.classes else registry[self.base]
        return replace(base, name=name, base=self.base, layout=self.layout, tokenizer=self.tokenizer)
