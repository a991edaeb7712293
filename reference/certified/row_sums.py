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
from reference.certified.exact_sums import accumulate, rounded, sum_in_two
from reference.certified.layout import BLOCK, SHORT, place, transpose

__all__ = [
    "LOWEST_NEAREST",
    "LOWEST_OUTPUT",
    "ONE",
    "REACH",
    "ROWS",
    "at",
    "new_tally",
    "sum_rows",
    "tally_rows",
]

_COARSE: Final = -51
"""The quantum exponent from which on the first integer holds a number of [-1, 1] whole."""

ONE: Final = 0x3FF << 52
"""The encoding of 1."""

_INFINITY: Final = 0x7FF << 52
_MAGNITUDE: Final = (1 << 63) - 1
_SIGN: Final = 63
_EXACT: Final = 1 << 53
_TOP: Final = 3.0
_MIDDLE: Final = math.ldexp(_TOP, -52)
_BOTTOM: Final = math.ldexp(_TOP, -104)
_TOP_BITS: Final = 51
_BITS: Final = 52
_MIDDLE_EXPONENT: Final = -103
_TOP_UNIT: Final = 2.0**-51
_MIDDLE_UNIT: Final = 2.0**-103
_BOTTOM_UNIT: Final = 2.0**-155


ROWS: Final = 1 << 9
"""The most rows of a tally."""

# A tally is one int64 array of lines of ROWS entries each, one for each row. One array, since numba
# counts references whenever an array is taken out of a tuple; lines a constant apart, so that LLVM
# knows that they do not overlap, and vectorises.
_OUTPUTS: Final = 0
"""Four lines, the digits of the sum of y."""
_NEAREST: Final = 4
"""Four lines, the digits of the sum of RN(r)."""
_LOOSE_OUTPUTS: Final = 8
"""Not 0 if y leaves remainders."""
_LOOSE_NEAREST: Final = 9
_LOOSE: Final = 10
"""Not 0 if the differences y - RN(r) leave remainders."""
REACH: Final = 11
"""The encoding of the largest |y|."""
LOWEST_OUTPUT: Final = 12
"""The least encoding of y, as a signed integer."""
LOWEST_NEAREST: Final = 13
_LINES: Final = 14


class Digits(NamedTuple):
    """The number whole + top 2^-51 + middle 2^-103 + bottom 2^-155."""

    whole: int
    top: int
    middle: int
    bottom: int


@compiled
def new_tally() -> Any:
    """Return room for a tally."""
    return np.empty(_LINES * ROWS, dtype=np.int64)


@inlined
def at(line: int, row: int) -> Any:
    """Return where a row's entry of a line is."""
    return np.uint64(line * ROWS) + np.uint64(row)


# Counting --------------------------------------------------------------------------------------


@compiled
def tally_rows(y: Any, nearest: Any, precision: int, emin: int, tally: Any) -> int:
    """Tally (rows, n) outputs and RN(r), block by block, so that no integer overflows.

    Returns how many of the digits top, middle, bottom may be other than 0; a whole digit, or a digit
    outside its range, are then left to be carried.
    """
    n = y.shape[1]
    coarse = emin - precision + 1 >= _COARSE
    enough = np.int64(_MIDDLE_EXPONENT + precision - 1 + 1023) << _BITS
    if n < SHORT:
        return _tally_short_rows(y, nearest, coarse, enough, tally)
    for row in range(y.shape[0]):
        _open(tally, row)
        for start in range(0, n, BLOCK):
            size = min(BLOCK, n - start)
            if coarse:
                _add_coarse(y, nearest, row, start, size, tally)
            elif not _add_in_two(y, nearest, row, start, size, enough, tally):
                _add_in_three(y, nearest, row, start, size, tally)
    return 3


