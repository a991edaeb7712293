"""Exact sums of a row's outputs, of their RN(r) and of the differences, each rounded once.

Adding a number of magnitude up to 1 to 3 * 2^k moves the encoding of that constant by the
number in units of its last place, and what this rounds away is known exactly (ExtractScalar
of Rump, Ogita, Oishi, SIAM J. Sci. Comput. 31, 2008). So a number becomes integers in units of
2^-51, 2^-103 and 2^-155, whose sums vectorise and do not round. Numbers with bits below 2^-155
leave a remainder of at most half a unit; rounding being monotone, a sum that rounds alike with
all remainders added and subtracted is decided. What is not, and outputs outside [-1, 1], go to `exact_sums`.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from reference.certified.compiled import compiled, float_of, inlined, pattern, two_sum
from reference.certified.exact_sums import accumulate, rounded
from reference.certified.layout import BLOCK

__all__ = ["COARSE", "RowSums", "sums_of_row"]

COARSE: Final = -51
"""The quantum exponent from which on the first integer holds a number of [-1, 1] whole."""

_TOP: Final = 3.0
_MIDDLE: Final = math.ldexp(_TOP, -52)
_BOTTOM: Final = math.ldexp(_TOP, -104)
_TOP_BITS: Final = 51
_BITS: Final = 52
_TOP_UNIT: Final = 2.0**-51
_MIDDLE_UNIT: Final = 2.0**-103
_BOTTOM_UNIT: Final = 2.0**-155
_MAGNITUDE: Final = (1 << 63) - 1
_ONE: Final = 0x3FF << 52


class _Digits(NamedTuple):
    """The number whole + top 2^-51 + middle 2^-103 + bottom 2^-155."""

    whole: int
    top: int
    middle: int
    bottom: int


class RowSums(NamedTuple):
    """Sums over a row, rounded once: of y, of RN(r), and of their differences."""

    outputs: float
    nearest: float
    differences: float


@compiled
def sums_of_row(y: Any, nearest: Any, coarse: bool, limbs: Any) -> RowSums:
    """Return the sums of a row, y nonfinite or not; RN(r) is finite, or NaN throughout.

    `coarse` says that all numbers are multiples of 2^`COARSE`; `limbs` is an accumulator.
    """
    if np.isnan(nearest[0]):
        sums = sums_of_finite_nearest(y, y, coarse, limbs)
        return RowSums(sums.outputs, np.nan, np.nan)
    return sums_of_finite_nearest(y, nearest, coarse, limbs)


@compiled
def sums_of_finite_nearest(y: Any, nearest: Any, coarse: bool, limbs: Any) -> RowSums:
    """Return the sums of a row whose RN(r) are finite."""
    sums = _quick_sums(y, nearest, coarse)
    if not np.isnan(sums.outputs + sums.nearest + sums.differences):
        return sums
    nonfinite = _sum_of_nonfinite(y)
    if nonfinite != 0.0:
        return RowSums(nonfinite, _exact_sum(nearest, nearest, 0, limbs), nonfinite)
    return RowSums(
        _exact_sum(y, y, 0, limbs), _exact_sum(nearest, nearest, 0, limbs), _exact_sum(y, nearest, -1, limbs)
    )


@compiled
def _sum_of_nonfinite(values: Any) -> float:
    """Return the sum of the infinities and NaNs among the values, 0 if there are none."""
    total = 0.0
    for value in values:
        total += 0.0 if abs(value) < math.inf else value
    return total


@compiled
def _exact_sum(a: Any, b: Any, sign_of_b: int, limbs: Any) -> float:
    """Return the sum of a and of sign_of_b * b, all finite, rounded once."""
    limbs[:] = 0
    accumulate(limbs, a, 1)
    if sign_of_b:
        accumulate(limbs, b, sign_of_b)
    total: float = rounded(limbs)
    return total


@compiled
def _quick_sums(y: Any, nearest: Any, coarse: bool) -> RowSums:
    """Return the sums, NaN where they are not decided here."""
    of_y = of_nearest = _Digits(0, 0, 0, 0)
    loose_y = loose_nearest = loose = largest = 0
    for start in range(0, y.size, BLOCK):
        values, targets = y[start : start + BLOCK], nearest[start : start + BLOCK]
        if coarse:
            more_y, more_nearest, reach = _coarse_digits(values, targets)
        else:
            more_y, more_nearest, reach, rest_y, rest_nearest, unlike = _digits(values, targets)
            loose_y, loose_nearest, loose = loose_y | rest_y, loose_nearest | rest_nearest, loose | unlike
        of_y, of_nearest = _plus(of_y, more_y, 1), _plus(of_nearest, more_nearest, 1)
        largest = max(largest, reach)
    if largest > _ONE:
        return RowSums(np.nan, np.nan, np.nan)
    slack_y = y.size if loose_y else 0
    slack_nearest = y.size if loose_nearest else 0
    slack = 2 * y.size if loose else 0
    difference = _plus(of_y, of_nearest, -1)
    return RowSums(
        _round_within(of_y, slack_y),
        _round_within(of_nearest, slack_nearest),
        _round_within(difference, slack),
    )


@compiled
def _coarse_digits(y: Any, nearest: Any) -> tuple[_Digits, _Digits, int]:
    """Return the sums of at most BLOCK numbers, and the encoding of the largest |y|."""
    top_y = top_nearest = largest = 0
    for i in range(y.size):
        top_y += pattern(y[i] + _TOP)
        top_nearest += pattern(nearest[i] + _TOP)
        largest = max(largest, pattern(y[i]) & _MAGNITUDE)
    start = y.size * pattern(_TOP)
    return _Digits(0, top_y - start, 0, 0), _Digits(0, top_nearest - start, 0, 0), largest


@compiled
def _digits(y: Any, nearest: Any) -> tuple[_Digits, _Digits, int, int, int, int]:
    """Return the sums of at most BLOCK numbers, and the encoding of the largest |y|.

    The last three tell, by not being 0, whether y, RN(r), and their difference leave remainders.
    """
    top_y = middle_y = bottom_y = top_nearest = middle_nearest = bottom_nearest = 0
    loose_y = loose_nearest = loose = largest = 0
    for i in range(y.size):
        top, middle, bottom, rest_y = _split(y[i])
        top_y, middle_y, bottom_y = top_y + top, middle_y + middle, bottom_y + bottom
        top, middle, bottom, rest_nearest = _split(nearest[i])
        top_nearest, middle_nearest, bottom_nearest = (
            top_nearest + top,
            middle_nearest + middle,
            bottom_nearest + bottom,
        )
        loose_y, loose_nearest = loose_y | rest_y, loose_nearest | rest_nearest
        loose |= rest_y ^ rest_nearest
        largest = max(largest, pattern(y[i]) & _MAGNITUDE)
    top, middle, bottom = y.size * pattern(_TOP), y.size * pattern(_MIDDLE), y.size * pattern(_BOTTOM)
    of_y = _Digits(0, top_y - top, middle_y - middle, bottom_y - bottom)
    of_nearest = _Digits(0, top_nearest - top, middle_nearest - middle, bottom_nearest - bottom)
    return of_y, of_nearest, largest, loose_y, loose_nearest, loose


@inlined
def _split(value: float) -> tuple[int, int, int, int]:
    """Return the encodings of the three constants moved by the value, and of the remainder."""
    top = value + _TOP
    rest = value - (top - _TOP)
    middle = rest + _MIDDLE
    rest = rest - (middle - _MIDDLE)
    bottom = rest + _BOTTOM
    rest = rest - (bottom - _BOTTOM)
    return pattern(top), pattern(middle), pattern(bottom), pattern(rest)


@inlined
def _plus(a: _Digits, b: _Digits, sign: int) -> _Digits:
    """Return a + sign * b, all digits but the whole in [0, 2^51) and [0, 2^52)."""
    bottom = a.bottom + sign * b.bottom
    middle = a.middle + sign * b.middle + (bottom >> _BITS)
    top = a.top + sign * b.top + (middle >> _BITS)
    whole = a.whole + sign * b.whole + (top >> _TOP_BITS)
    low = (1 << _BITS) - 1
    return _Digits(whole, top & (low >> 1), middle & low, bottom & low)


@compiled
def _round_within(digits: _Digits, slack: int) -> float:
    """Return the number rounded once if that is sure to within `slack` bottom units, else NaN."""
    if slack == 0:
        return _rounded(digits)
    low = _rounded(_plus(digits, _Digits(0, 0, 0, slack), -1))
    high = _rounded(_plus(digits, _Digits(0, 0, 0, slack), 1))
    return low if low == high else np.nan


@compiled
def _rounded(digits: _Digits) -> float:
    """Return the number rounded once.

    The digits are exact floats; TwoSum makes them a leading one a and two that decide its
    rounding, b and t, where b was rounded to odd by t (Boldo, Melquiond, IEEE Trans. Computers 57, 2008).
    """
    sign = 1.0
    if digits.whole < 0:
        digits, sign = _plus(_Digits(0, 0, 0, 0), digits, -1), -1.0
    a, b = two_sum(float(digits.whole), digits.top * _TOP_UNIT)
    c = digits.middle * _MIDDLE_UNIT
    d = digits.bottom * _BOTTOM_UNIT
    if d == 0.0 and (b == 0.0 or c == 0.0):
        return sign * (a + c)
    c, d = two_sum(c, d)
    b, c = two_sum(b, c)
    a, b = two_sum(a, b)
    b, c = two_sum(b, c)
    return sign * (a + _to_odd(b, c + d))


@inlined
def _to_odd(b: float, rest: float) -> float:
    """Return b + rest rounded to odd, |rest| below an ulp of b, or b = 0."""
    if b == 0.0 or rest == 0.0:
        return b + rest
    even = 1 - (pattern(b) & 1)
    odd: float = float_of(pattern(b) + (even if (rest > 0.0) == (b > 0.0) else -even))
    return odd
