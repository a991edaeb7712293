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
    shape = (rows, length)
    other = _ordinary(source, rows, length)
    zeros = np.copysign(0.0, source.sign(shape))
    return finite(fmt, np.where(other, source.normal(shape), zeros))


def _subnormal(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Subnormal numbers of either sign; in every other row some entries are ordinary."""
    shape = (rows, length)
    quanta = 1 + source.below(2 ** (fmt.precision - 1) - 1, shape)
    tiny = source.sign(shape) * (quanta * 2.0**fmt.quantum_exponent)
    other = _ordinary(source, rows, length)
    return finite(fmt, np.where(other, source.normal(shape), tiny))


def _ordinary(source: Source, rows: int, length: int) -> NDArray[np.bool_]:
    """Mark a quarter of the entries of every other row, but never all."""
    (mixed,) = source.turns(2, rows=rows)
    marked: NDArray[np.bool_] = source.chance(0.25, (rows, length)) & (mixed[:, None] == 1)
    marked[np.arange(rows), source.below(length, (rows,))] = False
    return marked


REGIMES = (
    Regime(
        "signed-zeros",
        "zeros of both signs, some with other entries",
        _signed_zeros,
        exists=lambda fmt, _length: fmt.has_negative_zero,
    ),
    Regime("subnormal-inputs", "subnormal entries, some with ordinary ones", _subnormal),
)