@inlined
def _tally_short_rows(y: Any, nearest: Any, coarse: bool, enough: Any, tally: Any) -> int:
    """Tally short rows column by column, so that rows share the vector units."""
    rows, n = y.shape
    outputs, targets = np.empty(rows * n), np.empty(rows * n)
    transpose(y, outputs)
    transpose(nearest, targets)
    for row in range(rows):
        tally[at(REACH, row)] = 0
    for j in range(n):
        for row in range(rows):
            magnitude = pattern(outputs[place(j, row, rows)]) & _MAGNITUDE
            tally[at(REACH, row)] = max(tally[at(REACH, row)], magnitude)
    if coarse:
        _tally_both(outputs, targets, rows, n, tally, 1)
        return 1
    _tally_both(outputs, targets, rows, n, tally, 2)
    if _least(tally, rows) >= enough:
        return 2
    _tally_both(outputs, targets, rows, n, tally, 3)
    return 3


@inlined
def _tally_both(outputs: Any, targets: Any, rows: int, n: int, tally: Any, places: int) -> None:
    _tally_columns(outputs, rows, n, tally, _OUTPUTS, _LOOSE_OUTPUTS, LOWEST_OUTPUT, places)
    _tally_columns(targets, rows, n, tally, _NEAREST, _LOOSE_NEAREST, LOWEST_NEAREST, places)
    for row in range(rows):
        tally[at(_LOOSE, row)] = tally[at(_LOOSE_OUTPUTS, row)] | tally[at(_LOOSE_NEAREST, row)]


@inlined
def _least(tally: Any, rows: int) -> int:
    least = _MAGNITUDE
    for row in range(rows):
        least = min(least, tally[at(LOWEST_OUTPUT, row)], tally[at(LOWEST_NEAREST, row)])
    return least


@inlined
def _tally_columns(
    columns: Any, rows: int, n: int, tally: Any, digits: int, loose: int, lowest: int, places: int
) -> None:
    """Tally rows given column after column, in the first digits that a number needs: 1, 2, or 3 with a rest.

    Digits are not carried; their sums start at what the encodings of the constants add.
    """
    for row in range(rows):
        tally[at(digits, row)], tally[at(digits + 1, row)] = 0, -n * pattern(_TOP)
        tally[at(digits + 2, row)] = -n * pattern(_MIDDLE) if places >= 2 else 0
        tally[at(digits + 3, row)] = -n * pattern(_BOTTOM) if places >= 3 else 0
        tally[at(loose, row)], tally[at(lowest, row)] = 0, _MAGNITUDE
    for j in range(n):
        for row in range(rows):
            value = columns[place(j, row, rows)]
            tally[at(lowest, row)] = min(tally[at(lowest, row)], pattern(value))
            if places == 1:
                tally[at(digits + 1, row)] += pattern(value + _TOP)
            elif places == 2:
                top, middle = _split_in_two(value)
                tally[at(digits + 1, row)] += pattern(top)
                tally[at(digits + 2, row)] += pattern(middle)
            else:
                first, second, third, rest = _split_in_three(value)
                tally[at(digits + 1, row)] += first
                tally[at(digits + 2, row)] += second
                tally[at(digits + 3, row)] += third
                tally[at(loose, row)] |= rest


@inlined
def _open(tally: Any, row: int) -> None:
    for line in range(LOWEST_OUTPUT):
        tally[at(line, row)] = 0
    tally[at(LOWEST_OUTPUT, row)] = tally[at(LOWEST_NEAREST, row)] = _MAGNITUDE


@inlined
def _add_coarse(y: Any, nearest: Any, row: int, start: int, size: int, tally: Any) -> None:
    top_y = top_n = reach = 0
    lowest_y = lowest_n = _MAGNITUDE
    for i in range(size):
        j = np.uint64(start) + np.uint64(i)
        value, target = y[row, j], nearest[row, j]
        top_y, top_n = top_y + pattern(value + _TOP), top_n + pattern(target + _TOP)
        reach = max(reach, pattern(value) & _MAGNITUDE)
        lowest_y, lowest_n = min(lowest_y, pattern(value)), min(lowest_n, pattern(target))
    zero = size * pattern(_TOP)
    _add(tally, row, Digits(0, top_y - zero, 0, 0), Digits(0, top_n - zero, 0, 0))
    _extend(tally, row, reach, lowest_y, lowest_n)


