"""Equal entries: results 1/c, on the edges of binades where c is a power of two.

An accumulator that is too narrow stands still on long rows of these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import COUNTS, RUNS, count, run, spread_evenly
from strategies.regime import Regime
from strategies.source import F64, Source
from strategies.thresholds import finite, log_largest, log_smallest_subnormal

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _levels(source: Source, fmt: FloatFormat, rows: int) -> F64:
    """Zero, an ordinary value, one beyond the range of exp on either side, any magnitude, -Omega, Omega."""
    (kind,) = source.turns(6, rows=rows)
    shape = (rows,)
    omega = np.full(rows, float(fmt.largest))
    ordinary = source.normal(shape)
    beyond = source.sign(shape) * source.between(1.0, 4.0, shape) * log_largest(fmt)
    anything = source.sign(shape) * source.magnitude(fmt.emin, fmt.emax, shape)
    levels: F64 = np.choose(kind, [np.zeros(rows), ordinary, beyond, anything, -omega, omega])
    return levels


def _tied(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    return finite(fmt, np.broadcast_to(_levels(source, fmt, rows)[:, None], (rows, length)))


def _partly_tied(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Some entries tied at the top, side by side or spread; the others beside them, below, or out of sight.

    Out of sight is where RN(r) is 1/c although r is less.
    """
    gap_kind, spread, many, where = source.turns(3, 2, COUNTS, RUNS, rows=rows)
    shape = (rows,)
    near = source.between(1.0, 4.0, shape)
    below = source.between(4.0, -log_smallest_subnormal(fmt), shape)
    gap = np.choose(gap_kind, [near, below, below - 2 * log_smallest_subnormal(fmt)])
    members = count(source, many, 1, length - 1)
    together = run(source, where, members, length)
    top = np.where(spread[:, None], spread_evenly(members, length), together)
    level = source.normal(shape)[:, None]
    lower = level - gap[:, None] * (1.0 + source.uniform((rows, length)))
    return finite(fmt, np.where(top, level, lower))


REGIMES = (
    Regime("tied", "all entries equal", _tied),
    Regime(
        "partly-tied",
        "some entries tied at the top, often a power of two of them",
        _partly_tied,
        min_length=2,
    ),
)
