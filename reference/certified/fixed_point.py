"""Numbers of 192 binary places, and their exponential: integer arithmetic, whose errors are counted in units.

A `Fixed` is an integer of 256 bits in two's complement, in units of 2^-192. Sums of two are exact; what is
rounded is rounded down, by less than so many units:

====================  =======  =======================================================================
of_float              1        bits below a unit are left out
product               6        of fractions in [0, 1): of nine products of limbs the three smallest, and
                               the lower halves of the three before them, are left out; each is below 1,
                               and those three below 2^-62 together
multiple of log 2     2        k times log 2, which has 256 places, |k| < 2^8
====================  =======  =======================================================================

`exp_below` takes t = a - k log 2 in [0, 0.6932), k <= 0, apart as j_1 / 2^8 + j_2 / 2^16 + v, v < 2^-16:

    exp(a) / 4 = 2^k T_1[j_1] (1 + T_2[j_2]) (1 + v + v q),   q = v (1/2! + v (1/3! + .. + v / 10!))

T_1 = exp(j / 2^8) / 4 and T_2 = exp(j / 2^16) - 1 being tables, right to a unit. Its error, before the factor
2^k, in units: the series is cut by v^11 / 11! (1 + 2^-16) < 2^-201, next to nothing; q is off by at most 8
(every product of Horner's rule is multiplied by v, but for the last), v q by 7; the product of the tables by
1 + 6 + 1 + 1, that with the series by 6 + 0.51 * 7 more, and t is off by 2 beside what a is: below 21, and
below 22 with the shift by 2^k. That a is off by itself adds 0.51 times as much.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from reference.certified.compiled import FRACTION_BITS, inlined, leading_zeros, multiply_high, pattern
from reference.certified.constants import fixed_tables

__all__ = [
    "DEEPEST",
    "PLACES",
    "Fixed",
    "Fraction192",
    "add",
    "exp_below",
    "is_negative",
    "magnitude",
    "negated",
    "of_float",
    "parts_at",
    "product",
    "to_float",
    "top_bit",
]

PLACES: Final = 192
"""A unit is 2^-192."""

DEEPEST: Final = -133.0
"""exp(a) is below 1.2 units from here on."""

_LIMB: Final = 64
_DEGREE: Final = 10
_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_BYTE: Final = np.uint64(255)
_FIRST_SHIFT: Final = np.uint64(56)
_SECOND_SHIFT: Final = np.uint64(48)
_BELOW: Final = np.uint64((1 << 48) - 1)
_PER_LN2: Final = 1.4426950408889634
_ASIDE: Final = 2.0**-20
"""k is taken so that t is above 0 by about this much, whatever rounding does to a / log 2."""


class Fraction192(NamedTuple):
    """A number in [0, 1), in limbs of 64 bits."""

    high: Any
    middle: Any
    low: Any


class Fixed(NamedTuple):
    """A number in [-2^63, 2^63): a whole limb in two's complement, and a fraction."""

    whole: Any
    high: Any
    middle: Any
    low: Any


_FIRST, _SECOND, _INVERSES, _LN2 = fixed_tables(_DEGREE)
_LN2_0, _LN2_1, _LN2_2, _LN2_3 = (np.uint64(limb) for limb in _LN2)


@inlined
def _carry(a: Any, b: Any) -> Any:
    """Return whether a + b leaves 64 bits, as a limb."""
    return np.uint64(a + b < a)


@inlined
def add(a: Fixed, b: Fixed) -> Fixed:
    """Return a + b."""
    low = a.low + b.low
    carry = _carry(a.low, b.low)
    middle = a.middle + b.middle
    more = _carry(a.middle, b.middle) + _carry(middle, carry)
    middle += carry
    high = a.high + b.high
    most = _carry(a.high, b.high) + _carry(high, more)
    high += more
    return Fixed(a.whole + b.whole + most, high, middle, low)


@inlined
def negated(a: Fixed) -> Fixed:
    """Return -a."""
    return add(Fixed(~a.whole, ~a.high, ~a.middle, ~a.low), Fixed(_ZERO, _ZERO, _ZERO, _ONE))


