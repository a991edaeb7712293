"""What is true: formats, the exact results of each op, ULP errors and a-priori bounds.

The public functions take arrays of shape (..., n) and work along the last axis. Logits and outputs
may differ in format; their values are taken exactly and never rounded on the way in.
They round to nearest whatever mode the caller's process is in.
mpmath and the compiled kernels are loaded at the first call that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.formats import FORMATS, FloatFormat, format_named, format_of
from reference.inputs import dtype_of, logit_rows, outputs_of
from reference.rounding import to_nearest

if TYPE_CHECKING:
    from reference.model import Method
    from reference.ops import Op

__room_of__ = "softmax-harness"

__all__ = ["FORMATS", "correctly_rounded", "log_softmax", "logsumexp", "softmax", "ulp_errors"]


@to_nearest()
def softmax(x: ArrayLike, bits: int = 200) -> NDArray[np.object_]:
    """Return the exact softmax along the last axis as mpmath numbers, each within 2^-bits relative.

    See `reference.oracle.softmax` for the bound's proof.

    Args:
        x: logits of shape (..., n).
        bits: how good the results are.

    Returns:
        An array of mpmath numbers of x's shape, each within 2^-bits of the exact result, relative to it.

    Raises:
        ValueError: a row is empty or has no exact result (NaN, +inf, all -inf), or a logit
            is not exact in float64.
    """
    from reference.oracle import softmax as exact_softmax

    return exact_softmax(x, bits)


@to_nearest()
def log_softmax(x: ArrayLike, bits: int = 200) -> NDArray[np.object_]:
    """Return the exact log_softmax along the last axis as mpmath numbers, each within 2^-bits relative.

    Masked entries are -inf.

    Raises:
        ValueError: as `softmax` does.
    """
    from reference.logarithms import log_softmax as exact_log_softmax

    return exact_log_softmax(x, bits)


@to_nearest()
def logsumexp(x: ArrayLike, bits: int = 200) -> Any:
    """Return the exact logsumexp along the last axis: mpmath numbers in an array of shape (...), or one.

    Each is within 2^-bits relative, however close to 0 it is.

    Raises:
        ValueError: as `softmax` does.
    """
    from reference.logarithms import logsumexp as exact_logsumexp

    return exact_logsumexp(x, bits)


@to_nearest()
def ulp_errors(
    x: ArrayLike,
    y: ArrayLike,
    format: str | FloatFormat | None = None,
    method: Method = "certified",
    jobs: int = 1,
    op: str = "softmax",
) -> NDArray[np.float64]:
    """Return the ULP error of each output y for logits x, in units of ulp_F(r).

    Args:
        x: logits of shape (..., n).
        y: outputs of the same shape, or (...) for logsumexp.
        format: the output format F, or its name; y's dtype when left out. Every value of
            y must belong to it.
        method: `certified` or `mpmath`; they agree to 1e-6 ULP.
        jobs: threads of the certified method; the figures do not depend on it.
        op: `softmax`, `log_softmax` or `logsumexp`; with settings `softmax(scale=0.125, sink=0.0)`.

    Returns:
        |y - r| / ulp_F(r) of y's shape, within max(1e-6, 2^-52 relative); +inf from 2^1024
        on; NaN where y is nonfinite or the row has no exact result. At a masked entry of log_softmax -inf is
        exact, and its error 0; that of a number is +inf.

    Raises:
        ValueError: the shapes differ, rows are empty, or a dtype, format, method, op or value
            is none that is known.
    """
    from reference.ops import op_named

    wanted, fmt = op_named(op), _format(format, y)
    found = outputs_of(y, fmt)
    rows, shape = logit_rows(x)
    if found.shape != wanted.shape(shape):
        raise ValueError(_misshapen(wanted, found.shape, shape))
    outputs = found.reshape(len(rows), 1 if wanted.reduces else shape[-1])
    if method == "certified":
        judgement, _ = wanted.evaluate(rows, outputs, fmt, jobs)
    else:
        judgement = wanted.judge(outputs, wanted.truth(rows, fmt, method))
    return judgement.ulp.reshape(found.shape)


@to_nearest()
def correctly_rounded(
    x: ArrayLike,
    format: str | FloatFormat | None = None,
    method: Method = "certified",
    jobs: int = 1,
    op: str = "softmax",
) -> NDArray[Any]:
    """Return the correctly rounded results for x, an array of the format.

    Args:
        x: logits of shape (..., n).
        format: the output format, or its name; x's dtype when left out.
        method: `certified` or `mpmath`; they give the same bits.
        jobs: threads of the certified method; the bits do not depend on it.
        op: `softmax`, `log_softmax` or `logsumexp`; with settings `softmax(scale=0.125, sink=0.0)`.

    Returns:
        RN(r), ties to even, of x's shape, or (...) for logsumexp. In rows without an exact result NaN, but
        for a logsumexp of a row with +inf and no NaN, which is +inf, and of one that is all -inf, which is
        -inf. A result that rounds to zero is +0.

    Raises:
        ValueError: rows are empty, or a dtype, format, method, op or value is none that is known.
    """
    from reference.ops import op_named

    wanted, fmt = op_named(op), _format(format, x)
    rows, shape = logit_rows(x)
    nearest = wanted.nearest(wanted.truth(rows, fmt, method, jobs))
    if method == "certified":
        from reference.certified.narrowing import narrowed

        return narrowed(nearest, fmt).reshape(wanted.shape(shape))
    return fmt.from_float64(nearest).reshape(wanted.shape(shape))


def _misshapen(op: Op, outputs: tuple[int, ...], logits: tuple[int, ...]) -> str:
    if op.reduces:
        return f"y of shape {outputs}: x has shape {logits}; {op} of it has shape {op.shape(logits)}"
    return f"y of shape {outputs}: x has shape {logits}; they must be the same"


def _format(wanted: str | FloatFormat | None, array: ArrayLike) -> FloatFormat:
    if isinstance(wanted, FloatFormat):
        return wanted
    if wanted is not None:
        return format_named(wanted)
    return format_of(dtype_of(array))
