"""What kind of row a logit vector is: whether softmax has an exact result there.

Finite rows and masked rows (some, not all, entries -inf) have one. The rest are policy
rows, told apart in the order NaN, +inf, all -inf; what a candidate does there is recorded
and held against its declared policy, never called an error.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowKind", "row_kinds"]


class RowKind(IntEnum):
    """The kinds, exact results first; policy rows are those from NAN on."""

    FINITE = 0
    MASKED = 1
    NAN = 2
    POS_INF = 3
    ALL_NEG_INF = 4

    @property
    def is_policy(self) -> bool:
        """Whether rows of this kind have no exact result."""
        return self >= RowKind.NAN


def row_kinds(x: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the `RowKind` of each row of a (rows, n) float64 array, n >= 1.

    Raises:
        ValueError: the rows have no entries.
    """
    if x.shape[-1] == 0:
        raise ValueError("rows of length 0: a row needs at least one logit")
    largest = x.max(axis=-1)  # NaN if any entry is
    smallest = x.min(axis=-1)
    kinds = np.full(largest.shape, RowKind.FINITE, dtype=np.uint8)
    kinds[smallest == -np.inf] = RowKind.MASKED
    kinds[largest == -np.inf] = RowKind.ALL_NEG_INF
    kinds[largest == np.inf] = RowKind.POS_INF
    kinds[np.isnan(largest)] = RowKind.NAN
    return kinds
