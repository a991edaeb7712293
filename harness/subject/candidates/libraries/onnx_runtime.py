"""ONNX Runtime: a model of one node, opset 13, run by the CPU provider."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import onnxruntime

__all__ = ["log_softmax", "logsumexp", "model", "softmax"]

OPSET = 13
"""The first in which Softmax works along one axis; its definition has not changed since."""

IR_VERSION = 7


def softmax(x: Any, axis: int = -1) -> Any:
    """Return ONNX Runtime's softmax."""
    return _run("Softmax", x, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return ONNX Runtime's log_softmax."""
    return _run("LogSoftmax", x, axis)


def logsumexp(x: Any, axis: int = -1) -> Any:
    """Return ONNX Runtime's logsumexp."""
    return _run("ReduceLogSumExp", x, axis)


def _run(node: str, x: Any, axis: int) -> Any:
    session = _session(node, x.dtype, x.ndim, axis)
    return session.run(None, {"x": np.ascontiguousarray(x)})[0]


@functools.cache
def _session(node: str, dtype: np.dtype[Any], axes: int, axis: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model(dtype, axes, axis, node), options, ["CPUExecutionProvider"])


def model(dtype: np.dtype[Any], axes: int, axis: int, node: str = "Softmax") -> bytes:
    """Return the model of one node for arrays of a dtype and so many axes."""
    element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    reduces = node.startswith("Reduce")
    shapes = {"x": [f"d{i}" for i in range(axes)], "y": [f"d{i}" for i in range(axes - reduces)]}
    x, y = (onnx.helper.make_tensor_value_info(name, element, shape) for name, shape in shapes.items())
    along = {"axes": [axis], "keepdims": 0} if reduces else {"axis": axis}
    only = onnx.helper.make_node(node, ["x"], ["y"], **along)
    graph = onnx.helper.make_graph([only], node, [x], [y])
    opset = onnx.helper.make_opsetid("", OPSET)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    return bytes(made.SerializeToString())