@inlined
def _add_in_two(y: Any, nearest: Any, row: int, start: int, size: int, enough: Any, tally: Any) -> bool:
    """Add a block in two digits, or return False where they might leave a remainder.

    They leave none if no encoding is below `enough`, that of the least number whose last
    place is a middle unit.
    """
    top_y = middle_y = top_n = middle_n = reach = 0
    lowest_y = lowest_n = _MAGNITUDE
    for i in range(size):
        j = np.uint64(start) + np.uint64(i)
        value, target = y[row, j], nearest[row, j]
        top, middle = _split_in_two(value)
        top_y, middle_y = top_y + pattern(top), middle_y + pattern(middle)
        top, middle = _split_in_two(target)
        top_n, middle_n = top_n + pattern(top), middle_n + pattern(middle)
        reach = max(reach, pattern(value) & _MAGNITUDE)
        lowest_y, lowest_n = min(lowest_y, pattern(value)), min(lowest_n, pattern(target))
    if min(lowest_y, lowest_n) < enough:
        return False
    top, middle = size * pattern(_TOP), size * pattern(_MIDDLE)
    of_y, of_nearest = (
        Digits(0, top_y - top, middle_y - middle, 0),
        Digits(0, top_n - top, middle_n - middle, 0),
    )
    _add(tally, row, of_y, of_nearest)
    _extend(tally, row, reach, lowest_y, lowest_n)
    return True


@inlined
def _add_in_three(y: Any, nearest: Any, row: int, start: int, size: int, tally: Any) -> None:
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
    _add(tally, row, of_y, of_nearest)
    _extend(tally, row, reach, lowest_y, lowest_n)
    tally[at(_LOOSE_OUTPUTS, row)] |= loose_y
    tally[at(_LOOSE_NEAREST, row)] |= loose_n
    tally[at(_LOOSE, row)] |= loose


@inlined
def _add(tally: Any, row: int, of_y: Digits, of_nearest: Digits) -> None:
    _store(tally, _OUTPUTS, row, _plus(_load(tally, _OUTPUTS, row), of_y, 1))
    _store(tally, _NEAREST, row, _plus(_load(tally, _NEAREST, row), of_nearest, 1))


@inlined
def _extend(tally: Any, row: int, reach: int, lowest_y: int, lowest_n: int) -> None:
    tally[at(REACH, row)] = max(tally[at(REACH, row)], reach)
    tally[at(LOWEST_OUTPUT, row)] = min(tally[at(LOWEST_OUTPUT, row)], lowest_y)
    tally[at(LOWEST_NEAREST, row)] = min(tally[at(LOWEST_NEAREST, row)], lowest_n)


@inlined
def _split_in_two(value: float) -> tuple[float, float]:
    """Return two constants moved by the value."""
    top = value + _TOP
    return top, (value - (top - _TOP)) + _MIDDLE


@inlined
def _split_in_three(value: float) -> tuple[int, int, int, int]:
    """Return the encodings of three constants moved by the value, and that of the remainder."""
    top, middle = _split_in_two(value)
    rest = (value - (top - _TOP)) - (middle - _MIDDLE)
    bottom = rest + _BOTTOM
    return pattern(top), pattern(middle), pattern(bottom), pattern(rest - (bottom - _BOTTOM))


@inlined
def _store(tally: Any, line: int, row: int, digits: Digits) -> None:
    tally[at(line, row)], tally[at(line + 1, row)] = digits.whole, digits.top
    tally[at(line + 2, row)], tally[at(line + 3, row)] = digits.middle, digits.bottom


