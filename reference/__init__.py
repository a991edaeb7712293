"""What is true: formats, the exact softmax, ULP errors and a-priori bounds.

The public functions take arrays of shape (..., n), softmax along the last axis. Logits and outputs
may differ in format; their values are taken exactly and never rounded on the way in.
They round to nearest whatever mode the caller's process is in.
mpmath and the compiled kernels are loaded at the first call that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.formats import FORMATS, FloatFormat, format_named, format_of
from reference.inputs import dtype_of, logit_rows, values_of
from reference.rounding import to_nearest

if TYPE_CHECKING:
    from reference.model import Method

__room_of__ = "softmax-harness"

__all__ = ["FORMATS", "correctly_rounded", "softmax", "ulp_errors"]


@to_nearest()
def softmax(x: ArrayLike, bits: int = 200) -> NDArray[np.object_]:
    """Return the exact softmax along the last axis as mpmath numbers, each within 2^-bits relative.

    See `reference.oracle.softmax` for the bound's proof.

    Raises:
        ValueError: a row is empty or has no exact result (NaN, +inf, all -inf), or a logit
            is not exact in float64.
    """
    from reference.oracle import softmax as exact_softmax

    return exact_softmax(x, bits)


@to_nearest()
def ulp_errors(
    x: ArrayLike,
    y: ArrayLike,
    format: str | FloatFormat | None = None,
    method: Method = "certified",
    jobs: int = 1,
) -> NDArray[np.float64]:
    """Return the ULP error of each output y for logits x, in units of ulp_F(r).

    Args:
        x: logits of shape (..., n).
        y: outputs of the same shape.
        format: the output format F, or its name; y's dtype when left out. Every value of
            y must belong to it.
        method: `certified` or `mpmath`; they agree to 1e-6 ULP.
        jobs: threads of the certified method; the figures do not depend on it.

    Returns:
        |y - r| / ulp_F(r) of y's shape, within max(1e-6, 2^-52 relative); +inf from 2^1024
        on; NaN where y is nonfinite or the row has no exact result.

    Raises:
        ValueError: the shapes differ, rows are empty, or a dtype, format, method or value
            is none that is known.
    """
    from reference.errors import judge
    from reference.truth import truth

    fmt = _format(format, y)
    values = values_of(y, fmt)
    rows, shape = logit_rows(x)
    if values.shape != shape:
        raise ValueError(f"y of shape {values.shape}: x has shape {shape}; they must be the same")
    outputs = values.reshape(rows.shape)
    if method == "certified":
        from reference.certified import evaluate

        return evaluate(rows, outputs, fmt, jobs)[0].ulp.reshape(shape)
    return judge(outputs, truth(rows, fmt, method)).ulp.reshape(shape)


@to_nearest()
def correctly_rounded(
    x: ArrayLike,
    format: str | FloatFormat | None = None,
    method: Method = "certified",
    jobs: int = 1,
) -> NDArray[Any]:
    """Return the correctly rounded softmax of x, an array of the format.

    Args:
        x: logits of shape (..., n).
        format: the output format, or its name; x's dtype when left out.
        method: `certified` or `mpmath`; they give the same bits.
        jobs: threads of the certified method; the bits do not depend on it.

    Returns:
        RN(r), ties to even, of x's shape; NaN in rows without an exact result.

    Raises:
        ValueError: rows are empty, or a dtype, format, method or value is none that is known.
    """
    from reference.truth import truth

    fmt = _format(format, x)
    rows, shape = logit_rows(x)
    return fmt.from_float64(truth(rows, fmt, method, jobs).nearest).reshape(shape)


def _format(wanted: str | FloatFormat | None, array: ArrayLike) -> FloatFormat:
    if isinstance(wanted, FloatFormat):
        return wanted
    if wanted is not None:
        return format_named(wanted)
    return format_of(dtype_of(array))
