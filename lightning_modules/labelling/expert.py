"""The base of labellers that are models of transformers."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from lightning_modules.labelling.weights import LoadedModel, hash_weights, load_model, read_model_config
from modalities.labellers.base import Labeller
from modalities.presets import IMAGE
from modalities.spec import Modality, Provenance, Value


@dataclass(frozen=True, kw_only=True)
class Expert(Labeller):
    """A network that labels pictures, or texts. Values pass it one by one, as pictures differ in size."""

    kinds: ClassVar[tuple[type[Modality], ...]]
    """Kinds of modalities that it makes."""
    reads: ClassVar[tuple[str, ...]] = (IMAGE,)
    """Names of the modalities that it needs."""
    model_types: ClassVar[tuple[str, ...]]
    """Types of models, as their configurations state them."""
    model_class: ClassVar[str]
    """Class of transformers that loads the model."""
    processor_class: ClassVar[str] = "AutoImageProcessor"
    """Class of transformers that prepares its inputs."""

    provenance: Provenance = Provenance.expert
    model: str
    """The model as it was asked for: a folder, or a name on the Hub."""
    folder: Path
    """Its folder."""
    device: str = "auto"
    """Device that the network runs on; auto is the GPU where there is one."""

    @classmethod
    @abc.abstractmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "Expert":
        """The labeller of ``modality`` by a model whose ``fields`` are those of this base."""

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that a person may set, by name."""
        return {name: value for name, value in super().settings.items() if name != "folder"}

    @property
    def weights_digest(self) -> str:
        """A hash of the weights, and of the settings beside them."""
        return hash_weights(self.folder)

    def fingerprint(self) -> str:
        """The hash of the model stands for it, wherever it lies."""
        return super(Expert, replace(self, model="")).fingerprint()

    @property
    def model_config(self) -> dict[str, Any]:
        """The model's configuration, from its file."""
        return read_model_config(self.folder)

    def prepare(self) -> None:
        """Load the weights."""
        self.load()

    def load(self) -> LoadedModel:
        """The model and its processor, loaded once in a process."""
        return load_model(self.folder, self.model_class, self.processor_class, self.device)

    def label(self, values: Mapping[str, Value]) -> Value | None:
        """The value of one sample, without gradients."""
        with torch.inference_mode():
            return self.infer(self.load(), [values[name] for name in self.inputs])

    @abc.abstractmethod
    def infer(self, loaded: LoadedModel, inputs: Sequence[Value]) -> Value | None:
        """The value of one sample from its inputs in the order of `inputs`."""


def model_class_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a model's classes, by index."""
    names = {int(index): str(name) for index, name in config.get("id2label", {}).items()}
    return tuple(names.get(index, f"class_{index}") for index in range(max(names, default=-1) + 1))
