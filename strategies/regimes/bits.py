"""Rows drawn from the encodings rather than from the reals."""

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


def _uniform_bits(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    magnitude = source.below(fmt.largest_ordinal + 1, (rows, length)).astype(fmt.bits_dtype)
    sign = source.below(2, (rows, length)).astype(fmt.bits_dtype)
    return fmt.from_bits(magnitude | sign * fmt.bits_dtype.type(fmt.sign_bit))


def _log_uniform(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Exponents over the whole format, or over those at which softmax is not yet one-hot."""
    (whole,) = source.turns(2, rows=rows)
    telling = int(np.frexp(log_largest(fmt))[1])
    lowest = np.where(whole, fmt.emin, -fmt.precision)[:, None]
    highest = np.where(whole, fmt.emax, telling)[:, None]
    shape = (rows, length)
    return finite(fmt, source.sign(shape) * source.magnitude(lowest, highest, shape))


REGIMES = (
    Regime("uniform-bits", "every finite encoding equally likely", _uniform_bits),
    Regime("log-uniform", "either sign, every exponent equally likely", _log_uniform),
)
