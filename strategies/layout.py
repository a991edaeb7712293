"""Where in a row something stands: defects are about positions as much as about values.

Each function takes for every row the kind of place or number wanted, counted from 0 (see
`Source.turns`), and the constants say how many kinds there are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from strategies.source import F64, I64, Source

__all__ = ["COUNTS", "PLACES", "RUNS", "count", "place", "put", "run", "spread_evenly"]

Mask = NDArray[np.bool_]

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
    marked: Mask = ((np.arange(length) - start[:, None]) % length) < members[:, None]
    return marked


def spread_evenly(members: I64, length: int) -> Mask:
    """Mark so many entries of each row, as evenly spaced as can be."""
    edges = np.arange(length + 1) * members[:, None] // length
    marked: Mask = np.diff(edges, axis=1) > 0
    return marked
