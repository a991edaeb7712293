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

LOG_2_HIGH: Final = 6.93147180369123816490e-01
LOG_2_LOW: Final = 1.90821492927058770002e-10
SQRT_HALF: Final = 0.7071067811865476
LOG_EVEN: Final = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
LOG_ODD: Final = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)


def log(x: ArrayLike) -> F64:
    """Return the natural logarithm of positive normal float64 values, within an ulp.

    The method is fdlibm's e_log.c (Sun Microsystems, 1993): x = 2^k (1 + f), s = f / (2 + f),
    an even polynomial in s, and log 2 in two parts.
    """
    m, k = np.frexp(np.asarray(x, dtype=np.float64))
    low = m < SQRT_HALF
    m, k = np.where(low, m + m, m), k - low
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    half_square = 0.5 * f * f
    remainder = z * _polynomial(LOG_ODD, w) + w * _polynomial(LOG_EVEN, w)
    result: F64 = k * LOG_2_HIGH - (half_square - (s * (half_square + remainder) + k * LOG_2_LOW) - f)
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


def _polynomial(coefficients: tuple[float, ...], x: F64) -> F64:
    """Horner's rule in place; coefficients from the constant term up."""
    result = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= x
    result += coefficients[0]
    return result
