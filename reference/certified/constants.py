"""Constants of the kernels, computed in mpmath and rounded to nearest, once.

ln 2 in parts, 2^(j/N) as double-doubles, and the coefficients of a polynomial whose
remainder the interpolation theorem bounds. mpmath's global context is not touched.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import mpmath
import numpy as np
from numpy.typing import NDArray

__all__ = ["LogParts", "exp_coefficients", "fixed_tables", "ln2_parts", "log_table", "powers_of_two"]

_PRECISION: Final = 320


class LogParts(NamedTuple):
    """ln2 / N = high + middle + low to 2^-53 of `low`, and its reciprocal."""

    reciprocal: float
    high: float
    middle: float
    low: float


def ln2_parts(steps: int, high_bits: int) -> LogParts:
    """Split ln2 / steps; `high` has `high_bits` bits, so that its small multiples are exact."""
    mp = _context()
    step = mp.log(2) / steps
    significand, exponent = mp.frexp(step)
    high = mp.ldexp(mp.floor(mp.ldexp(significand, high_bits)), int(exponent) - high_bits)
    middle = mp.mpf(float(step - high))
    return LogParts(float(1 / step), float(high), float(middle), float(step - high - middle))


def powers_of_two(steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 2^(j/steps), 0 <= j < steps, as sums high + low within 2^-107 relative."""
    mp = _context()
    powers = [mp.mpf(2) ** (mp.mpf(j) / steps) for j in range(steps)]
    high = [float(power) for power in powers]
    low = [float(power - h) for power, h in zip(powers, high, strict=True)]
    return np.array(high), np.array(low)


def log_table(steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return c_j close to 1 / m in the middle of [1 + j/steps, 1 + (j+1)/steps), and -log c_j = high + low.

    c_0 is 1, so that nothing is added for m next to 1. The sums are within 2^-107 relative.
    """
    mp = _context()
    inverses = [1.0, *(float(1 / (1 + (mp.mpf(j) + 0.5) / steps)) for j in range(1, steps))]
    logs = [-mp.log(c) for c in inverses]
    high = [float(log) for log in logs]
    low = [float(log - h) for log, h in zip(logs, high, strict=True)]
    return np.array(inverses), np.array(high), np.array(low)


def fixed_tables(
    degree: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Return exp(j / 2^8) / 4 below 0.7, exp(j / 2^16) - 1, 1 / k! from k = 2 to `degree`, and log 2.

    All are rounded down to 192 binary places, three limbs of 64 bits each; log 2 has four.
    """
    mp = _context()
    first = [mp.exp(mp.mpf(j) / 2**8) / 4 for j in range(180)]
    second = [mp.expm1(mp.mpf(j) / 2**16) for j in range(1 << 8)]
    inverses = [1 / mp.factorial(k) for k in range(2, degree + 1)]
    return _limbs(first), _limbs(second), _limbs(inverses), _limbs([mp.log(2)], 4)[0]


def _limbs(values: list[Any], count: int = 3) -> NDArray[np.uint64]:
    """Return numbers in [0, 1), rounded down, as limbs of 64 bits, the highest first."""
    mp = _context()
    integers = [int(mp.floor(mp.ldexp(value, 64 * count))) for value in values]
    places = range(64 * (count - 1), -1, -64)
    return np.array([[(i >> place) & (2**64 - 1) for place in places] for i in integers], dtype=np.uint64)


def exp_coefficients(degree: int, reach: float) -> NDArray[np.float64]:
    """Return c with exp(t) close to 1 + t + t^2 (c_0 + c_1 t + ... + c_m t^m), m = degree - 2.

    The polynomial interpolates g(t) = (exp(t) - 1 - t) / t^2 at the m + 1 Chebyshev nodes
    of [-reach, reach]. By the interpolation theorem (Davis, Interpolation and Approximation,
    theorem 3.1.1; the node polynomial is at most 2^-m reach^(m+1)) it differs from g by at
    most max|g^(m+1)| / (m+1)! * 2^-m * reach^(m+1), and max|g^(m+1)| is below
    exp(reach) / ((m+2)(m+3)), as all derivatives of g at 0 are positive.
    """
    mp = _context()
    m = degree - 2
    nodes = [reach * mp.cos(mp.pi * (2 * i + 1) / (2 * m + 2)) for i in range(m + 1)]
    vandermonde = mp.matrix([[t**j for j in range(m + 1)] for t in nodes])
    solution = mp.lu_solve(vandermonde, mp.matrix([_exp_tail(t) for t in nodes]))
    return np.array([float(c) for c in solution])


def _exp_tail(t: Any) -> Any:
    """Return (exp(t) - 1 - t) / t^2 by its series, which does not cancel."""
    mp = _context()
    return sum((t**k / mp.factorial(k + 2) for k in range(90)), mp.mpf(0))


def _context() -> Any:
    context = mpmath.MPContext()
    context.prec = _PRECISION
    return context