@inlined
def _load(tally: Any, line: int, row: int) -> Digits:
    return Digits(
        tally[at(line, row)], tally[at(line + 1, row)], tally[at(line + 2, row)], tally[at(line + 3, row)]
    )


@inlined
def _plus(a: Digits, b: Digits, sign: int) -> Digits:
    """Return a + sign * b, carried: all digits but the whole in [0, 2^51) and [0, 2^52)."""
    bottom = a.bottom + sign * b.bottom
    middle = a.middle + sign * b.middle + (bottom >> _BITS)
    top = a.top + sign * b.top + (middle >> _BITS)
    whole = a.whole + sign * b.whole + (top >> _TOP_BITS)
    low = (1 << _BITS) - 1
    return Digits(whole, top & (low >> 1), middle & low, bottom & low)


# Rounding --------------------------------------------------------------------------------------


@compiled
def sum_rows(
    y: Any, nearest: Any, tally: Any, places: int, row_sum: Any, nearest_sum: Any, row_sum_error: Any,
    limbs: Any,
) -> None:  # fmt: skip
    """Store the sums of rows, from their tally where it decides; NaN where RN(r) is NaN.

    `places` is what `tally_rows` returned.
    """
    if places == 1:
        _round_tops(tally, row_sum, nearest_sum, row_sum_error)
    elif places == 3 or not _round_pairs(tally, row_sum, nearest_sum, row_sum_error):
        _round_all(tally, row_sum, nearest_sum, row_sum_error)
    if _all_are_certain(nearest, tally):
        return
    for row in range(y.shape[0]):
        if np.isnan(nearest[row, 0]):
            row_sum[row] = _exact_output_sum(y[row], tally[at(REACH, row)], limbs)
            nearest_sum[row] = row_sum_error[row] = np.nan
        elif tally[at(REACH, row)] > ONE:
            row_sum[row] = _exact_output_sum(y[row], tally[at(REACH, row)], limbs)
            _settle_nearest(nearest[row], tally, row, nearest_sum, limbs)
            finite = tally[at(REACH, row)] < _INFINITY
            difference = _exact_sum(y[row], nearest[row], -1, limbs) if finite else row_sum[row]
            row_sum_error[row] = abs(difference)
        else:
            _settle_loose(y[row], nearest[row], tally, row, row_sum, nearest_sum, row_sum_error, limbs)


@inlined
def _all_are_certain(nearest: Any, tally: Any) -> bool:
    """Tell whether all rows have a result, and outputs in [-1, 1] without remainders."""
    certain = True
    for row in range(nearest.shape[0]):
        certain &= (tally[at(REACH, row)] <= ONE) & (not np.isnan(nearest[row, 0]))
        certain &= (tally[at(_LOOSE_OUTPUTS, row)] | tally[at(_LOOSE_NEAREST, row)]) == 0
    return certain


@compiled
def _round_tops(tally: Any, row_sum: Any, nearest_sum: Any, differences: Any) -> None:
    """As `_round_all`, where top is the one digit: a conversion of below 2^63 units rounds once."""
    for row in range(row_sum.size):
        of_y, of_nearest = tally[at(_OUTPUTS + 1, row)], tally[at(_NEAREST + 1, row)]
        row_sum[row], nearest_sum[row] = of_y * _TOP_UNIT, of_nearest * _TOP_UNIT
        differences[row] = abs(of_y - of_nearest) * _TOP_UNIT


