"""The contract of a labeller: code or a network that computes one modality of a sample from others."""

import abc
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from modalities.errors import ConfigError
from modalities.spec import Modality, Provenance, Value

L = TypeVar("L", bound="Labeller")


@dataclass(frozen=True, kw_only=True)
class Labeller(abc.ABC):
    """Computes one modality of a sample from others. The fields that a subclass adds are its settings.

    Labellers are pickled: every worker process gets a copy, and calls `prepare` once before the first sample.
    """

    name: str
    """Name in the registry, and in the records beside the labels."""
    output: str
    """Name of the modality that it makes."""
    inputs: tuple[str, ...]
    """Names of the modalities that it needs; a sample that lacks one is not labelled."""
    optional_inputs: tuple[str, ...] = ()
    """Names of further modalities that it uses where a sample has them; without `inputs`, at least one is needed."""
    provenance: Provenance = Provenance.exact
    license: str = "CC0-1.0"
    """Licence of the labels, or of the weights that make them."""
    description: str = ""
    """Origin of the labels in a few words, for a person."""
    batch_size: int = 1
    """Samples that `label_batch` takes at once."""
    version: int = 1
    """Number that goes up with every change of the computation, which makes labels again."""
    uses_full_size: bool = False
    """True where pictures are given at their full size, not reduced as maps of them need them."""

    def for_modalities(self: L, modalities: Mapping[str, Modality]) -> L:
        """The labeller for these modalities, whose classes or sizes it may need.

        Raises:
            UserError: It cannot make its output as the modality declares it.
        """
        return self

    def prepare(self) -> None:
        """Load what `label_batch` needs, such as weights; called once in each process.

        Raises:
            UserError: A package or the weights are missing; the message says which, and how to get them.
        """
        return

    @abc.abstractmethod
    def label(self, values: Mapping[str, Value]) -> Value | None:
        """The value of `output` in one sample.

        Args:
            values: Inputs by name, at the resolution of the data; optional ones that the sample lacks are left out.

        Returns:
            The value, of any resolution, or None where the sample has none.
        """

    def label_batch(self, samples: Sequence[Mapping[str, Value]]) -> list[Value | None]:
        """The values of up to `batch_size` samples, in order."""
        return [self.label(values) for values in samples]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the labels where the labeller brings its own, as `data.classes` takes them; else empty."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person who uses the labels has to know; they are printed and recorded."""
        return ()

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that subclasses add, by name."""
        common = {item.name for item in fields(Labeller)}
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in common}

    @property
    def weights_digest(self) -> str:
        """A hash of the weights; empty where there are none."""
        return ""

    def fingerprint(self) -> str:
        """A text that changes whenever a label may: labels made with another one are made again."""
        content = [self.name, self.output, self.inputs, self.optional_inputs, self.version]
        plain = json.dumps([*content, self.settings, self.weights_digest], sort_keys=True, default=str)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]

    def select_inputs(self, values: Mapping[str, Value]) -> dict[str, Value] | None:
        """The inputs among ``values``, or None where one that is needed is missing."""
        found = {name: values[name] for name in (*self.inputs, *self.optional_inputs) if values.get(name) is not None}
        if any(name not in found for name in self.inputs) or not found:
            return None
        return found


@dataclass(frozen=True, kw_only=True)
class CopyLabeller(Labeller):
    """Takes a modality over as the source has it."""

    def label(self, values: Mapping[str, Value]) -> Value:
        """The value itself."""
        return values[self.output]


def copy_labeller(name: str, license: str) -> CopyLabeller:
    """The labeller that copies the modality ``name`` of a source with this licence."""
    return CopyLabeller(
        name=f"copy_{name}", output=name, inputs=(name,), license=license, description="copied from the source"
    )


def with_settings(labeller: L, settings: Mapping[str, Any]) -> L:
    """The labeller with some of its settings changed.

    Raises:
        ConfigError: It has no such setting, or the value is of another type.
    """
    known = labeller.settings
    changed: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(
                f"Labeller {labeller.name!r} has no setting {key!r}; it has {', '.join(known) or 'none'}."
            )
        changed[key] = _as_type_of(known[key], value, f"{labeller.name}.{key}")
    return replace(labeller, **changed)


def _as_type_of(default: Any, value: Any, name: str) -> Any:
    """``value`` as a setting whose default is ``default``: whole numbers as floats and lists as tuples where needed."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if default is not None and type(value) is not type(default):
        raise ConfigError(f"{name} takes a {type(default).__name__}, got {value!r}.")
    return value