@inlined
def is_negative(a: Fixed) -> bool:
    """Tell whether a < 0."""
    sign: bool = (a.whole >> np.uint64(63)) != _ZERO
    return sign


@inlined
def magnitude(a: Fixed) -> Fixed:
    """Return |a|."""
    return negated(a) if is_negative(a) else a


@inlined
def of_float(value: float) -> Fixed:
    """Return a number below 2^62 in size, rounded towards 0."""
    bits = pattern(value)
    exponent = (bits >> FRACTION_BITS) & 0x7FF
    significand = np.uint64((bits & ((1 << FRACTION_BITS) - 1)) | (1 << FRACTION_BITS))
    shift = exponent - 1023 - FRACTION_BITS + PLACES
    if (exponent == 0) | (shift <= -_LIMB):
        return Fixed(_ZERO, _ZERO, _ZERO, _ZERO)
    if shift < 0:
        found = Fixed(_ZERO, _ZERO, _ZERO, significand >> np.uint64(-shift))
    else:
        limb, within = shift // _LIMB, np.uint64(shift % _LIMB)
        lower = significand << within
        upper = (significand >> _ONE) >> (np.uint64(63) - within)
        found = Fixed(
            lower if limb == 3 else (upper if limb == 2 else _ZERO),
            lower if limb == 2 else (upper if limb == 1 else _ZERO),
            lower if limb == 1 else (upper if limb == 0 else _ZERO),
            lower if limb == 0 else _ZERO,
        )
    return negated(found) if bits < 0 else found


@inlined
def to_float(a: Fixed) -> float:
    """Return a number near a: of |a| < 2^8 it is within 2^-44."""
    return np.float64(np.int64(a.whole)) + np.float64(a.high >> np.uint64(11)) * 2.0**-53


@inlined
def product(a: Fraction192, b: Fraction192) -> Fraction192:
    """Return a b, rounded down by less than 6 units."""
    low, carry = a.high * b.middle, _ZERO
    for term in (
        a.middle * b.high,
        multiply_high(a.high, b.low),
        multiply_high(a.low, b.high),
        multiply_high(a.middle, b.middle),
    ):
        carry += _carry(low, term)
        low += term
    middle, more = a.high * b.high, _ZERO
    for term in (multiply_high(a.high, b.middle), multiply_high(a.middle, b.high), carry):
        more += _carry(middle, term)
        middle += term
    return Fraction192(multiply_high(a.high, b.high) + more, middle, low)


@inlined
def _plus(a: Fraction192, b: Fraction192) -> Fraction192:
    """Return a + b < 1."""
    total = add(Fixed(_ZERO, a.high, a.middle, a.low), Fixed(_ZERO, b.high, b.middle, b.low))
    return Fraction192(total.high, total.middle, total.low)


@inlined
def _at(table: Any, i: Any) -> Fraction192:
    return Fraction192(table[i, 0], table[i, 1], table[i, 2])


@inlined
def _multiple_of_ln2(k: Any) -> Fixed:
    """Return k log 2, k >= 0."""
    low = _LN2_2 * k
    carry = multiply_high(_LN2_3, k)
    more = _carry(low, carry) + multiply_high(_LN2_2, k)
    low += carry
    middle = _LN2_1 * k
    most = _carry(middle, more) + multiply_high(_LN2_1, k)
    middle += more
    high = _LN2_0 * k
    whole = _carry(high, most) + multiply_high(_LN2_0, k)
    return Fixed(whole, high + most, middle, low)


@inlined
def exp_below(a: Fixed) -> tuple[Fixed, bool]:
    """Return exp(a) / 4 of a < 0.69, 0 below `DEEPEST`, and whether a is so small."""
    value = to_float(a)
    nothing = Fixed(_ZERO, _ZERO, _ZERO, _ZERO)
    if value < DEEPEST:
        return nothing, True
    steps: Any = np.int64(math.ceil(_ASIDE - value * _PER_LN2))
    if steps < 0:
        return nothing, False
    t = add(a, _multiple_of_ln2(np.uint64(steps)))
    first = t.high >> _FIRST_SHIFT
    if (t.whole != _ZERO) | (first >= np.uint64(179)):
        return nothing, False
    v = Fraction192(t.high & _BELOW, t.middle, t.low)
    series = _at(_INVERSES, _DEGREE - 2)
    for k in range(_DEGREE - 3, -1, -1):
        series = _plus(_at(_INVERSES, k), product(v, series))
    series = _plus(v, product(v, product(v, series)))
    power = _at(_FIRST, first)
    power = _plus(power, product(power, _at(_SECOND, (t.high >> _SECOND_SHIFT) & _BYTE)))
    power = _plus(power, product(power, series))
    return _shifted(power, steps), True