@compiled
def _round_pairs(tally: Any, row_sum: Any, nearest_sum: Any, differences: Any) -> bool:
    """As `_round_all`, where bottom is 0, or return False where a sum may be 4 or more.

    Carried, top and middle are below 2^53 units each, and exact floats: their sum rounds once.
    """
    small = True
    for row in range(row_sum.size):
        of_y = _carried(tally[at(_OUTPUTS + 1, row)], tally[at(_OUTPUTS + 2, row)])
        of_nearest = _carried(tally[at(_NEAREST + 1, row)], tally[at(_NEAREST + 2, row)])
        difference = _carried(of_y[0] - of_nearest[0], of_y[1] - of_nearest[1])
        small &= (abs(of_y[0]) < _EXACT) & (abs(of_nearest[0]) < _EXACT) & (abs(difference[0]) < _EXACT)
        row_sum[row] = of_y[0] * _TOP_UNIT + of_y[1] * _MIDDLE_UNIT
        nearest_sum[row] = of_nearest[0] * _TOP_UNIT + of_nearest[1] * _MIDDLE_UNIT
        differences[row] = abs(difference[0] * _TOP_UNIT + difference[1] * _MIDDLE_UNIT)
    return small


@inlined
def _carried(top: int, middle: int) -> tuple[int, int]:
    """Return top and middle with middle in [0, 2^52)."""
    return top + (middle >> _BITS), middle & ((1 << _BITS) - 1)


@compiled
def _round_all(tally: Any, row_sum: Any, nearest_sum: Any, differences: Any) -> None:
    """Store the sums, each rounded once, of as many rows as they hold."""
    for row in range(row_sum.size):
        row_sum[row] = _rounded(_load(tally, _OUTPUTS, row))
    for row in range(row_sum.size):
        nearest_sum[row] = _rounded(_load(tally, _NEAREST, row))
    for row in range(row_sum.size):
        difference = _plus(_load(tally, _OUTPUTS, row), _load(tally, _NEAREST, row), -1)
        differences[row] = abs(_rounded(difference))


@compiled
def _settle_loose(
    y: Any, nearest: Any, tally: Any, row: int, row_sum: Any, nearest_sum: Any, row_sum_error: Any, limbs: Any
) -> None:
    """Make those sums of a row anew that do not round alike with all remainders added and subtracted."""
    of_y, of_nearest = _load(tally, _OUTPUTS, row), _load(tally, _NEAREST, row)
    if not _is_certain(of_y, y.size if tally[at(_LOOSE_OUTPUTS, row)] else 0):
        row_sum[row] = _exact_sum(y, y, 0, limbs)
    _settle_nearest(nearest, tally, row, nearest_sum, limbs)
    if not _is_certain(_plus(of_y, of_nearest, -1), 2 * y.size if tally[at(_LOOSE, row)] else 0):
        row_sum_error[row] = abs(_exact_sum(y, nearest, -1, limbs))


@inlined
def _settle_nearest(nearest: Any, tally: Any, row: int, nearest_sum: Any, limbs: Any) -> None:
    """Make the sum of RN(r) anew where it does not round alike with all remainders added and subtracted."""
    slack = nearest.size if tally[at(_LOOSE_NEAREST, row)] else 0
    if not _is_certain(_load(tally, _NEAREST, row), slack):
        nearest_sum[row] = _exact_sum(nearest, nearest, 0, limbs)


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
    zero = Digits(0, 0, 0, 0)
    number = _plus(zero, digits, 1)
    flip = number.whole >> _SIGN
    flipped = Digits(number.whole ^ flip, number.top ^ flip, number.middle ^ flip, number.bottom ^ flip)
    magnitude = _plus(flipped, Digits(flip, flip, flip, flip), -1)
    a, b = two_sum(float(magnitude.whole), magnitude.top * _TOP_UNIT)
    c, d = two_sum(magnitude.middle * _MIDDLE_UNIT, magnitude.bottom * _BOTTOM_UNIT)
    b, c = two_sum(b, c)
    a, b = two_sum(a, b)
    b, c = two_sum(b, c)
    total = a + _to_odd(b, c + d)
    return -total if number.whole < 0 else total


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
    if a.size < SHORT:
        in_two, is_exact = sum_in_two(a, b, sign_of_b)
        if is_exact:
            return in_two
    limbs[:] = 0
    accumulate(limbs, a, 1)
    if sign_of_b:
        accumulate(limbs, b, sign_of_b)
    total: float = rounded(limbs)
    return total
