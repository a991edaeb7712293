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
_INFINITY: Final = 0x7FF << 52


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


class _Partial(NamedTuple):
    """Exact sums over part of a row, and what they leave out.

    `reach` is the encoding of the largest |y|, infinity's or more if one is nonfinite. The
    `loose` fields are not 0 if y, RN(r), and their differences leave remainders.
    """

    outputs: _Digits
    nearest: _Digits
    reach: int
    loose_outputs: int
    loose_nearest: int
    loose: int


@compiled
def sums_of_row(y: Any, nearest: Any, row: int, coarse: bool, limbs: Any) -> tuple[RowSums, bool]:
    """Return the sums of a row of (rows, n) outputs and RN(r), and whether all outputs are finite.

    RN(r) is finite, or NaN throughout, as its sums then are; `coarse` says that all numbers are multiples
    of 2^`COARSE`; `limbs` is an accumulator.
    """
    has_result = not np.isnan(nearest[row, 0])
    partial = _partial_sums(y, nearest if has_result else y, row, coarse)
    finite = partial.reach < _INFINITY
    sums = _rounded_sums(partial, y.shape[1])
    if partial.reach > _ONE or np.isnan(sums.outputs + sums.nearest + sums.differences):
        sums = _slow_sums(y[row], nearest[row], has_result, finite, limbs)
    return (sums if has_result else RowSums(sums.outputs, np.nan, np.nan)), finite


@compiled
def _slow_sums(y: Any, nearest: Any, has_result: bool, finite: bool, limbs: Any) -> RowSums:
    of_y = _exact_sum(y, y, 0, limbs) if finite else _sum_of_nonfinite(y)
    if not has_result:
        return RowSums(of_y, np.nan, np.nan)
    difference = _exact_sum(y, nearest, -1, limbs) if finite else of_y
    return RowSums(of_y, _exact_sum(nearest, nearest, 0, limbs), difference)


@compiled
def _sum_of_nonfinite(values: Any) -> float:
    """Return the sum of the infinities and NaNs among the values."""
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


@inlined
def _rounded_sums(partial: _Partial, n: int) -> RowSums:
    """Return the sums, NaN where the remainders of n elements leave them undecided."""
    difference = _plus(partial.outputs, partial.nearest, -1)
    return RowSums(
        _round_within(partial.outputs, n if partial.loose_outputs else 0),
        _round_within(partial.nearest, n if partial.loose_nearest else 0),
        _round_within(difference, 2 * n if partial.loose else 0),
    )


@compiled
def _partial_sums(y: Any, nearest: Any, row: int, coarse: bool) -> _Partial:
    """Sum a row, block by block, so that no integer overflows."""
    n = y.shape[1]
    total = _Partial(_Digits(0, 0, 0, 0), _Digits(0, 0, 0, 0), 0, 0, 0, 0)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        part = _coarse_block(y, nearest, row, start, size) if coarse else _block(y, nearest, row, start, size)
        total = _Partial(
            _plus(total.outputs, part.outputs, 1),
            _plus(total.nearest, part.nearest, 1),
            max(total.reach, part.reach),
            total.loose_outputs | part.loose_outputs,
            total.loose_nearest | part.loose_nearest,
            total.loose | part.loose,
        )
    return total


@inlined
def _coarse_block(y: Any, nearest: Any, row: int, start: int, size: int) -> _Partial:
    top_y = top_nearest = reach = 0
    for i in range(size):
        value, target = y[row, np.uint64(start) + np.uint64(i)], nearest[row, np.uint64(start) + np.uint64(i)]
        top_y += pattern(value + _TOP)
        top_nearest += pattern(target + _TOP)
        reach = max(reach, pattern(value) & _MAGNITUDE)
    zero = size * pattern(_TOP)
    return _Partial(_Digits(0, top_y - zero, 0, 0), _Digits(0, top_nearest - zero, 0, 0), reach, 0, 0, 0)


@inlined
def _block(y: Any, nearest: Any, row: int, start: int, size: int) -> _Partial:
    top_y = middle_y = bottom_y = loose_y = 0
    top_n = middle_n = bottom_n = loose_n = 0
    loose = reach = 0
    for i in range(size):
        value, target = y[row, np.uint64(start) + np.uint64(i)], nearest[row, np.uint64(start) + np.uint64(i)]
        top, middle, bottom, rest_y = _split(value)
        top_y, middle_y, bottom_y, loose_y = (
            top_y + top,
            middle_y + middle,
            bottom_y + bottom,
            loose_y | rest_y,
        )
        top, middle, bottom, rest_n = _split(target)
        top_n, middle_n, bottom_n, loose_n = (
            top_n + top,
            middle_n + middle,
            bottom_n + bottom,
            loose_n | rest_n,
        )
        loose |= rest_y ^ rest_n
        reach = max(reach, pattern(value) & _MAGNITUDE)
    top, middle, bottom = size * pattern(_TOP), size * pattern(_MIDDLE), size * pattern(_BOTTOM)
    of_y = _Digits(0, top_y - top, middle_y - middle, bottom_y - bottom)
    of_nearest = _Digits(0, top_n - top, middle_n - middle, bottom_n - bottom)
    return _Partial(of_y, of_nearest, reach, loose_y, loose_n, loose)


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
