"""The rows that checks look at: every regime, at several lengths, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.regimes import REGIMES

__all__ = ["EXTENTS", "Extent", "RowsOfLength", "rows_of"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Extent:
    """How much is looked at.

    Attributes:
        lengths: of rows of every regime, `rows` of each.
        long: lengths of rows of the few regimes of `_LONG`, one of each.
        batches: rows of the batches that a row alone is held against, where rows are short.
        long_batches: the same, where they are long.
        large_batch: rows of a batch larger than these, for rows of `SHORT` entries at most.
        large_calls: entries of a call, at least, by the length of its rows.
        calls: calls in succession, of a few rows of 3 entries.
        seconds: about the most that a call may take, and half of what the calls in succession may; of a
            slower candidate less is looked at, and the result says so.
    """

    lengths: tuple[int, ...]
    rows: int
    long: tuple[int, ...]
    batches: tuple[int, ...] = (2, 3, 4, 7, 16, 31, 64, 100, 500, 2048)
    long_batches: tuple[int, ...] = (2, 3, 16, 133)
    large_batch: int = 140_001
    large_calls: tuple[tuple[int, int], ...] = ((70_001, 5 << 22),)
    calls: int = 20_100
    seconds: float = 5.0

    def batch_sizes(self, length: int) -> tuple[int, ...]:
        """Return the rows of batches of rows of a length; of short rows one is square."""
        if length > LONG:
            return self.long_batches
        return tuple(sorted({*self.batches, max(2, min(length, self.batches[-1]))}))

    def large_sizes(self, length: int) -> tuple[int, ...]:
        """Return the rows of the large batches and calls of rows of a length."""
        batches = [self.large_batch] if length <= SHORT else []
        return (*batches, *(-(-entries // of) for of, entries in self.large_calls if of == length))


SHORT: Final = 17
"""Rows of more entries are not called in a batch of more than a hundred thousand."""

LONG: Final = 300
"""Rows of more entries are long."""

_LENGTHS: Final = (1025, 1026, 2048, 4096, 8193, 70_001)
"""Beyond blocks of a thousand entries and of thousands, with tails and without; and beyond 65 536."""

EXTENTS: Final[Mapping[str, Extent]] = MappingProxyType(
    {
        "brief": Extent(
            (1, 2, 3, 7, 17, 65, 257), 8, (1026, 4096), large_batch=70_001, large_calls=(), calls=500
        ),
        "quick": Extent((1, 2, 3, 7, 17, 65, 257), 8, _LENGTHS),
        "standard": Extent((1, 2, 3, 4, 5, 7, 8, 9, 17, 33, 65, 129, 257), 12, (1023, *_LENGTHS)),
        "deep": Extent((*range(1, 18), 33, 65, 129, 257, 513), 64, (1023, *_LENGTHS, 16_385)),
    }
)
"""By the names of efforts; `brief` is what a unit test has time for."""

_LONG: Final = ("standard-normal", "tied", "wide-normal", "partly-tied")
"""The first of them is the likeliest to show another order of additions."""


@dataclass(frozen=True)
class RowsOfLength:
    """Rows (k, n) of several regimes, and the regime and number of each."""

    x: Array
    regimes: tuple[str, ...]
    numbers: tuple[int, ...]

    def take(self, most: int) -> RowsOfLength:
        """Return so many of them at most, spread evenly."""
        if len(self.x) <= most:
            return self
        chosen = np.unique(np.linspace(0, len(self.x) - 1, most).astype(int)).tolist()
        return self.of(chosen)

    def of(self, chosen: list[int]) -> RowsOfLength:
        """Return the chosen rows."""
        return RowsOfLength(
            np.ascontiguousarray(self.x[chosen]),
            tuple(self.regimes[i] for i in chosen),
            tuple(self.numbers[i] for i in chosen),
        )


@lru_cache(maxsize=8)
def rows_of(fmt: FloatFormat, extent: Extent, seed: int) -> tuple[RowsOfLength, ...]:
    """Return the rows of each length, the shortest first; they depend on format, extent and seed alone."""
    return tuple(_drawn(fmt, extent, seed))


def _drawn(fmt: FloatFormat, extent: Extent, seed: int) -> Iterator[RowsOfLength]:
    for length in sorted({*extent.lengths, *extent.long}):
        rows = extent.rows if length in extent.lengths else 1
        wanted = REGIMES if length in extent.lengths else _LONG
        names = [name for name in wanted if REGIMES[name].supports(fmt, length)]
        drawn = [REGIMES[name].rows(fmt, rows, length, seed, 0) for name in names]
        regimes = tuple(name for name in names for _ in range(rows))
        yield RowsOfLength(np.concatenate(drawn), regimes, tuple(range(rows)) * len(names))
