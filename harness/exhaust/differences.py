"""The rows of two entries between which all others with the same rounded difference lie.

A softmax or log_softmax that shifts sees of a pair (x_1, x_2), x_1 >= x_2, the difference z = RN(x_2 - x_1)
alone. Its outputs for one z are the same whatever the pair, while each exact result rises or falls with the
gap g = x_1 - x_2 (`reference.pairs`). So over all pairs with that z an error |y - r| is greatest at the least
or at the greatest gap, and so is the error in ULP, unless an ulp doubles between them.

**The ends.** Let z = -a, let u be the distance from a to the next number away from 0, and u' to the next
towards 0: u' = u/2 if a is a power of two above 2^emin, else u' = u. RN(-g) = -a asks a - u'/2 <= g <= a +
u/2, with the ends where a tie goes to a: where its last bit is 0. A gap is an integer multiple of eta, the
smallest subnormal.

- If u = eta, g = a is the only such multiple, and the row is (0, -a).
- Otherwise u/2 is a number, and (u/2, -a) has the greatest gap; where a is odd, (c, -a) with c the number
  before u/2 has.
- In the same way (-u'/2, -a), or the one before, has the least; it is (0, -a) if u' = eta.
- If a = 0, by gradual underflow RN(-g) = 0 for g = 0 alone, and the row is (0, 0).
- Differences that overflow have gaps from Omega + u/2, itself among them if Omega is odd, to 2 Omega. The
  rows are (u/2, -Omega), or with the number after u/2, and (Omega, -Omega).

**Where an ulp doubles.** At a limit T the result reaches a power of two, and on one side of T its ulp is
half of that on the other. If y lies on the other side, the error in ULP rises towards T where the ulp is the
smaller one, and begins with half of that behind T. If y lies on the side of the smaller ulp, it only rises
behind T. So one row more is enough: the nearest to T where the ulp is the smaller one, (c, -a) with c the
number next to T - a on that side.

**No pair is nearer.** Let T be such a limit, which no pair attains, or an end that is left out, D = T - a, so
|D| <= u/2, and c0 the number next to D on the side that is wanted, so that the row is (c0, -a). Suppose that
(c, -a + j) has a gap strictly between T and a + c0. The pair (x_1, x_2) -> (-x_2, -x_1) has the same gap, so
let |c| <= |a - j|; then |a - j| is at least half the gap, and j an integer multiple of u/4. Let v be the
distance of numbers between D and c0 and w the least magnitude from which all are multiples of v. As p >= 3, v
divides u/4. c - j is strictly between two neighbouring multiples of v, so c is no multiple of it, and |c| <
w. Hence j != 0, as c0 is next to D. Numbers next to a are u away, or u/2 towards 0 if a is a power of two. In
all cases |c| >= |j| - |D| - v or, where j and D have the same sign, more, is not below w, a contradiction:

- an odd a (|D| = u/2, w = u/4, |j| >= u);
- Omega (D = u/2, w = u/2, j > 0, c > D + j);
- a limit beyond Omega, at which D may be more than u/2 (j > 0, c > c0 + j >= w);
- a doubling with |j| >= u (w <= u/4), or with j = u/2 and D >= 0 (c >= u/2 - v, w <= u/4), or with j = u/2
  and -u/4 < D < 0 (c > u/4 - v, w <= u/8).

The tests hold these rows against all pairs of the 8-bit formats and of float16.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled
from reference.formats import FloatFormat
from reference.pairs import Limit

__all__ = ["Differences"]


@dataclass(frozen=True)
class Differences:
    """Every rounded difference of the smaller of two numbers from the larger.

    Difference number k is that of magnitude number k, as `FloatFormat.ordinal` counts; the last one
    stands for all that overflow.

    Attributes:
        fmt: the format.
    """

    fmt: FloatFormat

    @property
    def count(self) -> int:
        """How many there are."""
        return self.fmt.largest_ordinal + 2

    @property
    def overflow(self) -> int:
        """The number of the difference that overflows."""
        return self.fmt.largest_ordinal + 1

    def ends(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Return the encodings of the rows with the greatest and the least gap, shape (2, differences, 2)."""
        fmt = self.fmt
        bits: NDArray[Any] = np.empty((2, len(numbers), 2), dtype=fmt.bits_dtype)
        _fill_ends(numbers, fmt.largest_ordinal, fmt.precision - 1, fmt.sign_bit, bits)
        return bits

    def plain(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Return the encodings of the rows (0, z, ...) for numbers of shape (rows, n - 1).

        A pair whose difference overflows is (Omega, -Omega); of longer rows that is asked of none.
        """
        fmt = self.fmt
        codes = np.minimum(numbers, fmt.largest_ordinal)
        bits = np.zeros((len(numbers), numbers.shape[1] + 1), dtype=fmt.bits_dtype)
        bits[(numbers == self.overflow).any(axis=1), 0] = fmt.largest_ordinal
        bits[:, 1:] = np.where(codes > 0, codes | fmt.sign_bit, 0)
        return bits

    def numbers(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Return the numbers of the rounded differences of rows that begin with their maximum.

        A difference of 24-bit numbers that is rounded to 53 bits first is rounded as if at once.
        """
        fmt = self.fmt
        values = fmt.to_float64(x)
        with np.errstate(over="ignore"):
            rounded = fmt.to_bits(fmt.from_float64(values[:, :1] - values[:, 1:]))
        return np.minimum(fmt.ordinals(rounded), self.overflow)

    def beside(self, limits: Iterable[Limit]) -> tuple[tuple[int, tuple[int, int]], ...]:
        """Return the rows next to limits where the ulp is smaller, as (number, encodings), by number."""
        rows = (self._beside(limit) for limit in limits)
        return tuple(sorted(row for row in rows if row is not None))

    def _beside(self, limit: Limit) -> tuple[int, tuple[int, int]] | None:
        """Return the row next to a limit, None where none is on that side with the same difference."""
        fmt = self.fmt
        number = self._number(limit.gap)
        nearest = min(number, fmt.largest_ordinal)
        a = _value(fmt, nearest)
        code = (_above if limit.beyond else _below)(fmt, limit.gap - a)
        if self._number(_value(fmt, code) + a) != number:
            return None
        return number, (code, nearest | fmt.sign_bit)

    def _number(self, gap: Fraction) -> int:
        return min(self.fmt.ordinal(self.fmt.round(gap)), self.overflow)


def _value(fmt: FloatFormat, code: int) -> Fraction:
    value = fmt.decode(code)
    assert value is not None, "a finite number"
    return value


def _above(fmt: FloatFormat, value: Fraction) -> int:
    """Return the encoding of the least number that is not below a value."""
    code = fmt.round(value)
    if _value(fmt, code) < value:
        return fmt.from_ordinal(fmt.ordinal(code) + 1)
    return fmt.from_ordinal(fmt.ordinal(code))


def _below(fmt: FloatFormat, value: Fraction) -> int:
    """Return the encoding of the greatest number that is not above a value."""
    code = fmt.round(value)
    if _value(fmt, code) > value:
        return fmt.from_ordinal(fmt.ordinal(code) - 1)
    return fmt.from_ordinal(fmt.ordinal(code))


@compiled
def _fill_ends(numbers: Any, largest: int, fraction_bits: int, sign: int, bits: Any) -> None:
    """Write the rows at both ends of each difference; multiples of eta are counted by exponents."""
    for row in range(numbers.size):
        beyond = numbers[row] > largest
        a = min(numbers[row], largest)
        exponent = max(a >> fraction_bits, 1)
        half = exponent - 2
        inner = half - int((a & ((1 << fraction_bits) - 1)) == 0 and exponent > 1)
        odd = a & 1
        away, towards = _power(half, fraction_bits), _power(inner, fraction_bits)
        if beyond:
            away, towards = largest, away + 1 - odd
        else:
            away, towards = max(away - odd, 0), _negative(max(towards - odd, 0), sign)
        bits[0, row, 0], bits[1, row, 0] = away, towards
        bits[0, row, 1] = bits[1, row, 1] = _negative(a, sign)


@compiled
def _power(exponent: int, fraction_bits: int) -> Any:
    """Return the encoding of 2^exponent eta, 0 where that is no number."""
    if exponent < 0:
        return 0
    if exponent < fraction_bits:
        return 1 << exponent
    return (exponent - fraction_bits + 1) << fraction_bits


@compiled
def _negative(code: int, sign: int) -> Any:
    return code | sign if code > 0 else 0
