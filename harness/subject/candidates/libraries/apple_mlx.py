"""MLX: `mlx.core.softmax`, as it is called by default and with `precise=True`, and its logarithms.

MLX's bfloat16 comes and goes as unsigned integers of the same width; float64 exists on the processor alone.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np

__all__ = ["log_softmax", "logsumexp", "precise", "softmax"]

mx.set_default_device(mx.cpu)


def softmax(x: Any, axis: int = -1) -> Any:
    """Return MLX's softmax."""
    return _numpy(mx.softmax(_array(x), axis=axis), x.dtype)


def precise(x: Any, axis: int = -1) -> Any:
    """Return MLX's softmax with intermediates in float32."""
    return _numpy(mx.softmax(_array(x), axis=axis, precise=True), x.dtype)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return MLX's log_softmax."""
    return _numpy(mlx.nn.log_softmax(_array(x), axis=axis), x.dtype)


def logsumexp(x: Any, axis: int = -1) -> Any:
    """Return MLX's logsumexp."""
    return _numpy(mx.logsumexp(_array(x), axis=axis), x.dtype)


def _array(x: Any) -> Any:
    dtype = getattr(mx, x.dtype.name, None)
    if dtype is None:
        raise TypeError(f"MLX has no dtype {x.dtype.name}")
    bits = np.ascontiguousarray(x).view(f"uint{8 * x.itemsize}")
    return mx.array(bits).view(dtype)


def _numpy(y: Any, dtype: Any) -> Any:
    if str(y.dtype).rpartition(".")[2] != dtype.name:
        return np.array(y.astype(mx.float32))
    return np.array(y.view(getattr(mx, f"uint{8 * dtype.itemsize}"))).view(dtype)
