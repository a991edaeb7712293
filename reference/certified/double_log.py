"""The logarithm of a sum in double-doubles; `reference.certified.logarithms` derives its error."""

from __future__ import annotations

from typing import Final

from reference.certified.compiled import (
    FRACTION_BITS,
    fast_two_sum,
    float_of,
    fma,
    inlined,
    pattern,
    two_sum,
)
from reference.certified.constants import ln2_parts, log_table
from reference.certified.doubledouble import plus

__all__ = ["log_of_sum"]

_STEP_BITS: Final = 8
_INVERSES, _LOG_HIGH, _LOG_LOW = log_table(1 << _STEP_BITS)
_LN2: Final = ln2_parts(1, 46)
_LN2_HIGH: Final = _LN2.high
_LN2_LOW: Final = _LN2.middle
_THIRD: Final = 1 / 3
_THIRD_LOW: Final = float.fromhex("0x1.5555555555555p-56")
_FIFTH: Final = 1 / 5
_SEVENTH: Final = 1 / 7
_NINTH: Final = 1 / 9
_ELEVENTH: Final = 1 / 11
_MANTISSA: Final = (1 << FRACTION_BITS) - 1
_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_ONE: Final = 1023 << FRACTION_BITS
_BIAS: Final = 1023


@inlined
def log_of_sum(count: int, more: float, more_low: float) -> tuple[float, float]:
    """Return log(count + more) as a double-double, count >= 1 and more >= 2^-150 or count >= 2."""
    head, rest = two_sum(float(count), more)
    head, tail = fast_two_sum(head, rest + more_low)
    bits = pattern(head)
    k = (bits >> FRACTION_BITS) - _BIAS
    j = (bits >> (FRACTION_BITS - _STEP_BITS)) & ((1 << _STEP_BITS) - 1)
    scale = float_of((_BIAS - k) << FRACTION_BITS)
    m, m_low = float_of((bits & _MANTISSA) | _ONE), tail * scale
    inverse = _INVERSES[j]
    product = inverse * m
    f, f_low = two_sum(product - 1.0, fma(inverse, m_low, fma(inverse, m, -product)))
    if (k == 0) & (j == 0) & (count == 1):
        f, f_low = more, more_low
    part, part_low = _log1p(f, f_low)
    if (k == 0) & (j == 0):
        return part, part_low
    whole, whole_low = fast_two_sum(k * _LN2_HIGH, k * _LN2_LOW)
    whole, whole_low = plus(whole, whole_low, _LOG_HIGH[j], _LOG_LOW[j])
    return plus(whole, whole_low, part, part_low)


@inlined
def _log1p(f: float, f_low: float) -> tuple[float, float]:
    """Return log(1 + f), |f| <= 2^-8, as 2 artanh(f / (2 + f))."""
    divisor, divisor_low = two_sum(2.0, f)
    divisor_low += f_low
    s = f / divisor
    s_low = ((fma(-s, divisor, f) + f_low) - s * divisor_low) / divisor
    s, s_low = fast_two_sum(s, s_low)
    z = s * s
    z_low = fma(s, s, -z) + 2.0 * s * s_low
    first = z * _THIRD
    first_low = fma(z, _THIRD_LOW, fma(z, _THIRD, -first)) + z_low * _THIRD
    series = fma(z, fma(z, fma(z, _ELEVENTH, _NINTH), _SEVENTH), _FIFTH)
    first, rest = fast_two_sum(first, (z * z) * series)
    rest += first_low
    product = s * first
    product_low = fma(s, rest, fma(s_low, first, fma(s, first, -product)))
    head, tail = fast_two_sum(s, product)
    head, tail = fast_two_sum(head, tail + (product_low + s_low))
    return 2.0 * head, 2.0 * tail
