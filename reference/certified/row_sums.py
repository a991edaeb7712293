"""Exact sums of a row's outputs, of their RN(r) and of the differences, each rounded once.

Adding a number of magnitude up to 1 to 3 * 2^k moves the encoding of that constant by the
number in units of its last place, and what this rounds away is known exactly (ExtractScalar
of Rump, Ogita, Oishi, SIAM J. Sci. Comput. 31, 2008). So a number becomes integers in units of
2^-51, 2^-103 and 2^-155, whose sums vectorise and do not round. Numbers with bits below 2^-155
leave a remainder of at most half a unit; rounding being monotone, a sum that rounds alike with
all remainders added and subtracted is decided. What is not, and outputs outside [-1, 1], go to
`exact_sums`.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from reference.certified.compiled import compiled, float_of, inlined, pattern, two_sum
from reference.certified.exact_sums import accumulate, rounded
from reference.certified.layout import BLOCK

__all__ = ["COARSE", "ONE", "Tally", "sum_rows", "tally_of_rows", "tally_row", "tally_short_rows"]

COARSE: Final = -51
"""The quantum exponent from which on the first integer holds a number of [-1, 1] whole."""

ONE: Final = 0x3FF << 52
"""The encoding of 1."""

_INFINITY: Final = 0x7FF << 52
_MAGNITUDE: Final = (1 << 63) - 1
_TOP: Final = 3.0
_MIDDLE: Final = math.ldexp(_TOP, -52)
_BOTTOM: Final = math.ldexp(_TOP, -104)
_TOP_BITS: Final = 51
_BITS: Final = 52
_TOP_UNIT: Final = 2.0**-51
_MIDDLE_UNIT: Final = 2.0**-103
_BOTTOM_UNIT: Final = 2.0**-155


class Digits(NamedTuple):
    """The number whole + top 2^-51 + middle 2^-103 + bottom 2^-155; or such numbers, as arrays."""

    whole: Any
    top: Any
    middle: Any
    bottom: Any


class Tally(NamedTuple):
    """What one pass over rows of outputs and RN(r) finds: int64 arrays, an entry for each row.

    Attributes:
        outputs: the sum of y.
        nearest: the sum of RN(r).
        loose_outputs: not 0 if y leaves remainders.
        loose_nearest: not 0 if RN(r) does.
        loose: not 0 if their differences do.
        reach: the encoding of the largest |y|.
        lowest_output: the least encoding of y, as a signed integer.
        lowest_nearest: the least encoding of RN(r).
    """

    outputs: Digits
    nearest: Digits
    loose_outputs: Any
    loose_nearest: Any
    loose: Any
    reach: Any
    lowest_output: Any
    lowest_nearest: Any


@compiled
def tally_of_rows(rows: int) -> Tally:
    """Return a tally for that many rows."""
    a = np.empty((14, rows), dtype=np.int64)
    outputs, nearest = Digits(a[0], a[1], a[2], a[3]), Digits(a[4], a[5], a[6], a[7])
    return Tally(outputs, nearest, a[8], a[9], a[10], a[11], a[12], a[13])


# Counting --------------------------------------------------------------------------------------


class _Block(NamedTuple):
    """A tally of one row or of part of one."""

    outputs: Digits
    nearest: Digits
    loose_outputs: int
    loose_nearest: int
    loose: int
    reach: int
    lowest_output: int
    lowest_nearest: int


@inlined
def tally_row(y: Any, nearest: Any, row: int, coarse: bool, tally: Tally, place: int) -> None:
    """Tally a row into an entry of the tally, block by block, so that no integer overflows.

    `coarse` says that all numbers are multiples of 2^`COARSE`.
    """
    of_y, of_nearest = Digits(0, 0, 0, 0), Digits(0, 0, 0, 0)
    loose_y = loose_n = loose = reach = 0
    lowest_y = lowest_n = _MAGNITUDE
    for start in range(0, y.shape[1], BLOCK):
        block = _tally_block(y, nearest, row, start, min(BLOCK, y.shape[1] - start), coarse)
        of_y, of_nearest = _plus(of_y, block.outputs, 1), _plus(of_nearest, block.nearest, 1)
        loose_y, loose_n = loose_y | block.loose_outputs, loose_n | block.loose_nearest
        loose, reach = loose | block.loose, max(reach, block.reach)
        lowest_y, lowest_n = min(lowest_y, block.lowest_output), min(lowest_n, block.lowest_nearest)
    _store(tally.outputs, place, of_y)
    _store(tally.nearest, place, of_nearest)
    tally.loose_outputs[place], tally.loose_nearest[place], tally.loose[place] = loose_y, loose_n, loose
    tally.reach[place] = reach
    tally.lowest_output[place], tally.lowest_nearest[place] = lowest_y, lowest_n


@compiled
def _tally_block(y: Any, nearest: Any, row: int, start: int, size: int, coarse: bool) -> _Block:
    """Tally part of a row, with as few digits as it takes to leave no remainder, three at most."""
    if coarse:
        return _tally_coarse(y, nearest, row, start, size)
    block = _tally_two(y, nearest, row, start, size)
    if block.loose_outputs | block.loose_nearest:
        return _tally_three(y, nearest, row, start, size)
    return block


@inlined
def _tally_coarse(y: Any, nearest: Any, row: int, start: int, size: int) -> _Block:
    top_y = top_n = reach = 0
    lowest_y = lowest_n = _MAGNITUDE
    for i in range(size):
        j = np.uint64(start) + np.uint64(i)
        value, target = y[row, j], nearest[row, j]
        top_y, top_n = top_y + pattern(value + _TOP), top_n + pattern(target + _TOP)
        reach = max(reach, pattern(value) & _MAGNITUDE)
        lowest_y, lowest_n = min(lowest_y, pattern(value)), min(lowest_n, pattern(target))
    of_y, of_nearest = (
        Digits(0, top_y - size * pattern(_TOP), 0, 0),
        Digits(0, top_n - size * pattern(_TOP), 0, 0),
    )
    return _Block(of_y, of_nearest, 0, 0, 0, reach, lowest_y, lowest_n)


@inlined
def _tally_two(y: Any, nearest: Any, row: int, start: int, size: int) -> _Block:
    top_y = middle_y = loose_y = top_n = middle_n = loose_n = reach = 0
    lowest_y = lowest_n = _MAGNITUDE
    for i in range(size):
        j = np.uint64(start) + np.uint64(i)
        value, target = y[row, j], nearest[row, j]
        top, middle, rest_y = _split_in_two(value)
        top_y, middle_y, loose_y = top_y + top, middle_y + middle, loose_y | pattern(rest_y)
        top, middle, rest_n = _split_in_two(target)
        top_n, middle_n, loose_n = top_n + top, middle_n + middle, loose_n | pattern(rest_n)
        reach = max(reach, pattern(value) & _MAGNITUDE)
        lowest_y, lowest_n = min(lowest_y, pattern(value)), min(lowest_n, pattern(target))
    top, middle = size * pattern(_TOP), size * pattern(_MIDDLE)
    of_y, of_nearest = (
        Digits(0, top_y - top, middle_y - middle, 0),
        Digits(0, top_n - top, middle_n - middle, 0),
    )
    return _Block(of_y, of_nearest, loose_y, loose_n, 0, reach, lowest_y, lowest_n)


@inlined
def _tally_three(y: Any, nearest: Any, row: int, start: int, size: int) -> _Block:
    top_y = middle_y = bottom_y = loose_y = top_n = middle_n = bottom_n = loose_n = 0
    loose = reach = 0
    lowest_y = lowest_n = _MAGNITUDE
    for i in range(size):
        j = np.uint64(start) + np.uint64(i)
        value, target = y[row, j], nearest[row, j]
        top, middle, bottom, rest_y = _split_in_three(value)
        top_y, middle_y, bottom_y, loose_y = (
            top_y + top,
            middle_y + middle,
            bottom_y + bottom,
            loose_y | rest_y,
        )
        top, middle, bottom, rest_n = _split_in_three(target)
        top_n, middle_n, bottom_n, loose_n = (
            top_n + top,
            middle_n + middle,
            bottom_n + bottom,
            loose_n | rest_n,
        )
        loose |= rest_y ^ rest_n
        reach = max(reach, pattern(value) & _MAGNITUDE)
        lowest_y, lowest_n = min(lowest_y, pattern(value)), min(lowest_n, pattern(target))
    zero = Digits(0, size * pattern(_TOP), size * pattern(_MIDDLE), size * pattern(_BOTTOM))
    of_y = Digits(0, top_y - zero.top, middle_y - zero.middle, bottom_y - zero.bottom)
    of_nearest = Digits(0, top_n - zero.top, middle_n - zero.middle, bottom_n - zero.bottom)
    return _Block(of_y, of_nearest, loose_y, loose_n, loose, reach, lowest_y, lowest_n)


@compiled
def tally_short_rows(y: Any, nearest: Any, tally: Tally) -> None:
    """Tally rows of at most BLOCK entries column by column, so that rows share the vector units."""
    rows, n = y.shape
    for digits in (tally.outputs, tally.nearest):
        digits.top[:rows], digits.middle[:rows], digits.bottom[:rows] = 0, 0, 0
    tally.loose_outputs[:rows], tally.loose_nearest[:rows], tally.loose[:rows] = 0, 0, 0
    tally.reach[:rows], tally.lowest_output[:rows], tally.lowest_nearest[:rows] = 0, _MAGNITUDE, _MAGNITUDE
    for j in range(n):
        _tally_column(y, nearest, j, tally)
    _normalise(tally.outputs, rows, n)
    _normalise(tally.nearest, rows, n)


@inlined
def _tally_column(y: Any, nearest: Any, j: int, tally: Tally) -> None:
    of_y, of_n = tally.outputs, tally.nearest
    loose_y, loose_n, loose = tally.loose_outputs, tally.loose_nearest, tally.loose
    for row in range(y.shape[0]):
        value, target = y[row, j], nearest[row, j]
        top, middle, bottom, rest_y = _split_in_three(value)
        of_y.top[row] += top
        of_y.middle[row] += middle
        of_y.bottom[row] += bottom
        top, middle, bottom, rest_n = _split_in_three(target)
        of_n.top[row] += top
        of_n.middle[row] += middle
        of_n.bottom[row] += bottom
        loose_y[row] |= rest_y
        loose_n[row] |= rest_n
        loose[row] |= rest_y ^ rest_n
        tally.reach[row] = max(tally.reach[row], pattern(value) & _MAGNITUDE)
        tally.lowest_output[row] = min(tally.lowest_output[row], pattern(value))
        tally.lowest_nearest[row] = min(tally.lowest_nearest[row], pattern(target))


@inlined
def _normalise(digits: Digits, rows: int, n: int) -> None:
    top, middle, bottom = n * pattern(_TOP), n * pattern(_MIDDLE), n * pattern(_BOTTOM)
    for row in range(rows):
        found = Digits(0, digits.top[row] - top, digits.middle[row] - middle, digits.bottom[row] - bottom)
        _store(digits, row, _plus(Digits(0, 0, 0, 0), found, 1))


@inlined
def _split_in_two(value: float) -> tuple[int, int, float]:
    """Return the encodings of two constants moved by the value, and the remainder."""
    top = value + _TOP
    rest = value - (top - _TOP)
    middle = rest + _MIDDLE
    return pattern(top), pattern(middle), rest - (middle - _MIDDLE)


@inlined
def _split_in_three(value: float) -> tuple[int, int, int, int]:
    """Return the encodings of three constants moved by the value, and that of the remainder."""
    top, middle, rest = _split_in_two(value)
    bottom = rest + _BOTTOM
    return top, middle, pattern(bottom), pattern(rest - (bottom - _BOTTOM))


@inlined
def _store(digits: Digits, place: int, value: Digits) -> None:
    digits.whole[place], digits.top[place] = value.whole, value.top
    digits.middle[place], digits.bottom[place] = value.middle, value.bottom


@inlined
def _load(digits: Digits, place: int) -> Digits:
    return Digits(digits.whole[place], digits.top[place], digits.middle[place], digits.bottom[place])


@inlined
def _plus(a: Digits, b: Digits, sign: int) -> Digits:
    """Return a + sign * b, all digits but the whole in [0, 2^51) and [0, 2^52)."""
    bottom = a.bottom + sign * b.bottom
    middle = a.middle + sign * b.middle + (bottom >> _BITS)
    top = a.top + sign * b.top + (middle >> _BITS)
    whole = a.whole + sign * b.whole + (top >> _TOP_BITS)
    low = (1 << _BITS) - 1
    return Digits(whole, top & (low >> 1), middle & low, bottom & low)


# Rounding --------------------------------------------------------------------------------------


@compiled
def sum_rows(
    y: Any, nearest: Any, tally: Tally, row_sum: Any, nearest_sum: Any, row_sum_error: Any, limbs: Any
) -> None:
    """Store the sums of rows, from their tally where it decides; NaN where RN(r) is NaN."""
    for row in range(y.shape[0]):
        of_y, of_nearest = _load(tally.outputs, row), _load(tally.nearest, row)
        row_sum[row], nearest_sum[row] = _rounded(of_y), _rounded(of_nearest)
        row_sum_error[row] = abs(_rounded(_plus(of_y, of_nearest, -1)))
    for row in range(y.shape[0]):
        if np.isnan(nearest[row, 0]):
            row_sum[row] = _exact_output_sum(y[row], tally.reach[row], limbs)
            nearest_sum[row] = row_sum_error[row] = np.nan
        elif tally.reach[row] > ONE or not _sums_are_certain(tally, row, y.shape[1]):
            row_sum[row] = _exact_output_sum(y[row], tally.reach[row], limbs)
            nearest_sum[row] = _exact_sum(nearest[row], nearest[row], 0, limbs)
            finite = tally.reach[row] < _INFINITY
            difference = _exact_sum(y[row], nearest[row], -1, limbs) if finite else row_sum[row]
            row_sum_error[row] = abs(difference)


@inlined
def _sums_are_certain(tally: Tally, row: int, n: int) -> bool:
    """Tell whether the sums round alike with all remainders added and subtracted."""
    if not tally.loose_outputs[row] | tally.loose_nearest[row]:
        return True
    of_y, of_nearest = _load(tally.outputs, row), _load(tally.nearest, row)
    return (
        _is_certain(of_y, n if tally.loose_outputs[row] else 0)
        and _is_certain(of_nearest, n if tally.loose_nearest[row] else 0)
        and _is_certain(_plus(of_y, of_nearest, -1), 2 * n if tally.loose[row] else 0)
    )


@compiled
def _is_certain(digits: Digits, slack: int) -> bool:
    slack_digits = Digits(0, 0, 0, slack)
    return slack == 0 or _rounded(_plus(digits, slack_digits, -1)) == _rounded(_plus(digits, slack_digits, 1))


@inlined
def _rounded(digits: Digits) -> float:
    """Return the number rounded once.

    The digits of its magnitude are exact floats; TwoSum makes them a leading one a and two that decide
    its rounding, b and c, where b is rounded to odd by c (Boldo, Melquiond, IEEE Trans. Computers 57, 2008).
    """
    sign = -1 if digits.whole < 0 else 1
    magnitude = _plus(Digits(0, 0, 0, 0), digits, sign)
    a, b = two_sum(float(magnitude.whole), magnitude.top * _TOP_UNIT)
    c, d = two_sum(magnitude.middle * _MIDDLE_UNIT, magnitude.bottom * _BOTTOM_UNIT)
    b, c = two_sum(b, c)
    a, b = two_sum(a, b)
    b, c = two_sum(b, c)
    return sign * (a + _to_odd(b, c + d))


@inlined
def _to_odd(b: float, rest: float) -> float:
    """Return b + rest rounded to odd, |rest| at most |b|, or b = 0."""
    even = 1 - (pattern(b) & 1)
    odd: float = float_of(pattern(b) + (even if (rest > 0.0) == (b > 0.0) else -even))
    return b + rest if (b == 0.0) | (rest == 0.0) else odd


@compiled
def _exact_output_sum(y: Any, reach: int, limbs: Any) -> float:
    """Return the sum of outputs, rounded once; nonfinite ones add as IEEE 754 says."""
    if reach < _INFINITY:
        return _exact_sum(y, y, 0, limbs)
    total = 0.0
    for value in y:
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
