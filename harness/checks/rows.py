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
    """How many rows are looked at.

    Attributes:
        lengths: of rows of every regime, `rows` of each.
        long: lengths of rows of the few regimes of `_LONG`, one of each.
    """

    lengths: tuple[int, ...]
    rows: int
    long: tuple[int, ...]


EXTENTS: Final[Mapping[str, Extent]] = MappingProxyType(
    {
        "quick": Extent((1, 2, 3, 7, 17, 65, 257), 8, (4096,)),
        "standard": Extent((1, 2, 3, 4, 5, 7, 8, 9, 17, 33, 65, 129, 257), 12, (1023, 4096)),
        "deep": Extent((*range(1, 18), 33, 65, 129, 257, 513), 64, (1023, 2048, 4096, 16_385)),
    }
)
"""By the names of efforts."""

_LONG: Final = ("tied", "standard-normal", "partly-tied", "wide-normal")


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
