"""Rows drawn from the encodings rather than from the reals."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regime import Regime
from strategies.source import F64, Source
from strategies.thresholds import finite, log_largest, log_smallest_normal, log_smallest_subnormal, moved

__all__ = ["REGIMES"]

Array = NDArray[Any]

_FEW: Final = 3


def _uniform_bits(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    magnitude = source.below(fmt.largest_ordinal + 1, (rows, length)).astype(fmt.bits_dtype)
    return fmt.from_bits(fmt.negated(magnitude, source.below(2, (rows, length)) == 1))


def _log_uniform(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Exponents over the whole format, or over those at which softmax is not yet one-hot."""
    (whole,) = source.turns(2, rows=rows)
    telling = int(np.frexp(log_largest(fmt))[1])
    lowest = np.where(whole, fmt.emin, -fmt.precision)[:, None]
    highest = np.where(whole, fmt.emax, telling)[:, None]
    shape = (rows, length)
    return finite(fmt, source.sign(shape) * source.magnitude(lowest, highest, shape))


def _numbers(fmt: FloatFormat) -> F64:
    """Where formats, exp and softmax change their nature, and their neighbours; simplest first."""
    marks = (1.0, log_largest(fmt), -log_smallest_normal(fmt), -log_smallest_subnormal(fmt))
    places = np.array([0.0, *marks, float(fmt.smallest_normal), float(fmt.largest)])
    near = moved(fmt, places[:, None], [0, -1, 1]).ravel()
    return np.unique(np.abs(near))


def _landmarks(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Landmarks of either sign, all of them in a row or only a few."""
    (few,) = source.turns(2, rows=rows)
    numbers = _numbers(fmt)
    shape = (rows, length)
    palette = source.below(numbers.size, (rows, _FEW))
    chosen = np.take_along_axis(palette, source.below(_FEW, shape), axis=1)
    which = np.where(few[:, None], chosen, source.below(numbers.size, shape))
    return finite(fmt, source.sign(shape) * numbers.take(which))


REGIMES = (
    Regime("uniform-bits", "every finite encoding equally likely", _uniform_bits),
    Regime("log-uniform", "either sign, every exponent equally likely", _log_uniform),
    Regime(
        "landmarks", "zeros, thresholds, the smallest and largest numbers, and their neighbours", _landmarks
    ),
)
