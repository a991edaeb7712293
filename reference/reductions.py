"""Rows reduced to a number each, short ones too."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["over_rows"]

_SHORT: Final = 32
"""NumPy takes as long for a row of two entries as for one of fifty; up to here columns cost less."""


def over_rows(of_two: np.ufunc, x: NDArray[Any]) -> NDArray[Any]:
    """Return `of_two` of all entries of each row, shape (rows,), for x of shape (rows, n)."""
    if x.shape[1] > _SHORT:
        return np.asarray(of_two.reduce(x, axis=1))
    return np.asarray(of_two.reduce(np.ascontiguousarray(x.T), axis=0))
