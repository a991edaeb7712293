"""What is drawn element by element, compiled: IEEE-exact operations, the same bits on every platform."""

from __future__ import annotations

import math
from typing import Any, Final

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern

__all__ = ["logarithms", "quantiles"]

_BIAS: Final = 1022
_FRACTION: Final = (1 << FRACTION_BITS) - 1
_OF_A_HALF: Final = _BIAS << FRACTION_BITS

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


@compiled
def quantiles(q: Any, result: Any) -> None:
    """Store the normal quantiles of one-dimensional q; see `elementary.normal_quantile`."""
    for i in range(q.size):
        if abs(q[i]) > _CENTRE:
            r = math.sqrt(-_log(0.5 - abs(q[i]))) - 1.6
            result[i] = math.copysign(_polynomial(_TAIL_OVER, r) / _polynomial(_TAIL_UNDER, r), q[i])
        else:
            r = 0.180625 - q[i] * q[i]
            result[i] = q[i] * _polynomial(_CENTRE_OVER, r) / _polynomial(_CENTRE_UNDER, r)


@compiled
def logarithms(x: Any, result: Any) -> None:
    """Store the natural logarithms of one-dimensional x; see `elementary.log`."""
    for i in range(x.size):
        result[i] = _log(x[i])


@inlined
def _log(x: float) -> float:
    """`elementary.log` of a positive normal number."""
    bits = pattern(x)
    k = (bits >> FRACTION_BITS) - _BIAS
    m: float = float_of((bits & _FRACTION) | _OF_A_HALF)
    if m < _SQRT_HALF:
        m, k = m + m, k - 1
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    half_square = 0.5 * f * f
    remainder = z * _polynomial(_LOG_ODD, w) + w * _polynomial(_LOG_EVEN, w)
    log: float = k * _LOG_2_HIGH - (half_square - (s * (half_square + remainder) + k * _LOG_2_LOW) - f)
    return log


@inlined
def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """Horner's rule; coefficients from the constant term up."""
    result: float = x * coefficients[-1]
    for i in range(len(coefficients) - 2, 0, -1):
        result = (result + coefficients[i]) * x
    return result + coefficients[0]
