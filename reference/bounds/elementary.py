"""Elementary functions that the bounds need, each with a proven error or on a proven side.

Only + - * /, `rint`, `frexp` and `ldexp` of float64 arrays are used, so the results are
the same bits everywhere and share nothing with the exp or log of a candidate.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EXP_DEGREE",
    "LN2_ABOVE",
    "LN2_BELOW",
    "LN2_HIGH",
    "LN2_LOW",
    "LOG2E_ABOVE",
    "LOG2E_HIGH",
    "LOG2E_LOW",
    "PER_LN2",
    "REACH",
    "STEEP",
    "exp_parts",
    "expm1_above",
    "log",
    "log1p_above",
]

Floats = NDArray[np.float64]

LN2_HIGH: Final = float.fromhex("0x1.62e42fee00000p-1")
LN2_LOW: Final = float.fromhex("0x1.a39ef35793c76p-33")
"""ln 2 = high + low within 2^-86; high has 32 significant bits, so k * high is exact for |k| < 2^20."""

PER_LN2: Final = 1.4426950408889634
REACH: Final = 5000.0
"""exp of it is beyond every format, its reciprocal below: arguments are clipped there."""

EXP_DEGREE: Final = 14
_LOG_TERMS: Final = 11
STEEP: Final = 32.0
"""Beyond it `expm1_above` bounds nothing that is of use."""

LN2_ABOVE: Final = 0.6931471806
LN2_BELOW: Final = 0.693147180559
LOG2E_ABOVE: Final = 1.45

LOG2E_HIGH: Final = float.fromhex("0x1.71547652b82fep+0")
LOG2E_LOW: Final = float.fromhex("0x1.777d0ffda0d24p-56")
"""log2 e = high + low within 2^-108; high is log2 e rounded."""


def exp_parts(t: Floats) -> tuple[Floats, NDArray[Any]]:
    """Return (f, k) with exp(t) = f 2^k, f in [0.7, 1.42], within 2^-49 relative.

    t is clipped to +-5000. With k = rint(t / ln 2), the reduced |r| < 0.3467 is within
    2^-53 (one subtraction) + 2^13 2^-86 of t - k ln 2; Taylor's remainder after degree 14 is below
    0.3467^15 / 15! < 2^-63; Horner's last steps round 1 + r (..) with at most 3 units of 2^-53.
    """
    t = np.clip(t, -REACH, REACH)
    k = np.rint(t * PER_LN2)
    r = (t - k * LN2_HIGH) - k * LN2_LOW
    value = np.ones_like(r)
    for degree in range(EXP_DEGREE, 0, -1):
        value = 1.0 + value * r / degree
    return value, k.astype(np.int32)


def expm1_above(k: Floats) -> Floats:
    """Return an upper bound of expm1(k) for 0 <= k <= 32, and 2^1000 beyond, which no bound survives.

    exp's diagonal Pade approximant of degree 3 lies above it for positive arguments below its pole at 4.64
    (the remainder of the [m/m] approximant has the sign of (-1)^(m+1)), in excess by
    z^7 / 100800 relatively. It is taken at z = k / 16 and squared four times as
    expm1(2 z) = e (2 + e), which cancels nothing. The excess is below 16 z^7 / 100800: 1e-12 for
    k < 1, 2 % at k = 32. The factor covers 40 roundings, each at most doubled by a squaring.
    """
    z = np.minimum(k, STEEP) * 0.0625
    zz = z * z
    e = z * (120.0 + 2.0 * zz) / ((120.0 + 12.0 * zz) - z * (60.0 + zz))
    for _ in range(4):
        e = e * (2.0 + e)
    return np.where(k > STEEP, 2.0**1000, e * (1.0 + 2.0**-40))


def log1p_above(x: Floats) -> Floats:
    """Return an upper bound of log(1 + x) for x >= 0: x (6 + x) / (6 + 4 x).

    Topsoe, Some bounds for the logarithmic function, RGMIA 2004. In excess by x^3 / 36.
    """
    return x * (6.0 + x) / (6.0 + 4.0 * x) * (1.0 + 2.0**-50)


def log(x: Floats) -> Floats:
    """Return the logarithm of x > 0, within 2^-44 (1 + |log x|).

    x = m 2^k with m in [0.7, 1.42); log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.177;
    the series' rest after 11 terms is below 2 * 0.177^23 / 23 < 2^-60.
    """
    m, k = np.frexp(x)
    low = m < 0.7071
    m, k = np.where(low, 2.0 * m, m), k - low
    s = (m - 1.0) / (m + 1.0)
    series = np.zeros_like(s)
    for term in range(_LOG_TERMS - 1, -1, -1):
        series = series * (s * s) + 2.0 / (2 * term + 1)
    return np.asarray(k * LN2_HIGH + (k * LN2_LOW + s * series))
