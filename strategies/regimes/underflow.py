"""Around the underflow of exp(x), and of the result: gaps at which it turns subnormal, then zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import COUNTS, PLACES, RUNS, count, place, put, run
from strategies.quantiles import LOG_2, log
from strategies.regime import Regime
from strategies.source import F64, Source
from strategies.thresholds import finite, log_largest, log_smallest_normal, log_smallest_subnormal

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _thresholds(fmt: FloatFormat) -> F64:
    """The logarithms of 2^emin, of the smallest subnormal, and of its half, which rounds to zero."""
    eta = log_smallest_subnormal(fmt)
    return np.array([log_smallest_normal(fmt), eta, eta - LOG_2])


def _exp_underflow(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """All entries about a threshold; or only the largest, the others far below; or all far below."""
    kind, which, where = source.turns(3, 3, PLACES, rows=rows)
    threshold = _thresholds(fmt)[which]
    far = threshold * (1.5 + source.uniform((rows,)))
    centre = np.choose(kind, [threshold, far, far])
    values = source.normal((rows, length)) + centre[:, None]
    at = place(source, where, length)
    largest = np.choose(kind, [values[np.arange(rows), at], threshold, values[np.arange(rows), at]])
    put(values, at, largest)
    return finite(fmt, values)


def _result_underflow(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Some entries tied at the top, the others below by a threshold less the log of how many are tied.

    The top is at zero, or anywhere within the range of exp.
    """
    which, many, where, moved_away = source.turns(3, COUNTS, RUNS, 2, rows=rows)
    tied = count(source, many, 1, length - 1)
    top = moved_away * source.sign((rows,)) * source.uniform((rows,)) * log_largest(fmt) + 0.0
    spread = np.ldexp(1.0, -source.below(6, (rows,)))[:, None]
    bottom = (top + _thresholds(fmt)[which] + log(tied))[:, None] + spread * source.normal((rows, length))
    return finite(fmt, np.where(run(source, where, tied, length), top[:, None], bottom))


REGIMES = (
    Regime("exp-underflow", "entries about or below the thresholds of exp's underflow", _exp_underflow),
    Regime(
        "result-underflow",
        "results on both sides of the smallest normal, the smallest subnormal and its half",
        _result_underflow,
        min_length=2,
    ),
)
