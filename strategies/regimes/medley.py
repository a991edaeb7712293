"""A row of each of many regimes in turn: what there is to see at one more length, for few rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.regimes.dominated import last_entry_dominates
from strategies.source import Source

__all__ = ["LONG", "MEDLEY", "REGIMES"]

Array = NDArray[Any]

MEDLEY: Final = "medley"


MEMBERS: Final = (
    "uniform-bits", "log-uniform", "landmarks", "dominated", "ladder", "ascending", "descending", "blocks",
    "masked", "causal", "all-but-one-masked", "masked-low", "standard-normal", "wide-normal",
    "common-offset", "close-together", "exp-overflow", "sum-overflow", "quantised", "tied", "partly-tied",
    "signed-zeros", "subnormal-inputs", "exp-underflow", "result-underflow",
)  # fmt: skip
"""The regimes that take turns, all with an exact result. A new regime changes no row of the medley."""


LONG: Final = 1024
"""Of more entries few rows are drawn, and a sum may lose an entry of them unseen unless that one is large."""


def _medley(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """The members take turns, starting with any; the last entry of the last long row dominates."""
    others = [regime for regime in _others() if regime.supports(fmt, length)]
    (turn,) = source.turns(len(others), rows=rows)
    drawn = np.empty((rows, length), dtype=fmt.dtype)
    order = np.argsort(turn, kind="stable")
    ends = np.cumsum(np.bincount(turn, minlength=len(others))).tolist()
    for regime, first, end in zip(others, [0, *ends], ends, strict=False):
        if end > first:
            drawn[order[first:end]] = regime.draw(source, fmt, end - first, length)
    if length > LONG and rows > 1:
        drawn[-1:] = last_entry_dominates(source, fmt, 1, length)
    return drawn


def _others() -> list[Regime]:
    from strategies.regimes import REGIMES as EVERY

    return [EVERY[name] for name in MEMBERS]


REGIMES = (Regime(MEDLEY, "a row of each of many regimes in turn", _medley),)
