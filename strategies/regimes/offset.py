"""Rows far from zero: by a common offset, or so far that neighbours in the format matter.

A form that subtracts a logarithm loses the offset's digits; a maximum that starts at zero,
or is rounded, or is another row's, leaves the range of exp.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.source import Source
from strategies.thresholds import finite, moved

__all__ = ["REGIMES"]

Array = NDArray[Any]

_STEPS: Final = 16
_OCTAVES: Final = 4


def _common_offset(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Offsets that leave the logits some digits, or anywhere in the format; either sign."""
    whole, negative = source.turns(2, 2, rows=rows)
    highest = np.where(whole, fmt.emax, min(fmt.precision, fmt.emax))
    offset = source.magnitude(0, highest, (rows,)) * (1 - 2 * negative)
    return finite(fmt, source.normal((rows, length)) * 2.0 + offset[:, None])


def _close_together(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """A large number and its neighbours, whose distance is between 2^-4 and 2^4, or anything."""
    whole, negative = source.turns(4, 2, rows=rows)
    telling = fmt.precision - 1
    lowest = np.where(whole == 0, telling, max(telling - _OCTAVES, 0))
    highest = np.where(whole == 3, fmt.emax, np.where(whole == 0, telling, telling + _OCTAVES))
    level = source.magnitude(np.minimum(lowest, fmt.emax), np.minimum(highest, fmt.emax), (rows,))
    sign = (1 - 2 * negative)[:, None]
    values = np.broadcast_to(level[:, None], (rows, length))
    return finite(fmt, sign * moved(fmt, values, source.below(_STEPS, (rows, length))))


REGIMES = (
    Regime("common-offset", "logits about a large common offset", _common_offset),
    Regime(
        "close-together", "entries large in magnitude and a few numbers of the format apart", _close_together
    ),
)
