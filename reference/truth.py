"""The truth about rows of logits, of any op and by either of two methods.

`mpmath` (`reference.oracle`, `reference.logarithms`) is slow and plain; `certified` (`reference.certified`)
is compiled, with a proven bound and mpmath behind it where the bound does not decide. They agree on every
RN(r) and every residual's sign and, to `RESIDUAL_TOLERANCE`, on its size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from reference.model import Method, Truth
from reference.ops import Op, op_named

__all__ = ["truth"]


def truth(
    x: NDArray[np.float64],
    fmt: FloatFormat,
    method: Method = "certified",
    jobs: int = 1,
    op: str | Op = "softmax",
) -> Truth:
    """Return the truth about (rows, n) logits in output format `fmt`.

    Args:
        x: logits of shape (rows, n), n >= 1, exact in float64.
        fmt: the output format F.
        method: `certified` (compiled, the default) or `mpmath` (plain, a thousand times slower).
        jobs: threads of the certified method; the result does not depend on it.
        op: what is computed of a row, or its name.

    Raises:
        ValueError: the rows have no entries, or there is no such method or op.
    """
    return op_named(op).truth(x, fmt, method, jobs)
