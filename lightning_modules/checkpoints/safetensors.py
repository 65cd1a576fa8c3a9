"""Reads and writes the tensors of a safetensors file one at a time, so that a large model is never in memory twice."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from modalities.errors import CheckpointError

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of dtypes in the format."""

ALIGNMENT = 8
"""The format asks that the first tensor begin at a multiple of this many bytes."""

MAX_MAPPED_BYTES = 1 << 28
"""Bytes that are read through one mapping of a file; mapped pages count as memory until the mapping is gone."""


class SafetensorsFile:
    """The tensors of a safetensors file, read lazily."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            CheckpointError: It cannot be read.
        """
        self._path = path
        self._mapped_bytes = 0
        try:
            self._file = self._open()
            self._names = list(self._file.keys())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors: {error}.") from error

    def _open(self) -> Any:
        # The library has no types.
        return safe_open(self._path, framework="pt")

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata."""
        return dict(self._file.metadata() or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in set(self._names)

    def __getitem__(self, name: str) -> Tensor:
        try:
            if self._mapped_bytes > MAX_MAPPED_BYTES:
                self._file, self._mapped_bytes = self._open(), 0
            tensor: Tensor = self._file.get_tensor(name)
            self._mapped_bytes += tensor.numel() * tensor.element_size()
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"The tensor {name!r} of {self._path} cannot be read: {error}.") from error
        return tensor

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        return tuple(self._file.get_slice(name).get_shape())


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write ``tensors`` under their names; tensors that share memory are written each on its own.

    Args:
        metadata: Metadata of the file.

    Raises:
        OSError: The file cannot be written.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    # Larger numbers first keeps every tensor aligned, as the format's own writer does.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    end = 0
    for name in order:
        value = tensors[name]
        begin, end = end, end + value.numel() * value.element_size()
        header[name] = {"dtype": DTYPE_NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            value = tensors[name].detach().cpu().contiguous()
            file.write(value.flatten().view(torch.uint8).numpy().data if value.numel() else b"")
