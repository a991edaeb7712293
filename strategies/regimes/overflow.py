"""Around the overflow of exp, and of the sum of exponentials that are each finite.

A form that does not shift by the maximum overflows here, and so does one that shifts by
zero, by the first entry or by another row's maximum.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import COUNTS, PLACES, RUNS, count, place, put, run
from strategies.quantiles import log
from strategies.regime import Regime
from strategies.source import F64, I64, Source
from strategies.thresholds import at_least, at_most, finite, log_largest, moved

__all__ = ["REGIMES"]

Array = NDArray[Any]

_STEPS: Final = np.array([1, 0, -1, 2, -2, 3, -3])
"""How many numbers of the format the largest entry stands above the threshold."""

_MARGIN: Final = 2.0**-30
"""Keeps a sum beyond Omega by more than the rounding errors of the thresholds."""


def _exp_overflow(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """One entry within steps of the threshold; all entries about it; all well beyond it."""
    kind, where = source.turns(3, PLACES, rows=rows)
    threshold = log_largest(fmt)
    beyond = source.between(threshold, 4 * threshold, (rows,))
    centre = np.choose(kind, [np.zeros(rows), np.full(rows, threshold), beyond])
    values = source.normal((rows, length)) + centre[:, None]
    steps = _STEPS[source.below(len(_STEPS), (rows,))]
    at = place(source, where, length)
    put(values, at, moved(fmt, np.maximum(centre, threshold), steps))
    return finite(fmt, values)


@cache
def _least_carriers(fmt: FloatFormat) -> int:
    """The fewest equal entries whose exponentials are finite and sum to more than Omega."""
    threshold = log_largest(fmt)
    carriers = 2
    while _lowest(fmt, np.array([carriers]))[0] > at_most(fmt, threshold):
        carriers += 1
    return carriers


def _lowest(fmt: FloatFormat, carriers: I64) -> F64:
    """The least number of the format of which so many together have exponentials beyond Omega."""
    return at_least(fmt, log_largest(fmt) - log(carriers) * (1 - _MARGIN))


def _sum_overflow(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """From the fewest entries that suffice to all of them carry the sum; they are tied or not."""
    apart, many, where = source.turns(2, COUNTS, RUNS, rows=rows)
    carriers = count(source, many, _least_carriers(fmt), length)
    highest = at_most(fmt, log_largest(fmt))
    lowest = _lowest(fmt, carriers)[:, None]
    tied = source.between(lowest, highest, (rows, 1))
    each = source.between(lowest, highest, (rows, length))
    heavy = np.clip(np.where(apart[:, None], each, tied), lowest, highest)
    light = np.minimum(source.normal((rows, length)), highest)
    return finite(fmt, np.where(run(source, where, carriers, length), heavy, light))


def _sum_overflows(fmt: FloatFormat, length: int) -> bool:
    return length >= _least_carriers(fmt)


REGIMES = (
    Regime("exp-overflow", "the largest entry about log(Omega) or beyond", _exp_overflow),
    Regime(
        "sum-overflow",
        "each exp finite, their sum beyond Omega",
        _sum_overflow,
        min_length=2,
        exists=_sum_overflows,
    ),
)
