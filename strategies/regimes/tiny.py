"""Zeros of both signs and subnormal entries: all of them nearly tied, and exp of each about 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.source import Source
from strategies.thresholds import finite

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _signed_zeros(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Zeros of either sign; in every other row some entries are not zero."""
    (mixed,) = source.turns(2, rows=rows)
    shape = (rows, length)
    other = source.chance(0.25, shape) & (mixed[:, None] == 1)
    zeros = np.copysign(0.0, source.sign(shape))
    return finite(fmt, np.where(other, source.normal(shape), zeros))


def _subnormal(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Subnormal numbers of either sign; in every other row some entries are ordinary."""
    (mixed,) = source.turns(2, rows=rows)
    shape = (rows, length)
    quanta = 1 + source.below(2 ** (fmt.precision - 1) - 1, shape)
    tiny = source.sign(shape) * np.ldexp(quanta.astype(np.float64), fmt.quantum_exponent)
    other = source.chance(0.25, shape) & (mixed[:, None] == 1)
    return finite(fmt, np.where(other, source.normal(shape), tiny))


REGIMES = (
    Regime("signed-zeros", "zeros of both signs, some with other entries", _signed_zeros),
    Regime("subnormal-inputs", "subnormal entries, some with ordinary ones", _subnormal),
)
