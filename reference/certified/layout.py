"""How rows are laid out for vector units: blocks that stay in cache, short rows together.

A kernel works on *spans*: runs of elements of one or several rows. Rows of up to BLOCK
entries share a span, as many as fit; longer rows are cut into blocks. What belongs to a
row (its maximum, the reciprocal of its sum) is spread over the span, so that the
element-wise loops are the same for every length. What comes out for a row depends on that
row alone, never on its neighbours.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled, float_of, inlined, pattern
from reference.rows import RowKind

__all__ = [
    "BLOCK",
    "Outputs",
    "Rounding",
    "classify_rows",
    "count_open",
    "rows_per_span",
    "spread",
    "sum_height",
    "tree_sum",
    "withhold_policy_rows",
]

BLOCK: Final = 2048
"""The most elements in a span: 16 KiB of float64, so that a handful of arrays stays in L2."""

_LEAVES: Final = 8
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


def sum_height(n: int) -> int:
    """Return the most additions that a term of `tree_sum` over n <= BLOCK entries takes part in."""
    return math.ceil(math.log2(max(n, _LEAVES) / _LEAVES)) + _LEAVES - 1


@inlined
def rows_per_span(n: int) -> int:
    """Return how many rows of length n share a span; 1 for rows that are cut."""
    return max(1, BLOCK // n)


@inlined
def _key(value: float) -> int:
    """Map binary64 to integers in the order of IEEE 754's totalOrder."""
    bits: int = pattern(value)
    return bits ^ ((bits >> 63) & _MAGNITUDE)


@inlined
def _kind(largest: int, smallest: int) -> int:
    if largest > _KEY_INF or smallest < _KEY_NEG_INF:
        return _NAN
    if largest == _KEY_INF:
        return _POS_INF
    if largest == _KEY_NEG_INF:
        return _ALL_NEG_INF
    return _MASKED if smallest == _KEY_NEG_INF else _FINITE


@compiled
def classify_rows(x: Any, top: Any, kinds: Any) -> None:
    """Store the maximum and the `RowKind` of rows; integer maxima vectorise."""
    for row in range(x.shape[0]):
        largest = -_MAGNITUDE - 1
        smallest = _MAGNITUDE
        for j in range(x.shape[1]):
            key = _key(x[row, j])
            largest = max(largest, key)
            smallest = min(smallest, key)
        kinds[row] = _kind(largest, smallest)
        top[row] = float_of(largest ^ ((largest >> 63) & _MAGNITUDE))


@inlined
def withhold_policy_rows(kinds: Any, scale: Any) -> None:
    """Let policy rows come out as NaN by scaling them with it."""
    for row in range(kinds.size):
        if kinds[row] >= _NAN:
            scale[row] = np.nan


@inlined
def spread(values: Any, n: int, span: Any) -> None:
    """Repeat each row's value n times until the span is full."""
    for row in range(span.size // n):
        value = values[row]
        for j in range(row * n, row * n + n):
            span[j] = value


@compiled
def count_open(residual: Any, kinds: Any, undecided: Any) -> None:
    """Count the NaN residuals of each row that is no policy row."""
    for row in range(residual.shape[0]):
        count = 0
        if kinds[row] < _NAN:
            for j in range(residual.shape[1]):
                count += int(np.isnan(residual[row, j]))
        undecided[row] = count


@compiled
def tree_sum(values: Any, tree: Any) -> float:
    """Return the sum of at most BLOCK values by halving; `sum_height` bounds its roundings."""
    size = values.size
    half = (size + 1) // 2
    for j in range(size - half):
        tree[j] = values[j] + values[half + j]
    for j in range(size - half, half):
        tree[j] = values[j]
    while half > _LEAVES:
        size = half
        half = (size + 1) // 2
        for j in range(size - half):
            tree[j] = tree[j] + tree[half + j]
    total: float = tree[0]
    for j in range(1, half):
        total += tree[j]
    return total
