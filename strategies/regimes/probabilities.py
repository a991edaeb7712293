"""Logits that are log-probabilities already: their exponentials sum to 1, and logsumexp is near 0.

An addition of the largest logit and the logarithm of the sum cancels there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.quantiles import log
from strategies.regime import Regime
from strategies.source import F64, Source
from strategies.thresholds import finite

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _log_probabilities(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """The weights are powers 1, 4 and 16 of uniform numbers, from nearly equal to far apart."""
    (turn,) = source.turns(3, rows=rows)
    weights: F64 = 1.0 - source.uniform((rows, length))
    for power in (1, 2):
        fourth = weights * weights * weights * weights
        weights = np.where((turn >= power)[:, None], fourth, weights)
    total = np.add.accumulate(weights, axis=1)[:, -1:]  # one by one: the same sum on every machine
    return finite(fmt, log(weights / total))


REGIMES = (Regime("log-probabilities", "logits whose exponentials sum to 1", _log_probabilities),)
