"""A row of each other regime in turn: what there is to see at one more length, for the price of few rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.regimes.crowd import CROWD
from strategies.source import Source

__all__ = ["MEDLEY", "REGIMES"]

Array = NDArray[Any]

MEDLEY: Final = "medley"


def _medley(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Regimes with an exact result take turns, starting with any."""
    others = [regime for regime in _others() if regime.supports(fmt, length)]
    (turn,) = source.turns(len(others), rows=rows)
    drawn = np.empty((rows, length), dtype=fmt.dtype)
    for number, regime in enumerate(others):
        mine = np.flatnonzero(turn == number)
        if mine.size:
            drawn[mine] = regime.draw(source, fmt, int(mine.size), length)
    return drawn


def _others() -> list[Regime]:
    from strategies.regimes import REGIMES as EVERY

    return [r for r in EVERY.values() if not r.policy and r.name not in (MEDLEY, CROWD)]


REGIMES = (Regime(MEDLEY, "a row of each other regime in turn", _medley),)
