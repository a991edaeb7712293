"""Which of two rows is simpler: a total order, so that shrinking always ends.

Fewer entries come first; then fewer that are not zero, fewer distinct ones, fewer that are not
integers, fewer significand bits, exponents nearer to 0, fewer signs, smaller magnitudes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat

__all__ = ["Key", "keys", "significand_bits"]

Floats = NDArray[np.float64]

Key = tuple[float, ...]
"""What rows are compared by; the less, the simpler."""


def keys(fmt: FloatFormat, x: NDArray[Any]) -> list[Key]:
    """Return the key of each row of (k, n), an array of the format."""
    values = fmt.to_float64(x)
    finite = np.isfinite(values)
    magnitudes = np.abs(np.where(finite, values, 0.0))
    with np.errstate(over="ignore"):
        columns = [
            np.full(len(x), x.shape[1]),
            (values != 0).sum(axis=1),
            _distinct(fmt, x),
            (magnitudes != np.rint(magnitudes)).sum(axis=1),
            significand_bits(magnitudes).sum(axis=1),
            np.abs(np.frexp(magnitudes)[1] - (magnitudes > 0)).sum(axis=1),
            np.signbit(values).sum(axis=1),
            magnitudes.sum(axis=1),
        ]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def significand_bits(magnitudes: Floats) -> NDArray[np.int64]:
    """Return how many bits each significand takes, without its trailing zeros; 0 for zero."""
    significand = np.ldexp(np.frexp(magnitudes)[0], 53).astype(np.int64)
    lowest = significand & -significand
    return np.asarray(np.where(significand == 0, 0, 54 - np.frexp(lowest.astype(np.float64))[1]))


def _distinct(fmt: FloatFormat, x: NDArray[Any]) -> NDArray[np.int64]:
    ordered = np.sort(fmt.ordinals(fmt.to_bits(x)), axis=1)
    return np.asarray((np.diff(ordered, axis=1) != 0).sum(axis=1) + 1)
