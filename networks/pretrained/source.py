"""Named tensors that are read on access, and checks of their names and shapes."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from modalities.errors import CheckpointError


@runtime_checkable
class TensorSource(Protocol):
    """The tensors of a checkpoint; a file reads one at a time."""

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object) -> bool: ...

    def __getitem__(self, name: str) -> Tensor: ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        ...


class InMemoryTensors(dict[str, Tensor]):
    """Tensors in memory."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self[name].shape)


def shape_of(tensors: TensorSource, name: str) -> tuple[int, ...]:
    """Shape of a required tensor.

    Raises:
        CheckpointError: It is missing.
    """
    if name not in tensors:
        raise CheckpointError(f"The checkpoint lacks the tensor {name!r}.")
    return tensors.shape(name)


def get_setting(config: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """Value of a setting of a published config.

    Raises:
        CheckpointError: It is missing without a default, or of another type.
    """
    value = config.get(name, default)
    if value is None:
        raise CheckpointError(f"The checkpoint's config lacks {name!r}.")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise CheckpointError(f"The checkpoint's config has {name} = {value!r}, expected {kind.__name__}.")
    return value


def copy_into_view(views: Mapping[str, Tensor], tensors: TensorSource, name: str) -> None:
    """Copy the tensor ``name`` into the view of that name.

    Raises:
        CheckpointError: The shapes differ in more than axes of length 1.
    """
    found, expected = tensors.shape(name), tuple(views[name].shape)
    if [size for size in found if size != 1] != [size for size in expected if size != 1]:
        raise CheckpointError(f"The tensor {name!r} has shape {found}, expected {expected}.")
    with torch.no_grad():
        views[name].copy_(tensors[name].reshape(expected))


def check_tensor_names(required: set[str], optional: set[str], tensors: TensorSource) -> None:
    """Check that a checkpoint has all required tensors, and none that is neither required nor optional.

    Raises:
        CheckpointError: The message names the first missing or unknown tensor.
    """
    found = set(tensors)
    for name in sorted(required - found):
        raise CheckpointError(f"The checkpoint lacks the tensor {name!r}{_and_more(required - found)}.")
    for name in sorted(found - required - optional):
        raise CheckpointError(
            f"The checkpoint has the tensor {name!r}, which a model of its config does not have"
            f"{_and_more(found - required - optional)}."
        )


def _and_more(names: set[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""
