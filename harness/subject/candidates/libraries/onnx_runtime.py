"""ONNX Runtime: a model of one Softmax node, opset 13, run by the CPU provider."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import onnxruntime

__all__ = ["model", "softmax"]

OPSET = 13
"""The first in which Softmax works along one axis; its definition has not changed since."""

IR_VERSION = 7


def softmax(x: Any, axis: int = -1) -> Any:
    """Return ONNX Runtime's softmax."""
    session = _session(x.dtype, x.ndim, axis)
    return session.run(None, {"x": np.ascontiguousarray(x)})[0]


@functools.cache
def _session(dtype: np.dtype[Any], axes: int, axis: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model(dtype, axes, axis), options, ["CPUExecutionProvider"])


def model(dtype: np.dtype[Any], axes: int, axis: int) -> bytes:
    """Return the model of one Softmax node for arrays of a dtype and so many axes."""
    element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    x, y = (
        onnx.helper.make_tensor_value_info(name, element, [f"d{i}" for i in range(axes)]) for name in "xy"
    )
    node = onnx.helper.make_node("Softmax", ["x"], ["y"], axis=axis)
    graph = onnx.helper.make_graph([node], "softmax", [x], [y])
    opset = onnx.helper.make_opsetid("", OPSET)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    return bytes(made.SerializeToString())
