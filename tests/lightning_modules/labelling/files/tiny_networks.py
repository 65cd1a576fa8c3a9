"""Small ONNX files that give back what went in, so that a wrong range, order or place shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

onnx = pytest.importorskip("onnx")


def write_network(
    path: Path, nodes: Sequence[Any], shape: Sequence[int], outputs: Sequence[str], **weights: Any
) -> Path:
    """Write a network of these nodes from ``x`` of this shape to these outputs."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", floats, shape)],
        [helper.make_tensor_value_info(name, floats, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def echo(path: Path, shape: Sequence[int]) -> Path:
    """A network that gives its input back."""
    return write_network(path, [onnx.helper.make_node("Identity", ["x"], ["y"])], shape, ["y"])


def constant(path: Path, shape: Sequence[int], **outputs: Any) -> Path:
    """A network that gives constants, whatever goes in."""
    nodes = [onnx.helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    # Every input has to be used by a node.
    nodes.append(onnx.helper.make_node("Identity", ["x"], ["unused"]))
    weights = {f"{name}_value": np.asarray(value, np.float32) for name, value in outputs.items()}
    return write_network(path, nodes, shape, list(outputs), **weights)


def describe(path: Path, network: Path, output: Mapping[str, Any], **changes: Any) -> Path:
    """Write a description; ``changes`` are entries of its input."""
    picture = {"width": 8, "height": 6, "channels": "RGB", "axes": "NHWC", "range": 255, **changes}
    plain = {"file": network.name, "license": "MIT", "input": picture, "output": dict(output)}
    OmegaConf.save(OmegaConf.create(plain), path)
    return path
