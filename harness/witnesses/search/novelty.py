"""Which rows were tried before, so that evaluations go to new ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.witnesses.search.mutations import Ordinals
from strategies.words import Words

__all__ = ["Memory"]

U64 = NDArray[np.uint64]

_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)  # of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)


class Memory:
    """A table of 64-bit hashes, in which a later row may take the place of an earlier one.

    It may forget a row; it takes a new row for a known one with a chance of 2^-64 or so.

    Args:
        length: entries of a row.
        size: places in the table, a power of two.
    """

    def __init__(self, length: int, size: int = 1 << 18) -> None:
        self._factors = Words(("hash", length)).words((length,)) | np.uint64(1)
        self._table = np.zeros(size, dtype=np.uint64)
        self._mask = np.uint64(size - 1)

    def keep(self, rows: Ordinals) -> None:
        """Remember rows of shape (k, n)."""
        hashes = self._hashes(rows)
        self._table[hashes & self._mask] = hashes

    def stale(self, rows: Ordinals) -> NDArray[np.intp]:
        """Return the indices of the rows that are known, or come before in the same array."""
        hashes = self._hashes(rows)
        fresh = self._table[hashes & self._mask] != hashes
        first = np.zeros(len(rows), dtype=np.bool_)
        first[np.unique(hashes, return_index=True)[1]] = True
        return np.flatnonzero(~(fresh & first))

    def _hashes(self, rows: Ordinals) -> U64:
        mixed = rows.astype(np.uint64) * self._factors
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIX
        total: U64 = np.bitwise_xor.reduce(mixed ^ (mixed >> np.uint64(32)), axis=1)
        return total
