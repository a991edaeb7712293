"""The rounding of a sum with a logarithm: RN(r), the residual, and whether the logarithm decides them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from reference.certified.compiled import (
    FRACTION_BITS,
    compiled,
    fast_two_sum,
    float_of,
    fma,
    inlined,
    pattern,
    two_sum,
)
from reference.certified.doubledouble import SCALE, round_product
from reference.certified.layout import Grid, Rounding, grid_of
from reference.model import RESIDUAL_TOLERANCE

__all__ = ["SMALLEST", "WIDEST", "normalised", "round_alone", "round_sum", "settle"]

_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS

_HUGE: Final = 2.0**800
"""Results from here on are settled: there the products of the test would underflow."""

_NEGLIGIBLE: Final = 2.0**-24
"""A part of an ulp that a residual need not know."""

WIDEST: Final = 0.9 * RESIDUAL_TOLERANCE
"""The greatest doubt about a residual, that of its last rounding aside."""

SMALLEST: Final = 5e-324
"""Stands for a residual that underflows, whose sign counts."""


@inlined
def round_sum(
    head: float, middle: float, tail: float, log: float, grid: Grid, full: bool, bound: float
) -> tuple[float, float]:
    """Return RN(r) and the residual of r = head + middle + tail > 0, NaN where the log leaves it open.

    The log is off by at most `bound` relatively. The sum of the first two numbers is normalised, so the
    binade is that of head, or of its predecessor where the rest is negative. Nothing rounds but what is
    added to the third number, and the residual at the end.
    """
    binade = (pattern(head) + (pattern(middle) >> 63)) & _EXPONENT_FIELD
    exact = full & (binade >= grid.smallest)
    binade = max(binade, grid.smallest)
    adder = float_of(binade + grid.to_adder)
    inverse = float_of(grid.to_inverse - binade)
    rounded = head if exact else (head + adder) - adder
    s, t = two_sum((head - rounded) * inverse, middle * inverse)
    t += tail * inverse
    over = (abs(s) - 0.5) + (t if s > 0.0 else -t)
    step = (1.0 if s > 0.0 else -1.0) if over > 0.0 else 0.0
    rest = (s - step) + t
    width = (log * inverse) * bound
    is_open = (abs(rest) <= width) | (abs(over) <= width) | (width > WIDEST) | (head >= _HUGE)
    return fma(step, float_of(binade - grid.to_quantum), rounded), (np.nan if is_open else rest)


@inlined
def normalised(head: float, middle: float, tail: float) -> tuple[float, float, float]:
    """Return the same sum, each number at most half an ulp of the one before, where |head| is the largest."""
    head, middle = fast_two_sum(head, middle)
    middle, tail = two_sum(middle, tail)
    return head, middle, tail


@inlined
def round_alone(head: float, tail: float, rounding: Rounding) -> tuple[float, float]:
    """Return RN(r) and the residual of r = 2^-600 (head + tail), a log below 2^-150."""
    if head == 0.0:
        return 0.0, 0.0
    full = rounding.precision == FRACTION_BITS + 1
    if full:
        return round_product(head, tail, 1.0, 0.0, grid_of(rounding, SCALE), full, rounding.bound)
    return 0.0, max(math.ldexp(head, rounding.precision - 1 - rounding.emin - SCALE), SMALLEST)


@compiled
def settle(
    size: float, low: float, upper: float, direction: float, rounding: Rounding
) -> tuple[float, float]:
    """Return RN(r) and the residual of a positive r = size + low + v, v in (0, upper] times a direction.

    If upper is 0, r is size + low. The residual is NaN where v decides more than on which side r lies of a
    number of the format or of a midpoint, or counts itself.
    """
    if not (size < 2.0**1023) or size == 0.0:
        return 0.0, np.nan
    exponent = math.frexp(size)[1] - 1
    falls = (low < 0.0) | ((low == 0.0) & (direction < 0.0) & (upper > 0.0))
    if falls & (math.ldexp(1.0, exponent) == size):
        exponent -= 1
    exponent = max(exponent, rounding.emin) - rounding.precision + 1
    if upper > math.ldexp(_NEGLIGIBLE, exponent):
        return 0.0, np.nan
    steps = _in_units(size, exponent)
    whole = np.rint(steps)
    s, t = two_sum(steps - whole, _in_units(low, exponent))
    if (low != 0.0) & (s == steps - whole) & (t == 0.0):
        return 0.0, np.nan  # it underflows
    v = 0.0 if upper == 0.0 else max(_in_units(upper, exponent), SMALLEST)
    over = (abs(s) - 0.5) + (t if s > 0.0 else -t)
    if over == 0.0:
        outward = direction if v > 0.0 else 0.0
        step = (1.0 if s > 0.0 else -1.0) if outward * s > 0.0 else 0.0
        rest = s - step
    elif (s == 0.0) & (t == 0.0):
        step, rest = 0.0, direction * v
    elif (abs(s + t) <= 2.0 * v) | (abs(over) <= 2.0 * v):
        return 0.0, np.nan
    else:
        step = (1.0 if s > 0.0 else -1.0) if over > 0.0 else 0.0
        rest = (s - step) + t
    return math.ldexp(whole + step, exponent), rest


@inlined
def _in_units(value: float, exponent: int) -> float:
    """Return value / 2^exponent, in two steps, as one factor may leave the range."""
    half = exponent // 2
    return math.ldexp(math.ldexp(value, -half), half - exponent)
