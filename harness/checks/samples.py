"""The rows that checks look at: every regime, at several lengths, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.rations import Load
from reference.formats import FloatFormat
from strategies.logit_range import LogitRange
from strategies.regimes import REGIMES

__all__ = ["EXTENTS", "Extent", "Paces", "RowsOfLength", "Slow", "are_thin", "extent_of", "rows_of"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Slow:
    """What a call may have where a row, or an entry, takes long.

    Attributes:
        over: the seconds that one takes at least.
        most: rows, or entries, of a call.
    """

    over: float
    most: int


@dataclass(frozen=True)
class Paces:
    """The few classes of speed that decide how much is looked at, the slower ones last.

    Measured times decide nothing else, and are written nowhere: the same seed must give the same results.
    A border lies by a factor of ten or more from what is common: a row takes 20 us in a loop of NumPy
    calls, an entry 0.1 us in NumPy, 1 us in a loop of Python and 20 us or more in mpmath.
    """

    slow: tuple[Slow, ...]

    def at(self, seconds: float) -> Slow:
        """Return the class of what takes so many seconds."""
        return next((slow for slow in reversed(self.slow) if seconds > slow.over), UNLIMITED)


UNLIMITED: Final = Slow(0.0, 1 << 62)


PAST_2_24: Final = 17 << 20
"""Entries of a call that go 2^20 beyond 2^24, where a counter in binary32 stands still and 65 536 blocks of
256 end: each of the few rows that are called begins once more beyond it."""


QUICK_COST: Final = Load(2.5, 890_000, 92_000_000)


@dataclass(frozen=True)
class Extent:
    """How much is looked at.

    Attributes:
        lengths: of rows of every regime, `rows` of each.
        long: lengths of rows of the few regimes of `_LONG`, one of each.
        batches: rows of the batches that a row alone is held against, where rows are short.
        long_batches: the same, where they are long.
        large_batch: rows of a batch larger than these, for rows of `SHORT` entries at most.
        large_calls: entries of a call, at least, by the length of its rows; see `PAST_2_24`.
        calls: calls in succession, of a few rows of 3 entries.
        row_paces, entry_paces: classes of slow candidates, of whose rows or entries a call has fewer; the
            result says so.
        slow_call: seconds of a call that is not made by the thousand.
        cost: what all checks of a candidate in a format cost. They take max_shifted in float16 1.0 s, 4.7 s,
            5.7 s and 13 s of a process, most of it in its own calls. Beside these it is 0.5 s to 3.5 s, twice
            as much where checks run side by side, whose large calls wait for memory.
    """

    lengths: tuple[int, ...]
    rows: int
    long: tuple[int, ...]
    batches: tuple[int, ...] = (2, 3, 4, 7, 16, 31, 64, 100, 500, 2048)
    long_batches: tuple[int, ...] = (2, 3, 16, 133)
    large_batch: int = 140_001
    large_calls: tuple[tuple[int, int], ...] = ((70_001, PAST_2_24),)
    calls: int = 20_100
    row_paces: Paces = Paces((Slow(3e-4, 500), Slow(1e-2, 16)))
    entry_paces: Paces = Paces((Slow(4e-6, 50_000), Slow(1e-4, 500)))
    slow_call: float = 4e-3
    cost: Load = QUICK_COST

    def batch_sizes(self, length: int) -> tuple[int, ...]:
        """Return the rows of batches of rows of a length; of short rows one is square.

        The largest batch of long rows is for what depends on whether there are more rows than processors. Of
        a length that has a large call, that call is for it: it has more rows still.
        """
        if length > LONG:
            return self.long_batches[:-1] if length in dict(self.large_calls) else self.long_batches
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
            (1, 2, 3, 7, 17, 65, 257),
            8,
            (1026, 4096),
            large_batch=70_001,
            large_calls=(),
            calls=500,
            cost=Load(1.2, 460_000, 14_000_000),
        ),
        "quick": Extent((1, 2, 3, 7, 17, 65, 257), 8, _LENGTHS),
        "standard": Extent(
            (1, 2, 3, 4, 5, 7, 8, 9, 17, 33, 65, 129, 257),
            12,
            (1023, *_LENGTHS),
            cost=Load(3.0, 1_600_000, 106_000_000),
        ),
        "deep": Extent(
            (*range(1, 18), 33, 65, 129, 257, 513),
            64,
            (1023, *_LENGTHS, 16_385),
            cost=Load(7.0, 4_400_000, 221_000_000),
        ),
    }
)
"""By name; the efforts of `run` have theirs by `Effort.extent`. `brief` is what a unit test has time for."""


def extent_of(effort: str) -> Extent:
    """Return the extent of that name.

    Raises:
        ValueError: there is none.
    """
    if effort not in EXTENTS:
        raise ValueError(f"effort {effort!r}: it is one of {', '.join(EXTENTS)}")
    return EXTENTS[effort]


_LONG: Final = ("standard-normal", "tied", "wide-normal", "partly-tied")
"""The first of them is the likeliest to show another order of additions."""


@dataclass(frozen=True)
class RowsOfLength:
    """Rows (k, n) of several regimes, and the regime and number of each."""

    x: Array
    regimes: tuple[str, ...]
    numbers: tuple[int, ...]
    is_thin: bool = False

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
            self.is_thin,
        )

    def thinned(self, fmt: FloatFormat) -> RowsOfLength:
        """Return the rows with all but a few entries lowered to -Omega, where exp is 0.

        Their sums have few terms, and so little error in any order, however long the rows are.
        """
        x = np.full_like(self.x, _lowest(fmt))
        for number, (row, thin) in enumerate(zip(self.x, x, strict=True)):
            kept = _kept(number, *self.x.shape)
            thin[kept] = row[kept]
        return replace(self, x=x, is_thin=True)

    def origin(self, place: int) -> str:
        """Say where a row comes from."""
        return f"row {self.numbers[place]}" + (", all but a few entries lowered" if self.is_thin else "")


MOST_KEPT: Final = 12
"""Entries of a thinned row that are not lowered: 11 additions, about as many as levels of pairs in 1025."""


def are_thin(fmt: FloatFormat, x: Array) -> NDArray[np.bool_]:
    """Tell which rows have few entries above -Omega."""
    return np.asarray((x > _lowest(fmt)).sum(axis=1) <= MOST_KEPT)


def _lowest(fmt: FloatFormat) -> Any:
    return fmt.from_float64(-float(fmt.largest))


def _kept(number: int, rows: int, length: int) -> list[int]:
    """Return the places that a row keeps: both ends, one between, and half of the edges of blocks.

    Rows beside each other have the two halves, so that no place is seen by one regime alone.
    """
    edges = [edge for k in range(8, length.bit_length()) for edge in ((1 << k) - 1, 1 << k) if edge < length]
    between = (number + 1) * length // (rows + 1)
    return sorted({0, length - 1, between, *edges[number % 2 :: 2][-(MOST_KEPT - 3) :]})


@lru_cache(maxsize=8)
def rows_of(
    fmt: FloatFormat, extent: Extent, seed: int, within: LogitRange | None = None
) -> tuple[RowsOfLength, ...]:
    """Return the rows of each length, the shortest first; they depend on these arguments alone."""
    return tuple(_drawn(fmt, extent, seed, within))


def _drawn(fmt: FloatFormat, extent: Extent, seed: int, within: LogitRange | None) -> Iterator[RowsOfLength]:
    for length in sorted({*extent.lengths, *extent.long}):
        rows = extent.rows if length in extent.lengths else 1
        wanted = REGIMES if length in extent.lengths else _LONG
        names = [name for name in wanted if REGIMES[name].supports(fmt, length, within)]
        drawn = [REGIMES[name].rows(fmt, rows, length, seed, 0, within) for name in names]
        regimes = tuple(name for name in names for _ in range(rows))
        yield RowsOfLength(np.concatenate(drawn), regimes, tuple(range(rows)) * len(names))
