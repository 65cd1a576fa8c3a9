"""Sessions that run a file: by onnxruntime, or by LiteRT."""

import abc
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.labelling.files.description import Runtime
from lightning_modules.labelling.weights import import_extra
from modalities.errors import ConfigError, DataError


class Session(abc.ABC):
    """A network that is loaded."""

    @abc.abstractmethod
    def input_shape(self, name: str) -> tuple[int | None, ...]:
        """Shape of an input, or of the only one where the name is empty; None for any length.

        Raises:
            ConfigError: There is no such input, or no name and several.
        """

    @abc.abstractmethod
    def run(self, name: str, tensor: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """The outputs by name."""


class OnnxSession(Session):
    """A session of onnxruntime, on the processor."""

    def __init__(self, file: Path) -> None:
        runtime = import_extra("onnxruntime", f"The network {file}")
        options = runtime.SessionOptions()
        # Warnings on initializers that a file does not use concern its author.
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def input_shape(self, name: str) -> tuple[int | None, ...]:
        """Shape of an input."""
        item = self._input(name)
        return tuple(length if isinstance(length, int) else None for length in item.shape)

    def run(self, name: str, tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """The outputs by name."""
        names = [item.name for item in self._session.get_outputs()]
        item = self._input(name)
        kind = np.uint8 if item.type == "tensor(uint8)" else np.float32
        return dict(zip(names, self._session.run(names, {item.name: tensor.astype(kind)}), strict=True))

    def _input(self, name: str) -> Any:
        return _pick({item.name: item for item in self._session.get_inputs()}, name)


class TfliteSession(Session):
    """An interpreter of LiteRT, on the processor."""

    def __init__(self, file: Path) -> None:
        runtime = import_extra("ai_edge_litert.interpreter", f"The network {file}")
        self._interpreter = runtime.Interpreter(model_path=str(file))
        self._interpreter.allocate_tensors()

    def input_shape(self, name: str) -> tuple[int | None, ...]:
        """Shape of an input."""
        return tuple(int(length) for length in self._input(name)["shape"])

    def run(self, name: str, tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """The outputs by name."""
        details = self._input(name)
        self._interpreter.set_tensor(details["index"], tensor.astype(details["dtype"]))
        self._interpreter.invoke()
        return {
            item["name"]: self._interpreter.get_tensor(item["index"]) for item in self._interpreter.get_output_details()
        }

    def _input(self, name: str) -> Any:
        return _pick({item["name"]: item for item in self._interpreter.get_input_details()}, name)


@functools.lru_cache(maxsize=4)
def open_session(file: Path, runtime: Runtime) -> Session:
    """The session of a file, kept for the next call in this process.

    Raises:
        ConfigError: The package that runs it is missing.
        DataError: The file is damaged.
    """
    try:
        return OnnxSession(file) if runtime is Runtime.onnx else TfliteSession(file)
    except ConfigError:
        raise
    except Exception as error:
        raise DataError(f"{file} cannot be loaded: {' '.join(str(error).split())[:200]}.") from error


def _pick(items: Mapping[str, Any], name: str) -> Any:
    if name in items:
        return items[name]
    if not name and len(items) == 1:
        return next(iter(items.values()))
    raise ConfigError(f"The network has the inputs {', '.join(items)}: name one of them in input.tensor, not {name!r}.")
