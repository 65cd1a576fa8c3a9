"""A modality and a callback of a person's own, in a module that other processes can import."""

from dataclasses import replace
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from modalities.registry import PluginProvider, Registry, default_registry
from modalities.spec import Modality


def load_distance() -> Modality:
    """The modality ``depth`` under another name."""
    return replace(default_registry()["depth"], name="distance", title="Distance", base="depth")


def handmade_registry() -> Registry:
    """Everything installed, and one modality that was added by hand."""
    registry = default_registry()
    registry.add(PluginProvider(name="distance", origin="a test", load=load_distance))
    return registry


class StepsFile(Callback):
    """Writes the steps of each training to a file, one line a training."""

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append the number of steps."""
        with self.path.open("a") as file:
            file.write(f"{type(pl_module).__name__} {trainer.global_step}\n")
