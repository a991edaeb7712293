"""How far outputs of softmax lie from the truth: ULP errors, classes and row failures, in plain NumPy.

This is the readable specification of the verdict; a compiled twin may replace it only
where it gives the same answers. Definitions:

* the ULP error of y is |y - r| / ulp_F(r), with Goldberg's ulp carried to the reals
  (Muller et al., Handbook of Floating-Point Arithmetic, section 2.3);
* every element falls into the first `ElementClass` that fits;
* a row has failed if an output is nonfinite, or if the exact sum of its outputs lies
  outside [1/2, 2] times the exact sum of RN(r).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.model import Truth
from reference.row_kinds import RowKind

__all__ = [
    "ElementClass",
    "Judgement",
    "RowFailure",
    "below_normal",
    "judge",
    "neighbour_of",
    "ulp_errors_of",
    "ulp_exponents",
    "ulp_of",
]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_BEYOND: Final = 1024
"""Float64's infinity stands for 2^1024 where a result lies beyond float64."""

_QUARTER_BEYOND: Final = 2.0**1022
_LARGE: Final = 2.0**1000
"""Numbers below it do not overflow when they are subtracted; nor do quarters of any others."""


class ElementClass(IntEnum):
    """What an output element is, in the order of precedence; policy rows apart."""

    NONFINITE = 0
    MASK_LEAK = 1
    MASKED_ZERO = 2
    OUT_OF_RANGE = 3
    FLUSHED = 4
    LOST = 5
    UNAVOIDABLE_ZERO = 6
    SPURIOUS_NONZERO = 7
    GRADUAL = 8
    NORMAL = 9
    POLICY = 10


class RowFailure(IntEnum):
    """How a row has failed, judged by its outputs alone."""

    NONE = 0
    NONFINITE = 1
    COLLAPSED = 2
    INFLATED = 3
    POLICY = 4


@dataclass(frozen=True)
class Judgement:
    """The verdict on outputs of shape (rows, n), element by element and row by row.

    Attributes:
        ulp: the ULP error, float64 within max(1e-6, 2^-52 relative); +inf from 2^1024 on; NaN
            where y is nonfinite or the row is a policy row.
        classes: the `ElementClass` of each element, uint8.
        correct: whether y = RN(r); -0 counts as 0.
        faithful: whether y is RD(r) or RU(r).
        negative_zero: whether y is -0, in any row.
        row_sum: the exact sum of y, rounded once, shape (rows,); NaN or infinite where an
            output is.
        nearest_sum: the exact sum of RN(r), rounded once; NaN in policy rows.
        row_sum_error: |sum y - sum RN(r)|, rounded once; NaN or +inf where an output is
            nonfinite; NaN in policy rows.
        failure: the `RowFailure` of each row, uint8.
    """

    ulp: Floats
    classes: NDArray[np.uint8]
    correct: Flags
    faithful: Flags
    negative_zero: Flags
    row_sum: Floats
    nearest_sum: Floats
    row_sum_error: Floats
    failure: NDArray[np.uint8]


def judge(y: Array, truth: Truth) -> Judgement:
    """Judge outputs y of shape (rows, n): an array of the truth's format, or its values in float64.

    Raises:
        ValueError: y has another shape than the truth.
    """
    if y.shape != truth.nearest.shape:
        raise ValueError(f"y of shape {y.shape}: the truth has shape {truth.nearest.shape}; they must match")
    y = truth.format.to_float64(y)
    row_sum, nearest_sum = _row_sums(y), _row_sums(truth.nearest)
    return Judgement(
        ulp=ulp_errors_of(y, truth),
        classes=_classes(y, truth),
        correct=y == truth.nearest,
        faithful=(y == truth.nearest) | (y == neighbour_of(truth)),
        negative_zero=(y == 0) & np.signbit(y),
        row_sum=row_sum,
        nearest_sum=nearest_sum,
        row_sum_error=_row_sum_errors(y, truth),
        failure=_failures(y, truth, row_sum, nearest_sum),
    )


