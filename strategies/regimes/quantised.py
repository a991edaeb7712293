"""Multiples of a quantum, so that subtracting the maximum is exact and only exp and the sum err."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.source import Source
from strategies.thresholds import finite, log_largest

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _quantised(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Multiples k 2^-j with |k| <= 2^(p-2) and |k 2^-j| <= 2 log(Omega), j in 0..p.

    The difference of two is at most 2^(p-1) quanta, and so in the format.
    """
    (fineness,) = source.turns(fmt.precision + 1, rows=rows)
    span = np.ldexp(2.0 * log_largest(fmt), fineness)
    most = np.minimum(2.0 ** (fmt.precision - 2), np.floor(span)).astype(np.int64)[:, None]
    shape = (rows, length)
    multiple = source.sign(shape) * source.below(most + 1, shape)
    return finite(fmt, multiple * np.ldexp(1.0, -fineness)[:, None])


REGIMES = (Regime("quantised", "multiples of a power of two: subtraction is exact", _quantised),)
