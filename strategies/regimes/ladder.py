"""Evenly spread, sorted, and blockwise rows: every gap, and every order of maxima."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import PLACES, grouped, place
from strategies.regime import Regime
from strategies.source import F64, I64, Source
from strategies.thresholds import finite, log_largest, log_smallest_subnormal

__all__ = ["REGIMES"]

Array = NDArray[Any]

_ORDERS: Final = 4


def _ladder(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Even steps down from the top by a whole range: small, that of exp, that of all results, twice that.

    Going down, going up, down from somewhere on both sides, or with a stride.
    """
    order, reach, level = source.turns(_ORDERS, 4, 2, rows=rows)
    lowest = -log_smallest_subnormal(fmt)
    ranges = np.array([4.0, log_largest(fmt), 1.1 * lowest, 2.2 * lowest])
    span = ranges[reach] * source.between(1.0, 0.5, (rows,))
    steps = _orders(source, order, length) / max(length - 1, 1)
    top = level * span * source.uniform((rows,))
    return finite(fmt, top[:, None] - span[:, None] * steps)


def _orders(source: Source, order: I64, length: int) -> F64:
    """Down, up, distance from a peak, and a stride through the row: integers in [0, length)."""
    from strategies.compiled import ladder_steps

    peak = source.below(length, order.shape)
    stride = 1 + 2 * source.below(max(length // 2, 1), order.shape)
    steps = np.empty((len(order), length))
    ladder_steps(order, peak, stride, steps)
    return steps


def _sorted(source: Source, fmt: FloatFormat, rows: int, length: int) -> F64:
    """Ascending normal logits, of any scale up to the range of exp and about any level within it."""
    scale = np.ldexp(log_largest(fmt), -source.below(7, (rows,)))[:, None]
    level = source.sign((rows, 1)) * source.uniform((rows, 1)) * log_largest(fmt)
    return np.sort(source.normal((rows, length)) * scale + level, axis=1)


def _ascending(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    return finite(fmt, _sorted(source, fmt, rows, length))


def _descending(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    return finite(fmt, _sorted(source, fmt, rows, length)[:, ::-1])


def _blocks(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Blocks of a power of two entries, each at a level of its own, as far apart as exp reaches or farther.

    One entry stands out at a place of its own, so that no block's maximum is the row's by chance alone.
    """
    far, where = source.turns(3, PLACES, rows=rows)
    octave = source.below(length.bit_length(), (rows,))
    level = grouped(source.uniform((rows, length)), np.ones(rows, dtype=np.int64), octave)
    reach = np.array([2.0, log_largest(fmt), -log_smallest_subnormal(fmt)])[far][:, None]
    values = level * reach + source.normal((rows, length)) * 0.5
    at = place(source, where, length)
    values[np.arange(rows), at] += 1.0
    return finite(fmt, values)


REGIMES = (
    Regime("ladder", "evenly spread entries: down, up, from a peak, with a stride", _ladder),
    Regime("ascending", "sorted, the largest last: every entry a new maximum", _ascending),
    Regime("descending", "sorted, the largest first", _descending),
    Regime("blocks", "blocks of entries, each at its own level", _blocks),
)
