"""tinygrad: `Tensor.softmax` and its logarithms, on the processor.

Arrays come and go as bytes, from which tinygrad's own bitcast makes its dtypes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tinygrad import Tensor, dtypes

__all__ = ["log_softmax", "logsumexp", "softmax"]

DTYPES = {
    "float16": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "float32": dtypes.float32,
    "float64": dtypes.float64,
    "float8_e4m3fn": dtypes.fp8e4m3,
    "float8_e5m2": dtypes.fp8e5m2,
}
BITS = {1: dtypes.uint8, 2: dtypes.uint16, 4: dtypes.uint32, 8: dtypes.uint64}


def softmax(x: Any, axis: int = -1) -> Any:
    """Return tinygrad's softmax."""
    return _numpy(_tensor(x).softmax(axis), x)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return tinygrad's log_softmax."""
    return _numpy(_tensor(x).log_softmax(axis), x)


def logsumexp(x: Any, axis: int = -1) -> Any:
    """Return tinygrad's logsumexp."""
    return _numpy(_tensor(x).logsumexp(axis), x)


def _tensor(x: Any) -> Any:
    if x.dtype.name not in DTYPES:
        raise TypeError(f"tinygrad has no dtype {x.dtype.name}")
    bits = np.ascontiguousarray(x).view(f"uint{8 * x.itemsize}")
    return Tensor(bits, device="CPU").bitcast(DTYPES[x.dtype.name])


def _numpy(y: Any, x: Any) -> Any:
    return y.contiguous().bitcast(BITS[x.itemsize]).numpy().view(x.dtype)