# Elements --------------------------------------------------------------------------------


def ulp_exponents(truth: Truth) -> NDArray[np.int32]:
    """Return the exponent of ulp_F(r) for every element; that of zero in policy rows."""
    fmt = truth.format
    significand, exponent = np.frexp(np.nan_to_num(np.abs(truth.nearest)))
    beyond = np.isinf(truth.nearest)
    significand, exponent = np.where(beyond, 0.5, significand), np.where(beyond, _BEYOND + 1, exponent)
    towards_zero = np.sign(truth.nearest) * truth.residual < 0
    exponent = exponent - 1 - ((significand == 0.5) & towards_zero)
    exponent = np.where(significand == 0, fmt.emin, np.maximum(exponent, fmt.emin))
    return (exponent - fmt.precision + 1).astype(np.int32)


def below_normal(truth: Truth) -> Flags:
    """Tell which exact results lie below 2^emin, the least normal number, whatever they round to.

    Those just below it round up to it. The sign of a residual is exact, so the answer is too. It is no for
    masked entries, whose result is 0, and in policy rows.
    """
    least = float(truth.format.smallest_normal)
    size, towards_zero = np.abs(truth.nearest), np.sign(truth.nearest) * truth.residual < 0
    masked = (truth.nearest == 0) & (truth.residual == 0)
    below: Flags = ((size < least) | ((size == least) & towards_zero)) & ~masked
    return below


def ulp_of(truth: Truth) -> Floats:
    """Return ulp_F(r) for every element: a power of two, exact in float64."""
    with np.errstate(over="ignore"):
        return np.ldexp(1.0, ulp_exponents(truth))


def ulp_errors_of(y: Floats, truth: Truth) -> Floats:
    """Return |(y - RN(r)) / ulp - residual|, rounded where it matters but once; NaN where y is nonfinite.

    y - RN(r) = high + low exactly (Knuth's TwoSum); of numbers that it might overflow for, quarters are
    taken, whose bits below 2^-1074 are less than the last of the figure. Scaling is exact but for overflow,
    which is the figure's own, and for bits below 2^-1074 of an ulp. What is left is the last addition, 2^-53
    of the figure, and the residual's tolerance, 2^-21: below 1e-6 in all for figures up to 2^32, and below
    2^-52 of the figure from there on. For results from 2^1024 up, the figure is first formed in ulps of
    2^1024. It is then divided by 2^k, where r lies k binades above.
    """
    large = np.maximum(np.abs(y), np.abs(truth.nearest)) >= _LARGE
    part = np.where(large, 0.25, 1.0)
    scale = 2 * large - ulp_exponents(truth)
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = np.copysign(_QUARTER_BEYOND, truth.nearest)
        nearest = np.where(np.isinf(truth.nearest), beyond, part * truth.nearest)
        high, low = _two_sum(part * y, -nearest)
        figure: Floats = np.abs(np.ldexp(high, scale) + (np.ldexp(low, scale) - truth.residual))
    figure[~np.isfinite(y)] = np.nan
    if np.isinf(truth.nearest).any():
        figure = np.ldexp(figure, -_binades_beyond(truth))
    return figure


def _binades_beyond(truth: Truth) -> NDArray[np.int32]:
    """Return floor(log2 |r|) - 1024 of results from 2^1024 up, else 0.

    |r| = 2^1024 (1 + z), with 2^(e-1) <= z < 2^e. So it is e, or e - 1 where 1 + z is below 2^e.
    """
    beyond = np.isinf(truth.nearest) & (np.sign(truth.nearest) * truth.residual >= 0)
    z = np.ldexp(np.where(beyond, np.abs(truth.residual), 0.0), 1 - truth.format.precision)
    e = np.frexp(z)[1]
    return np.where(z < 1, 0, e - (z < np.ldexp(1.0, e) - 1)).astype(np.int32)


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return (s, e) with s = fl(a + b) and s + e = a + b (Knuth, TAOCP 2, section 4.2.2)."""
    s = a + b
    virtual = s - a
    return s, (a - (s - virtual)) + (b - virtual)


def neighbour_of(truth: Truth) -> Floats:
    """Return the value of the format next to RN(r) on the side of r; RN(r) itself where r is it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(truth.nearest + np.sign(truth.residual) * ulp_of(truth))


