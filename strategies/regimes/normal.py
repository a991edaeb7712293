"""Normally distributed logits, from harmless to those of a network that has run away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.source import Source
from strategies.thresholds import finite, log_largest

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _standard(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    return finite(fmt, source.normal((rows, length)))


def _wide(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    (octave,) = source.turns(6, rows=rows)
    _, reach = np.frexp(log_largest(fmt))
    scale = np.ldexp(1.0, reach - 5 + octave)
    return finite(fmt, source.normal((rows, length)) * scale[:, None])


REGIMES = (
    Regime("standard-normal", "independent standard normal logits", _standard),
    Regime("wide-normal", "normal logits of standard deviation about log(Omega)/16 to 2 log(Omega)", _wide),
)
