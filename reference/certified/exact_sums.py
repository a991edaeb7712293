"""Sums of binary64 numbers, exact and rounded once.

Two binary64 numbers decide most sums of few (`sum_in_two`). The others take Neal's small superaccumulator
(Fast exact summation using small and large superaccumulators, arXiv:1505.05571, 2015): an array of 64-bit
limbs, limb i weighing 2^(32 i - 1138). A significand, shifted to a multiple of 32 bits, is added to two
neighbours; as at most 52 bits go into a limb, carries are passed on after 2^10 numbers.
"""

from __future__ import annotations

import math
from typing import Any, Final

from reference.certified.compiled import FRACTION_BITS, compiled, inlined, pattern, two_sum

__all__ = ["LIMBS", "accumulate", "rounded", "sign_of", "sum_in_two"]

LIMBS: Final = 70
"""The limbs of an accumulator: two below the subnormals, 66 for the numbers, the rest for carries."""

_BELOW: Final = 2
_LIMB_BITS: Final = 32
_LIMB_MASK: Final = (1 << _LIMB_BITS) - 1
_FRACTION_MASK: Final = (1 << FRACTION_BITS) - 1
_QUANTUM_EXPONENT: Final = -1074
_BETWEEN_CARRIES: Final = 1 << 10
_SURPLUS: Final = 64 - 53
_HALF: Final = 1 << (_SURPLUS - 1)


@inlined
def sum_in_two(a: Any, b: Any, sign_of_b: int) -> tuple[float, bool]:
    """Return the sum of a and of sign_of_b * b, and whether it is known to be the exact one rounded once.

    TwoSum leaves what an addition rounds away. These rests are added up in the same way, and the magnitudes
    of what that rounds away make `loose`, which is more than half of their sum. So the exact sum lies within
    `slack` of total + rests, and rounding is monotone. A sum that overflows makes NaN of `loose`.
    """
    total = rests = loose = 0.0
    for i in range(a.size):
        term, rest = two_sum(a[i], sign_of_b * b[i])
        total, left = two_sum(total, term)
        rests, lost = two_sum(rests, left)
        rests, further = two_sum(rests, rest)
        loose += abs(lost) + abs(further)
    # The second term exceeds what the addition to the rests rounds away.
    slack = 2.0 * loose + (abs(rests) * 2.0**-52 if loose > 0.0 else 0.0)
    low, high = total + (rests - slack), total + (rests + slack)
    return low, low == high


@compiled
def accumulate(limbs: Any, values: Any, sign: int) -> None:
    """Add sign * values, all finite, sign = 1 or -1; `limbs` is int64, of LIMBS elements."""
    for start in range(0, values.size, _BETWEEN_CARRIES):
        for value in values[start : start + _BETWEEN_CARRIES]:
            _add(limbs, pattern(value), sign)
        _pass_carries(limbs)


@inlined
def _add(limbs: Any, bits: int, sign: int) -> None:
    exponent = (bits >> FRACTION_BITS) & 0x7FF
    significand = bits & _FRACTION_MASK
    if exponent:
        significand |= 1 << FRACTION_BITS
        exponent -= 1
    signed = -sign if bits < 0 else sign
    limb, shift = (exponent >> 5) + _BELOW, exponent & 31
    limbs[limb] += signed * ((significand << shift) & _LIMB_MASK)
    limbs[limb + 1] += signed * (significand >> (_LIMB_BITS - shift))


@inlined
def _pass_carries(limbs: Any) -> None:
    """Bring every limb but the last into [0, 2^32); the last keeps the sign."""
    for i in range(LIMBS - 1):
        limbs[i + 1] += limbs[i] >> _LIMB_BITS
        limbs[i] &= _LIMB_MASK


@compiled
def sign_of(limbs: Any) -> int:
    """Return -1, 0 or 1, the sign of the sum."""
    return -1 if limbs[-1] < 0 else int(limbs.any())


@compiled
def rounded(limbs: Any) -> float:
    """Return the sum rounded once to nearest, ties to even; a negative sum is negated in place."""
    sign = sign_of(limbs)
    if sign < 0:
        for i in range(LIMBS):
            limbs[i] = -limbs[i]
        _pass_carries(limbs)
    return sign * _round_magnitude(limbs)


@inlined
def _round_magnitude(limbs: Any) -> float:
    """Round the 64 leading bits, the last of them standing for all that follows as well.

    Subnormal sums have no bit below 2^-1074, so nothing is rounded twice.
    """
    top = LIMBS - 1
    while top > _BELOW and limbs[top] == 0:
        top -= 1
    width = math.frexp(float(limbs[top]))[1]
    room = _LIMB_BITS - width
    leading = limbs[top] << _LIMB_BITS | limbs[top - 1]
    following = limbs[top - 2] << room
    # 64 leading bits, in two parts: 53 make the significand, 11 decide the rounding
    significand = (leading << room | following >> _LIMB_BITS) >> _SURPLUS & ((1 << 53) - 1)
    surplus = (leading << room | following >> _LIMB_BITS) & ((1 << _SURPLUS) - 1)
    if following & _LIMB_MASK or limbs[: top - 2].any():
        surplus |= 1
    significand += int(surplus > _HALF or (surplus == _HALF and significand & 1))
    exponent = _LIMB_BITS * (top - 1 - _BELOW) - room + _SURPLUS + _QUANTUM_EXPONENT
    return math.ldexp(float(significand), exponent)