def _classes(y: Floats, truth: Truth) -> NDArray[np.uint8]:
    nearest, zero = truth.nearest, y == 0
    masked = (nearest == 0) & (truth.residual == 0)
    subnormal = np.abs(nearest) < float(truth.format.smallest_normal)
    table = [
        (np.broadcast_to(_policy(truth)[:, None], y.shape), ElementClass.POLICY),
        (~np.isfinite(y), ElementClass.NONFINITE),
        (masked & ~zero, ElementClass.MASK_LEAK),
        (masked, ElementClass.MASKED_ZERO),
        ((y < 0) | (y > 1), ElementClass.OUT_OF_RANGE),
        (zero & (nearest != 0) & subnormal, ElementClass.FLUSHED),
        (zero & (nearest != 0), ElementClass.LOST),
        (zero, ElementClass.UNAVOIDABLE_ZERO),
        (nearest == 0, ElementClass.SPURIOUS_NONZERO),
        (subnormal, ElementClass.GRADUAL),
    ]
    conditions, classes = zip(*table, strict=True)
    return np.select(conditions, [np.uint8(c) for c in classes], np.uint8(ElementClass.NORMAL))


def _policy(truth: Truth) -> Flags:
    return truth.kinds >= RowKind.NAN


# Rows ------------------------------------------------------------------------------------


def _row_sums(values: Floats) -> Floats:
    return np.array([_rounded_sum(row) for row in values.tolist()], dtype=np.float64)


def _row_sum_errors(y: Floats, truth: Truth) -> Floats:
    return np.abs(_row_sums(np.concatenate([y, -truth.nearest], axis=1)))


def _rounded_sum(values: list[float]) -> float:
    """Return the exact sum, rounded once; NaN, inf and -inf as IEEE 754 adds them."""
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):  # inf and -inf; a partial sum beyond the range
        specials = [v for v in values if not math.isfinite(v)]
        return sum(specials) if specials else _round_fraction(sum(map(Fraction, values), Fraction(0)))


def _round_fraction(value: Fraction) -> float:
    try:
        return value.numerator / value.denominator  # int / int rounds once
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _failures(y: Floats, truth: Truth, row_sum: Floats, nearest_sum: Floats) -> NDArray[np.uint8]:
    judged = ~_policy(truth) & (nearest_sum != 0)
    table = [
        (_policy(truth), RowFailure.POLICY),
        (~np.isfinite(y).all(axis=1), RowFailure.NONFINITE),
        (judged & _below(y, truth.nearest, row_sum, nearest_sum), RowFailure.COLLAPSED),
        (judged & _below(truth.nearest, y, nearest_sum, row_sum), RowFailure.INFLATED),
    ]
    conditions, failures = zip(*table, strict=True)
    return np.select(conditions, [np.uint8(f) for f in failures], np.uint8(RowFailure.NONE))


def _below(a: Floats, b: Floats, sum_a: Floats, sum_b: Floats) -> Flags:
    """Tell in which rows 2 * sum(a) < sum(b), exactly.

    Rounding is monotone and commutes with doubling, so rounded sums decide unless they
    are equal; then the exact sum of a, a and -b does, whose rounding keeps its sign.
    """
    with np.errstate(over="ignore"):
        below: Flags = 2 * sum_a < sum_b
        tied = np.flatnonzero(2 * sum_a == sum_b)
    below[tied] = _row_sums(np.concatenate([a[tied], a[tied], -b[tied]], axis=1)) < 0
    return below
