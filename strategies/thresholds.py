"""Where exp and softmax change their nature in a format, and its numbers next to such a place.

The thresholds are float64 values; regimes stand on both sides of them, so the last bit
does not matter. Where a regime must not cross one it uses `at_most` and `at_least`, which
return numbers of the format.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.formats import FloatFormat
from strategies.quantiles import LOG_2, log
from strategies.source import F64

__all__ = [
    "at_least",
    "at_most",
    "finite",
    "log_largest",
    "log_smallest_normal",
    "log_smallest_subnormal",
    "moved",
]


def log_largest(fmt: FloatFormat) -> float:
    """Return log Omega: beyond it exp overflows."""
    return float(log(float(fmt.largest)))


def log_smallest_normal(fmt: FloatFormat) -> float:
    """Return log 2^emin: below it exp is subnormal."""
    return fmt.emin * LOG_2


def log_smallest_subnormal(fmt: FloatFormat) -> float:
    """Return log eta: log 2 below it exp rounds to zero."""
    return fmt.quantum_exponent * LOG_2


def finite(fmt: FloatFormat, values: ArrayLike) -> NDArray[np.generic]:
    """Round float64 values into the format, once; what lies beyond +-Omega becomes +-Omega."""
    from reference.certified.narrowing import narrowed

    return narrowed(np.asarray(values, dtype=np.float64), fmt, float(fmt.largest))


def moved(fmt: FloatFormat, values: ArrayLike, steps: ArrayLike) -> F64:
    """Return the format's numbers so many steps above those nearest to the values, as float64.

    A step goes from one number of the format to the next; at +-Omega there are no more.
    """
    ordinals = fmt.ordinals(fmt.to_bits(finite(fmt, values))) + np.asarray(steps, dtype=np.int64)
    largest = fmt.largest_ordinal
    bits = fmt.from_ordinals(np.clip(ordinals, -largest, largest))
    return fmt.to_float64(fmt.from_bits(bits))


def at_most(fmt: FloatFormat, values: ArrayLike) -> F64:
    """Return the largest number of the format that is at most each value, as float64."""
    nearest = moved(fmt, values, 0)
    return moved(fmt, nearest, -(nearest > np.asarray(values)).astype(np.int64))


def at_least(fmt: FloatFormat, values: ArrayLike) -> F64:
    """Return the smallest number of the format that is at least each value, as float64."""
    return -at_most(fmt, -np.asarray(values, dtype=np.float64))
