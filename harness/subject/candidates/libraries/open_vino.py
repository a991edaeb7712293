"""OpenVINO: a model of one Softmax or LogSoftmax node, on the processor, in the precision of its input.

Without the hint the plugin may compute in bfloat16 on processors that have it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import openvino
from openvino import opset8

__all__ = ["log_softmax", "softmax"]

TYPES = {
    "float16": openvino.Type.f16,
    "bfloat16": openvino.Type.bf16,
    "float32": openvino.Type.f32,
    "float64": openvino.Type.f64,
    "float8_e4m3fn": openvino.Type.f8e4m3,
    "float8_e5m2": openvino.Type.f8e5m2,
}


def softmax(x: Any, axis: int = -1) -> Any:
    """Return OpenVINO's softmax."""
    return _run("softmax", x, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return OpenVINO's log_softmax."""
    return _run("log_softmax", x, axis)


def _run(node: str, x: Any, axis: int) -> Any:
    if x.dtype.name not in TYPES:
        raise TypeError(f"OpenVINO has no element type {x.dtype.name}")
    request = _request(node, x.dtype.name, x.ndim, axis)
    request.infer([_tensor(x)])
    return _numpy(request.get_output_tensor(0), x)


def _tensor(x: Any) -> Any:
    """Return a tensor of x's own bits."""
    return openvino.Tensor(np.ascontiguousarray(x).view(np.uint8).reshape(-1), x.shape, TYPES[x.dtype.name])


def _numpy(y: Any, x: Any) -> Any:
    """Return a tensor as an array of x's shape and dtype."""
    out = np.empty(x.shape, x.dtype)
    result = openvino.Tensor(out.view(np.uint8).reshape(-1), x.shape, y.element_type)
    y.copy_to(result)
    return out


@functools.cache
def _request(node: str, dtype: str, axes: int, axis: int) -> Any:
    x = opset8.parameter(openvino.PartialShape([-1] * axes), TYPES[dtype], name="x")
    model = openvino.Model([getattr(opset8, node)(x, axis)], [x], node)
    compiled = openvino.Core().compile_model(model, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    return compiled.create_infer_request()
