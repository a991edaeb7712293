"""Where in a row something stands: defects are about positions as much as about values."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from strategies.source import F64, I64, Source

__all__ = ["PLACES", "contiguous", "counts", "place", "put", "spread_evenly"]

Mask = NDArray[np.bool_]

PLACES: Final = 4
"""How many kinds of place `place` knows: first, last, anywhere, in the last few."""

_LAST_FEW: Final = 8


def place(source: Source, kind: I64, length: int) -> I64:
    """Return an index in [0, length) for each row.

    Args:
        source: where choices come from.
        kind: for each row 0 first, 1 last, 2 anywhere, 3 among the last eight, as the tail of a
            vectorised loop is.
        length: the row's length.
    """
    anywhere = source.below(length, kind.shape)
    tail = length - 1 - source.below(min(length, _LAST_FEW), kind.shape)
    return np.choose(kind, [np.zeros_like(anywhere), np.full_like(anywhere, length - 1), anywhere, tail])


def put(values: F64, at: I64, entries: F64) -> None:
    """Set one entry of each row."""
    values[np.arange(len(values)), at] = entries


def counts(source: Source, rows: int, least: int, length: int) -> I64:
    """Return for each row a number in [least, length]: the least, the most, a power of two, any."""
    (kind,) = source.turns(4, rows=rows)
    span = length - least + 1
    low, high = (max(least, 1) - 1).bit_length(), length.bit_length()
    power = np.left_shift(1, low + source.below(max(high - low, 1), (rows,)))
    anything = least + source.below(span, (rows,))
    chosen = np.choose(kind, [np.full(rows, least), np.full(rows, length), power, anything])
    return np.clip(chosen, least, length)


def contiguous(source: Source, count: I64, length: int) -> Mask:
    """Mark `count` neighbouring entries of each row: the first, the last, or wherever, around the end."""
    rows = len(count)
    (kind,) = source.turns(3, rows=rows)
    start = np.choose(kind, [np.zeros(rows, np.int64), length - count, source.below(length, (rows,))])
    return ((np.arange(length) - start[:, None]) % length) < count[:, None]


def spread_evenly(count: I64, length: int) -> Mask:
    """Mark `count` entries of each row, about evenly spaced."""
    edges = np.arange(length + 1) * count[:, None] // length
    return np.diff(edges, axis=1) > 0
