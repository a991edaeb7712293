"""Greatest figures and their places, the first of equals, compiled: NaN is left out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled, inlined, pattern

__all__ = ["Found", "extend_greatest", "first_greatest", "greatest_rank", "rank_of"]

Floats = NDArray[np.float64]
Found = tuple[float, int, int]
"""A figure with its row and element."""

_INFINITY: Final = 0x7FF << 52


def first_greatest(figure: Floats, divisor: Floats | None = None) -> Found | None:
    """Return the greatest nonnegative figure, or figure / divisor, with its row and element.

    NaN is left out, and the first of equals is found; None where there is none.

    Args:
        figure: of shape (rows, n).
        divisor: likewise, or None.
    """
    rank, place = np.full(1, -1, dtype=np.int64), np.full(1, -1, dtype=np.int64)
    flat = np.ravel(figure)
    if divisor is None:
        extend_greatest(flat, flat, False, 0, 0, rank, place)
    else:
        extend_greatest(flat, np.ravel(divisor), True, 0, 0, rank, place)
    at = int(place[0])
    return None if at < 0 else (float(rank.view(np.float64)[0]), *divmod(at, figure.shape[1]))


@inlined
def rank_of(figure: float) -> int:
    """Return the encoding of a nonnegative figure, which orders as it does; below 0 for NaN."""
    bits: int = pattern(figure)
    return bits if bits <= _INFINITY else -1


@compiled
def greatest_rank(figure: Any) -> int:
    """Return the greatest rank of figures, of shape (n,); below 0 where all are NaN."""
    greatest = -1
    for i in range(figure.size):
        greatest = max(greatest, rank_of(figure[i]))
    return greatest


@compiled
def _greatest_ratio(figure: Any, divisor: Any) -> int:
    greatest = -1
    for i in range(figure.size):
        greatest = max(greatest, rank_of(figure[i] / divisor[i]))
    return greatest


@compiled
def extend_greatest(
    figure: Any, divisor: Any, divides: bool, base: int, which: int, ranks: Any, places: Any
) -> None:
    """Keep the rank and place of the greatest figure, or figure / divisor, if it exceeds those before."""
    greatest = _greatest_ratio(figure, divisor) if divides else greatest_rank(figure)
    if greatest > ranks[which]:
        ranks[which] = greatest
        for i in range(figure.size):
            if rank_of(figure[i] / divisor[i] if divides else figure[i]) == greatest:
                places[which] = base + i
                return
