"""float64 values to a format of up to 16 bits, compiled: the counterpart of `widening`.

A value is added to 2^52 quanta of its binade: the sum's fraction then is the value in quanta, rounded
once, to nearest, ties to even. Added to the encoding of the binade before, it is the value's encoding, for
a fraction that rounds up to the next binade carries into the exponent.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, pattern
from reference.formats import FloatFormat

__all__ = ["narrowed"]

_EXPONENT: Final = 0x7FF << FRACTION_BITS
_FRACTION: Final = (1 << FRACTION_BITS) - 1
_BIAS: Final = 1023
_SIGN: Final = 63


def narrowed(values: NDArray[np.float64], fmt: FloatFormat, largest: float = math.inf) -> NDArray[Any]:
    """Return what `fmt.from_float64` does of values, those beyond +-largest taken for +-largest.

    Args:
        values: float64 of any shape.
        fmt: the format; of one of more than 16 bits NumPy's own casts round once.
        largest: what to clip to; +inf for nothing.
    """
    if fmt.storage_bits > 16:
        return fmt.from_float64(values if largest == math.inf else np.clip(values, -largest, largest))
    data = np.require(values, np.float64, ["C", "W"])
    codes = np.empty(data.shape, dtype=fmt.bits_dtype)
    beyond = -1 if fmt.infinity_code is None else fmt.infinity_code
    if _narrow(
        data.reshape(-1), fmt.precision, fmt.emin, fmt.largest_ordinal, beyond, fmt.sign_bit,
        fmt.has_negative_zero, largest, codes.reshape(-1),
    ):  # fmt: skip
        return codes.view(fmt.dtype)
    return fmt.from_float64(values if largest == math.inf else np.clip(values, -largest, largest))


@compiled
def _narrow(
    values: Any, precision: int, emin: int, omega: int, beyond: int, sign_bit: int, signed_zero: bool,
    largest: float, codes: Any,
) -> bool:  # fmt: skip
    """Store encodings, or return False if one is a NaN: `beyond` is that of infinity, negative for none."""
    smallest = np.int64(emin + _BIAS) << FRACTION_BITS
    to_adder = np.int64(FRACTION_BITS + 1 - precision) << FRACTION_BITS
    to_code = FRACTION_BITS + 1 - precision
    nans = 0
    for i in range(values.size):
        size = min(abs(values[i]), largest)
        binade = max(pattern(size) & _EXPONENT, smallest)
        infinite = size == math.inf
        quanta = pattern(size + float_of((smallest if infinite else binade) + to_adder)) & _FRACTION
        code = ((binade - smallest) >> to_code) + quanta
        over = (code > omega) | infinite
        code = beyond if over else code
        nans += int(np.isnan(values[i]) | (code < 0))
        negative = (pattern(values[i]) < 0) & (signed_zero | (code > 0))
        codes[i] = code | (sign_bit if negative else 0)
    return nans == 0
