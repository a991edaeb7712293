"""Logarithm and normal quantile in IEEE-exact operations, the same bits on every platform.

Only +, -, *, /, sqrt, frexp, ldexp and comparisons are used, all of which IEEE 754 (or the
definition of frexp and ldexp) fixes to the last bit; the exp and log of a platform's libm
are not fixed, and a row drawn through them would differ between machines.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LOG_2", "log", "normal_quantile"]

F64 = NDArray[np.float64]

LOG_2: Final = 0.6931471805599453
"""log 2, to nearest."""


def log(x: ArrayLike) -> F64:
    """Return the natural logarithm of positive normal float64 values, within an ulp.

    The method is fdlibm's e_log.c (Sun Microsystems, 1993): x = 2^k (1 + f), s = f / (2 + f),
    an even polynomial in s, and log 2 in two parts.
    """
    from strategies.compiled import logarithms

    values = np.asarray(x, dtype=np.float64)
    result = np.empty(values.shape)
    logarithms(values.ravel(), result.ravel())
    return result


def normal_quantile(q: F64) -> F64:
    """Return the standard normal quantile of probabilities 1/2 + q, for 2^-34 <= 1/2 - |q|.

    Wichura's algorithm AS 241 (PPND16, Applied Statistics 37, 1988), relative error about
    1e-16 in real arithmetic. Its third branch begins at 1/2 - |q| = exp(-25), about 2^-36,
    which `q` never reaches.

    Args:
        q: one-dimensional, in (-1/2, 1/2).
    """
    from strategies.compiled import quantiles

    result = np.empty_like(q)
    quantiles(q, result)
    return result
