"""ULP errors counted in their bins and added up exactly, compiled.

Integers are counted, and floats only compared or taken apart, so neither the order of elements nor that of
batches matters.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled, inlined, pattern
from reports.record.tally import HISTOGRAM_SHIFT

__all__ = ["BINS", "EXPONENTS", "add_error", "add_errors", "exact_total", "total_of_digits"]

Counts = NDArray[np.int64]

BINS: Final = (0x7FF << 52 >> HISTOGRAM_SHIFT) + 1
"""Histogram bins of all nonnegative float64 numbers and +inf."""

EXPONENTS: Final = 0x800
"""Biased exponents of float64."""

_NO_BINS: Final = (BINS, 0)
"""A least bin above every bin, and a greatest one below."""

_FRACTION: Final = (1 << 52) - 1
_HIDDEN: Final = 1 << 52
_HALF: Final = 27
_LOW: Final = (1 << _HALF) - 1
_INFINITY: Final = 0x7FF << 52

_SMALL: Final = 2.0**26
_FINE: Final = 2.0**-21
_DIGIT: Final = 52
_TOP: Final = 3.0 * 2.0**30
_MIDDLE: Final = _TOP * 2.0**-_DIGIT
_BOTTOM: Final = _MIDDLE * 2.0**-_DIGIT
_LAST_PLACE: Final = -125
"""Errors below 2^26 are taken apart into integers of 2^-21, 2^-73 and 2^-125, as `row_sums` does outputs."""


@inlined
def add_error(ulp: float, histogram: Any, sums: Any) -> int:
    """Count a finite ULP error in its bin, add it to the exact sums, and return its bin.

    The sums are of significands by biased exponent, in halves of 26 and 27 bits: 2^36 of them do
    not overflow.
    """
    number: int = pattern(ulp) >> HISTOGRAM_SHIFT
    histogram[number] += 1
    _add_significand(ulp, sums)
    return number


@inlined
def _add_significand(ulp: float, sums: Any) -> None:
    bits = pattern(ulp)
    exponent = bits >> 52
    significand = (bits & _FRACTION) | (_HIDDEN if exponent else 0)
    sums[exponent, 0] += significand >> _HALF
    sums[exponent, 1] += significand & _LOW


def exact_total(sums: Counts) -> Fraction:
    """Return the sum of the floats that `add_error` added up."""
    exponents = np.flatnonzero(sums[:, 0] | sums[:, 1]).tolist()
    if not exponents:
        return Fraction(0)
    least = max(exponents[0], 1)
    units = sum(
        ((high << _HALF) + low) << (max(exponent, 1) - least)
        for exponent, (high, low) in zip(exponents, sums[exponents].tolist(), strict=True)
    )
    return _scaled(units, least - 1075)


def total_of_digits(digits: list[int]) -> Fraction:
    """Return the sum of the floats that `add_errors` added to digits."""
    units = 0
    for digit in digits:
        units = (units << _DIGIT) + digit
    return _scaled(units, _LAST_PLACE)


def _scaled(units: int, exponent: int) -> Fraction:
    """Return units times 2^exponent; powers of fractions take twenty times as long."""
    return Fraction(units << exponent) if exponent >= 0 else Fraction(units, 1 << -exponent)


@inlined
def add_errors(errors: Any, histogram: Any, digits: Any, sums: Any) -> tuple[int, int]:
    """Count finite errors in their bins, and add them to the exact sums.

    Returns the least and the greatest bin, that of errors of 0 left out; `_NO_BINS` where there is no other.
    Errors of 0 or from 2^-21 to 2^26 have no bits below 2^-73, and two integers hold them.
    """
    top = middle = greatest = 0
    least = _INFINITY
    for i in range(errors.size):
        first = errors[i] + _TOP
        second = (errors[i] - (first - _TOP)) + _MIDDLE
        top, middle = top + pattern(first), middle + pattern(second)
        greatest = max(greatest, pattern(errors[i]))
        least = min(least, pattern(errors[i]) if errors[i] > 0.0 else _INFINITY)
    if (least >= pattern(_FINE)) & (greatest < pattern(_SMALL)):
        _add_digits(digits, top - errors.size * pattern(_TOP), middle - errors.size * pattern(_MIDDLE), 0)
    else:
        _add_fine_errors(errors, greatest, digits, sums)
    for i in range(errors.size):
        histogram[np.uint64(pattern(errors[i]) >> HISTOGRAM_SHIFT)] += 1
    if least == _INFINITY:
        return _NO_BINS
    return max(least >> HISTOGRAM_SHIFT, 1), greatest >> HISTOGRAM_SHIFT


@compiled
def _add_fine_errors(errors: Any, greatest: int, digits: Any, sums: Any) -> None:
    """Add errors by three integers, or by exponents where a remainder is left or one is 2^26 or more."""
    top = middle = bottom = loose = 0
    for i in range(errors.size):
        first = errors[i] + _TOP
        rest = errors[i] - (first - _TOP)
        second = rest + _MIDDLE
        rest -= second - _MIDDLE
        third = rest + _BOTTOM
        loose |= pattern(rest - (third - _BOTTOM))
        top, middle, bottom = top + pattern(first), middle + pattern(second), bottom + pattern(third)
    if (loose == 0) & (greatest < pattern(_SMALL)):
        size = errors.size
        _add_digits(
            digits, top - size * pattern(_TOP), middle - size * pattern(_MIDDLE),
            bottom - size * pattern(_BOTTOM),
        )  # fmt: skip
    else:
        for i in range(errors.size):
            _add_significand(errors[i], sums)


@inlined
def _add_digits(digits: Any, top: int, middle: int, bottom: int) -> None:
    bottom += digits[3]
    middle += digits[2] + (bottom >> _DIGIT)
    top += digits[1] + (middle >> _DIGIT)
    digits[0] += top >> _DIGIT
    digits[1], digits[2], digits[3] = top & _FRACTION, middle & _FRACTION, bottom & _FRACTION
