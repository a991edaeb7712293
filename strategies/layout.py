"""Where in a row something stands: defects are about positions as much as about values.

Each function takes for every row the kind of place or number wanted, counted from 0 (see
`Source.turns`), and the constants say how many kinds there are.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from strategies.source import F64, I64, Source

__all__ = ["COUNTS", "PLACES", "RUNS", "count", "grouped", "place", "put", "run", "spread_evenly"]

Mask = NDArray[np.bool_]
Number = TypeVar("Number", np.bool_, np.float64)

PLACES: Final = 4
COUNTS: Final = 4
RUNS: Final = 3

_LAST_FEW: Final = 8


def place(source: Source, kind: I64, length: int) -> I64:
    """Return an index in [0, length) for each row: first, last, anywhere, among the last eight.

    The last eight are where a vectorised loop leaves a tail.
    """
    anywhere = source.below(length, kind.shape)
    tail = length - 1 - source.below(min(length, _LAST_FEW), kind.shape)
    chosen: I64 = np.choose(
        kind, [np.zeros_like(anywhere), np.full_like(anywhere, length - 1), anywhere, tail]
    )
    return chosen


def put(values: F64, at: I64, entries: F64) -> None:
    """Set one entry of each row."""
    values[np.arange(len(values)), at] = entries


def count(source: Source, kind: I64, least: int, most: int) -> I64:
    """Return a number in [least, most] for each row: the least, the most, a power of two, any."""
    low, high = (least - 1).bit_length(), most.bit_length()
    power = np.left_shift(1, low + source.below(max(high - low, 1), kind.shape))
    anything = least + source.below(most - least + 1, kind.shape)
    chosen: I64 = np.choose(kind, [np.full_like(kind, least), np.full_like(kind, most), power, anything])
    return np.clip(chosen, least, most)


def run(source: Source, kind: I64, members: I64, length: int) -> Mask:
    """Mark so many neighbouring entries of each row: the first, the last, or anywhere (around the end)."""
    start = np.choose(kind, [np.zeros_like(members), length - members, source.below(length, kind.shape)])
    from strategies.compiled import runs

    marked = np.empty((len(start), length), dtype=np.bool_)
    runs(start, members, marked)
    return marked


def spread_evenly(members: I64, length: int) -> Mask:
    """Mark so many entries of each row, as evenly spaced as can be."""
    from strategies import compiled

    marked = np.empty((len(members), length), dtype=np.bool_)
    compiled.spread_evenly(members, marked)
    return marked


def grouped(values: NDArray[Number], kind: I64, octave: I64) -> NDArray[Number]:
    """Return rows whose entry j has the value of its group.

    Of kind 0 each entry is a group; of kind 1 blocks of 2^octave neighbours are, as a blocked loop takes
    them; of kind 2 every 2^octave-th entry, as one of so many threads does.
    """
    from strategies import compiled

    result = np.empty_like(values)
    compiled.grouped(values, kind, octave, result)
    return result