@inlined
def _shifted(a: Fraction192, by: int) -> Fixed:
    """Return a / 2^by, 0 <= by, rounded down."""
    high, middle, low = a.high, a.middle, a.low
    limbs = by // _LIMB
    if limbs >= 1:
        high, middle, low = _ZERO, high, middle
    if limbs >= 2:
        high, middle, low = _ZERO, _ZERO, middle
    if limbs >= 3:
        low = _ZERO
    within = np.uint64(by % _LIMB)
    left = np.uint64(63) - within
    low = (low >> within) | ((middle << _ONE) << left)
    middle = (middle >> within) | ((high << _ONE) << left)
    return Fixed(_ZERO, high >> within, middle, low)


@inlined
def top_bit(a: Fixed) -> Any:
    """Return floor(log2 a) + 192 of a > 0, which is below 256; -1 of 0."""
    if a.whole != _ZERO:
        return 255 - np.int64(leading_zeros(a.whole))
    if a.high != _ZERO:
        return 191 - np.int64(leading_zeros(a.high))
    if a.middle != _ZERO:
        return 127 - np.int64(leading_zeros(a.middle))
    return 63 - np.int64(leading_zeros(a.low))


@inlined
def parts_at(a: Fixed, place: int) -> tuple[float, float]:
    """Return a >= 0 in units of 2^(place - 192), place > 0: whole ones, of at most 53 bits, and the rest.

    The rest is in [-1/2, 1/2], within 2^-51 of itself; next to 1/2 the side that it lies on is not certain.
    """
    limb, within = place // _LIMB, np.uint64(place % _LIMB)
    keep = (_ONE << within) - _ONE
    whole = 0.0
    rest = Fixed(_ZERO, _ZERO, _ZERO, _ZERO)
    one = Fixed(_ZERO, _ZERO, _ZERO, _ZERO)
    bit, left = _ONE << within, np.uint64(63) - within
    if limb == 0:
        whole = np.float64((a.low >> within) | ((a.middle << _ONE) << left))
        rest, one = Fixed(_ZERO, _ZERO, _ZERO, a.low & keep), Fixed(_ZERO, _ZERO, _ZERO, bit)
    elif limb == 1:
        whole = np.float64((a.middle >> within) | ((a.high << _ONE) << left))
        rest, one = Fixed(_ZERO, _ZERO, a.middle & keep, a.low), Fixed(_ZERO, _ZERO, bit, _ZERO)
    elif limb == 2:
        whole = np.float64((a.high >> within) | ((a.whole << _ONE) << left))
        rest, one = Fixed(_ZERO, a.high & keep, a.middle, a.low), Fixed(_ZERO, bit, _ZERO, _ZERO)
    else:
        whole = np.float64(a.whole >> within)
        rest, one = Fixed(a.whole & keep, a.high, a.middle, a.low), Fixed(bit, _ZERO, _ZERO, _ZERO)
    over = _fraction(rest, place)
    if over > 0.5:
        return whole + 1.0, -_fraction(add(one, negated(rest)), place)
    return whole, over


@inlined
def _fraction(a: Fixed, place: int) -> float:
    """Return a / 2^(place - 192) of a >= 0, within 2^-51 of itself."""
    upper = np.float64(a.whole) * 2.0**64 + np.float64(a.high)
    if upper < 2.0**64:
        upper = upper * 2.0**64 + np.float64(a.middle)
        if upper < 2.0**64:
            return math.ldexp(upper * 2.0**64 + np.float64(a.low), -place)
        return math.ldexp(upper + np.float64(a.low) * 2.0**-64, 64 - place)
    return math.ldexp(upper + np.float64(a.middle) * 2.0**-64, 128 - place)
