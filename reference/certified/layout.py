"""How rows are laid out for vector units: long rows in blocks, short rows together.

A row of SHORT entries or more is worked on by itself, in blocks that stay in cache. Shorter rows
share a span, laid out column after column: the loops run down its columns, over many rows at once, and what
belongs to a row (its maximum, its sum) is one more column. What comes out for a row depends on that row
alone, never on its neighbours.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern
from reference.row_kinds import RowKind

__all__ = [
    "BLOCK",
    "LANES",
    "SHORT",
    "Grid",
    "Outputs",
    "Rounding",
    "add_lanes",
    "classify_columns",
    "classify_row",
    "count_open",
    "grid_of",
    "key_of",
    "place",
    "rows_per_span",
    "sum_of_lanes",
    "transpose",
    "transpose_back",
    "value_of",
]

BLOCK: Final = 2048
"""The most elements of a block or span: 16 KiB of float64, so that a handful of arrays stays in L2."""

SHORT: Final = 32
"""Rows with fewer entries share a span."""

LANES: Final = 32
"""Independent partial sums of a row: four AVX-512 registers, eight of AVX2."""

_FOLD: Final = 4
_MAGNITUDE: Final = (1 << 63) - 1
_KEY_INF: Final = 0x7FF << 52
_KEY_NEG_INF: Final = -(0x7FF << 52) - 1
_FINITE: Final = int(RowKind.FINITE)
_MASKED: Final = int(RowKind.MASKED)
_NAN: Final = int(RowKind.NAN)
_POS_INF: Final = int(RowKind.POS_INF)
_ALL_NEG_INF: Final = int(RowKind.ALL_NEG_INF)


class Rounding(NamedTuple):
    """The output format, and the bound on the relative error of r that decides about a rounding."""

    precision: int
    emin: int
    bound: float


class Outputs(NamedTuple):
    """What the kernels fill: arrays of a `Truth`, and how many elements of each row are open.

    An open element has a NaN residual; so has every element of a policy row, which is not counted.
    """

    nearest: NDArray[np.float64]
    residual: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    undecided: NDArray[np.int64]


# Kinds and maxima ------------------------------------------------------------------------


@inlined
def key_of(value: float) -> int:
    """Map binary64 to integers in the order of IEEE 754's totalOrder: integer maxima vectorise."""
    bits: int = pattern(value)
    return bits ^ ((bits >> 63) & _MAGNITUDE)


@inlined
def value_of(key: int) -> float:
    """Invert `key_of`."""
    value: float = float_of(key ^ ((key >> 63) & _MAGNITUDE))
    return value


@inlined
def _kind(largest: int, smallest: int) -> int:
    if largest > _KEY_INF or smallest < _KEY_NEG_INF:
        return _NAN
    if largest == _KEY_INF:
        return _POS_INF
    if largest == _KEY_NEG_INF:
        return _ALL_NEG_INF
    return _MASKED if smallest == _KEY_NEG_INF else _FINITE


@inlined
def classify_row(x: Any, row: Any) -> tuple[float, int]:
    """Return the maximum and the `RowKind` of a row."""
    largest, smallest = -_MAGNITUDE - 1, _MAGNITUDE
    for j in range(x.shape[1]):
        key = key_of(x[row, j])
        largest, smallest = max(largest, key), min(smallest, key)
    return value_of(largest), _kind(largest, smallest)


@inlined
def classify_columns(
    columns: Any, rows: int, n: int, largest: Any, smallest: Any, top: Any, kinds: Any
) -> None:
    """Store the maximum and the `RowKind` of rows given column after column; the integers are scratch."""
    largest[:rows], smallest[:rows] = -_MAGNITUDE - 1, _MAGNITUDE
    for j in range(n):
        for row in range(rows):
            key = key_of(columns[place(j, row, rows)])
            largest[row], smallest[row] = max(largest[row], key), min(smallest[row], key)
    for row in range(rows):
        top[row], kinds[row] = value_of(largest[row]), _kind(largest[row], smallest[row])


# Spans of short rows --------------------------------------------------------------------------


@inlined
def rows_per_span(n: int) -> int:
    """Return how many rows of length n a span of at most BLOCK elements holds, at least 1."""
    return max(1, BLOCK // n)


@inlined
def place(column: int, row: int, rows: int) -> Any:
    """Return where an entry of a span stands that is laid out column after column."""
    return np.uint64(column * rows) + np.uint64(row)


@inlined
def transpose(values: Any, columns: Any) -> None:
    """Copy (rows, n) values column after column: LLVM does not vectorise over strides."""
    rows, n = values.shape
    for j in range(n):
        for row in range(rows):
            columns[place(j, row, rows)] = values[row, j]


@inlined
def transpose_back(columns: Any, values: Any) -> None:
    """Invert `transpose`."""
    rows, n = values.shape
    for j in range(n):
        for row in range(rows):
            values[row, j] = columns[place(j, row, rows)]


# Sums of long rows ------------------------------------------------------------------------------


@inlined
def add_lanes(values: Any, row: int, start: int, size: int, lanes: Any) -> None:
    """Add a block of a row to its LANES partial sums, four elements at a time as (a + b) + (c + d)."""
    folded = size - size % (_FOLD * LANES)
    for first in range(start, start + folded, _FOLD * LANES):
        for lane in range(LANES):
            i = np.uint64(first) + np.uint64(lane)
            left = values[row, i] + values[row, i + np.uint64(LANES)]
            right = values[row, i + np.uint64(2 * LANES)] + values[row, i + np.uint64(3 * LANES)]
            lanes[lane] += left + right
    for j in range(folded, size):
        lanes[np.uint64(j % LANES)] += values[row, np.uint64(start) + np.uint64(j)]


@inlined
def sum_of_lanes(lanes: Any) -> float:
    """Return the sum of the partial sums, by halving."""
    half = LANES // 2
    while half:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    total: float = lanes[0]
    return total


# Rounding --------------------------------------------------------------------------------------


class Grid(NamedTuple):
    """What rounding a number on the format's grid needs, as binary64 exponent fields."""

    smallest: Any
    to_adder: Any
    to_inverse: Any
    to_quantum: Any


@inlined
def grid_of(rounding: Rounding, scale: int) -> Grid:
    """Return the grid of a format for numbers scaled by 2^scale.

    With e the binade of r and q = 2^(max(e, emin) - p + 1), from the exponent field of
    2^max(e, emin): `to_adder` leads to 2^52 q, `to_inverse` to 1 / q, `to_quantum` to q.
    """
    precision = np.int64(rounding.precision)
    return Grid(
        np.int64(rounding.emin + 1023 + scale) << FRACTION_BITS,
        (53 - precision) << FRACTION_BITS,
        (2045 + precision) << FRACTION_BITS,
        (precision - 1) << FRACTION_BITS,
    )


@compiled
def count_open(residual: Any, kinds: Any, undecided: Any) -> None:
    """Count the NaN residuals of each row that is no policy row."""
    for row in range(residual.shape[0]):
        count = 0
        if kinds[row] < _NAN:
            for j in range(residual.shape[1]):
                count += int(np.isnan(residual[row, j]))
        undecided[row] = count
