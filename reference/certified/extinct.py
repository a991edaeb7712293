"""Rows without any output that says something, compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled
from reference.certified.widening import Encoded, encoded, widened
from reference.formats import FloatFormat

__all__ = ["extinct_rows"]


def extinct_rows(
    y: NDArray[Any], fmt: FloatFormat, rows: NDArray[np.intp], *, vanishes: bool
) -> NDArray[np.bool_]:
    """Tell which of some rows have no finite output, or none but 0 where results vanish; shape (k,).

    Args:
        y: outputs of shape (rows, n), of the format or float64 values of it.
        fmt: the format.
        rows: the numbers of k rows.
        vanishes: whether an output of 0 says nothing.

    Raises:
        ValueError: y is of another dtype.
    """
    flags = np.empty(len(rows), dtype=np.bool_)
    _mark_extinct(encoded(y, fmt), rows, vanishes, np.empty((1, y.shape[1])), flags)
    return flags


@compiled
def _mark_extinct(y: Encoded, rows: Any, vanishes: bool, room: Any, extinct: Any) -> None:
    for i in range(rows.size):
        values = widened(y, rows[i], rows[i] + 1, room)
        something = False
        for j in range(values.shape[1]):
            value = values[0, j]
            something |= (abs(value) < math.inf) & ((value != 0.0) | (not vanishes))
        extinct[i] = not something
