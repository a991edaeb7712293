"""More rows than a kernel expects in one call: short, all different, and cheap to make."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.source import Source

__all__ = ["CROWD", "REGIMES"]

Array = NDArray[Any]

CROWD: Final = "crowd"

AT_ONCE: Final = 1 << 13
"""Rows made at once: float64 numbers on the way take little memory beside the rows."""


def _crowd(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Rows about a centre of their own, from nearly tied to so wide that the least results are tiny."""
    from reference.certified.narrowing import narrowed

    drawn = np.empty((rows, length), dtype=fmt.dtype)
    for start in range(0, rows, AT_ONCE):
        part = drawn[start : start + AT_ONCE]
        centre = source.between(-16.0, 16.0, (len(part), 1))
        width = source.magnitude(-4, 4, (len(part), 1))
        part[...] = narrowed(centre + source.between(-width, width, part.shape), fmt)
    return drawn


REGIMES = (Regime(CROWD, "hundreds of thousands of short rows in one call", _crowd),)
