"""One entry above all others, at every place: by little, by much, and beyond the range of exp.

A sum or a maximum that misses an entry shows where the entry it misses is this one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import PLACES, place, put
from strategies.quantiles import log
from strategies.regime import Regime
from strategies.source import F64, Source
from strategies.thresholds import finite, log_largest, log_smallest_subnormal

__all__ = ["REGIMES", "last_entry_dominates"]

Array = NDArray[Any]


def _dominated(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """The gap is about log n, up to that of the smallest result, or beyond log(Omega).

    The rest is tied or spread, and the dominating entry is at zero or the rest is.
    """
    kind, spread, level, where = source.turns(3, 2, 2, PLACES, rows=rows)
    shape = (rows,)
    rivalled = log(float(length)) + source.between(0.0, 6.0, shape)
    visible = source.between(1.0, -log_smallest_subnormal(fmt), shape)
    beyond = source.between(1.0, 3.0, shape) * log_largest(fmt)
    gap: F64 = np.choose(kind, [rivalled, visible, beyond])
    rest = np.where(level, -gap, 0.0)
    values: F64 = rest[:, None] - spread[:, None] * np.abs(source.normal((rows, length)))
    put(values, place(source, where, length), rest + gap)
    return finite(fmt, values)


def last_entry_dominates(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Return rows (rows, length) whose last entry has half of the whole or more; the rest is tied.

    Before it is rounded into the format, the entry is e times as large as all others together, at least.
    """
    values = np.zeros((rows, length))
    values[:, -1] = log(float(length)) + source.between(1.0, 6.0, (rows,))
    return finite(fmt, values)


REGIMES = (
    Regime(
        "dominated",
        "one entry above the others: first, last, in the tail, anywhere",
        _dominated,
        min_length=2,
    ),
)
