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

_LOG_2_HIGH: Final = 6.93147180369123816490e-01
_LOG_2_LOW: Final = 1.90821492927058770002e-10
_SQRT_HALF: Final = 0.7071067811865476
_LOG_EVEN: Final = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
_LOG_ODD: Final = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)

_BLOCK: Final = 8192
"""Elements at a time: the temporaries of a block stay in a core's own cache."""

_CENTRE: Final = 0.425
_CENTRE_OVER: Final = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_CENTRE_UNDER: Final = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_TAIL_OVER: Final = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_TAIL_UNDER: Final = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)


def log(x: ArrayLike) -> F64:
    """Return the natural logarithm of positive normal float64 values, within an ulp.

    The method is fdlibm's e_log.c (Sun Microsystems, 1993): x = 2^k (1 + f), s = f / (2 + f),
    an even polynomial in s, and log 2 in two parts.
    """
    m, k = np.frexp(np.asarray(x, dtype=np.float64))
    low = m < _SQRT_HALF
    m, k = np.where(low, m + m, m), k - low
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    half_square = 0.5 * f * f
    remainder = z * _polynomial(_LOG_ODD, w) + w * _polynomial(_LOG_EVEN, w)
    result: F64 = k * _LOG_2_HIGH - (half_square - (s * (half_square + remainder) + k * _LOG_2_LOW) - f)
    return result


def normal_quantile(q: F64) -> F64:
    """Return the standard normal quantile of probabilities 1/2 + q, for 2^-34 <= 1/2 - |q|.

    Wichura's algorithm AS 241 (PPND16, Applied Statistics 37, 1988), relative error about
    1e-16 in real arithmetic. Its third branch begins at 1/2 - |q| = exp(-25), about 2^-36,
    which `q` never reaches.

    Args:
        q: one-dimensional, in (-1/2, 1/2).
    """
    result = np.empty_like(q)
    for start in range(0, q.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = _quantile_block(q[block])
    return result


def _quantile_block(q: F64) -> F64:
    r = 0.180625 - q * q
    result: F64 = q * _polynomial(_CENTRE_OVER, r)
    result /= _polynomial(_CENTRE_UNDER, r)
    tail = np.flatnonzero(np.abs(q) > _CENTRE)
    result[tail] = _quantile_tail(q[tail])
    return result


def _quantile_tail(q: F64) -> F64:
    r = np.sqrt(-log(0.5 - np.abs(q))) - 1.6
    return np.copysign(_polynomial(_TAIL_OVER, r) / _polynomial(_TAIL_UNDER, r), q)


def _polynomial(coefficients: tuple[float, ...], x: F64) -> F64:
    """Horner's rule in place; coefficients from the constant term up."""
    result = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= x
    result += coefficients[0]
    return result
