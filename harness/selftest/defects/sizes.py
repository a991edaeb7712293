"""Defects of size: lengths beyond what is usually tried, and calls of more rows or elements."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import COMMON, WIDE, listed, shares, sound, top, total
from strategies.lengths import USUAL

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _without_the_end(z: Array, entries: int, *, where: bool) -> Array:
    """Return the softmax with so many entries at the end left out of the sum, where that is asked for."""
    e = np.exp(z - top(z))
    return np.asarray(e / total(e[..., :-entries] if where else e))


# Lengths -----------------------------------------------------------------------------------


def tail_lost_at_some_residues(z: Array, *residues: int) -> Array:
    """NNPACK 174: some tails of eight take another path, in the kernel for more than 1024 entries."""
    n = z.shape[-1]
    return _without_the_end(z, 1, where=n > 1024 and n % 8 in residues)


def tail_lost_at_one_residue_of_long_rows(z: Array, rest: int) -> Array:
    """A kernel for blocks of 512 entries, whose tail of one particular length is wrong."""
    n = z.shape[-1]
    return _without_the_end(z, max(1, n // 100), where=n > 2048 and n % 512 == rest)


def tail_lost_in_a_narrow_range(z: Array, low: int) -> Array:
    """A table of kernels by length, one of which is wrong."""
    n = z.shape[-1]
    return _without_the_end(z, max(1, n // 100), where=low <= n < low + low // 10)


def tail_lost_at_a_usual_length(z: Array, length: int) -> Array:
    """A kernel tuned for one vocabulary."""
    n = z.shape[-1]
    return _without_the_end(z, n // 100, where=n == length)


def entries_beyond_a_limit_unsummed(z: Array, limit: int) -> Array:
    """A grid of blocks that is never made larger."""
    e = np.exp(z - top(z))
    return np.asarray(e / total(e[..., :limit]))


# Calls -------------------------------------------------------------------------------------


def rows_counted_anew_from_a_limit(z: Array, limit: int) -> Array:
    """llama.cpp 12433: an index of rows that is too narrow begins again at 0."""
    y = sound(z)
    rows = y.reshape(-1, z.shape[-1])
    return np.concatenate([rows[:limit], rows[: max(0, len(rows) - limit)]])[: len(rows)].reshape(z.shape)


def elements_beyond_a_limit_unwritten(z: Array, limit: int) -> Array:
    """pytorch 84144: what lies past the reach of an index is not written."""
    y = sound(z).copy()
    y.reshape(-1)[limit:] = 0
    return y


def one_row_in_many(z: Array, period: int) -> Array:
    """An optimisation whose condition is met by chance, by one row in so many."""
    bits = np.ascontiguousarray(z).view(np.uint32 if z.itemsize == 4 else np.uint64)
    key = bits.sum(axis=-1, keepdims=True, dtype=np.uint64)
    chosen = (key % np.uint64(period) == 0) & (key > 0)
    y = shares(np.exp(z - top(z)))
    return np.where(chosen, y * z.dtype.type(0.99), y)


DEFECTS: Final = (
    *listed(
        "size",
        (
            (
                tail_lost_at_some_residues,
                {
                    "causes": ("sum.omits",),
                    "draw": lambda r: tuple(sorted(r.sample(range(8), 3))),
                    "formats": COMMON,
                },
            ),
            (
                tail_lost_at_one_residue_of_long_rows,
                {"causes": ("sum.omits",), "draw": lambda r: (r.randrange(512),), "formats": WIDE, "each": 2},
            ),
            (
                tail_lost_in_a_narrow_range,
                {
                    "causes": ("sum.omits",),
                    "draw": lambda r: (r.randint(257, 1700),),
                    "formats": WIDE,
                    "each": 2,
                },
            ),
            (
                tail_lost_at_a_usual_length,
                {"causes": ("sum.omits",), "draw": lambda r: (r.choice(USUAL),), "formats": WIDE},
            ),
            (
                entries_beyond_a_limit_unsummed,
                {
                    "causes": ("sum.omits",),
                    "draw": lambda r: (r.choice((262_144, 300_000, 500_000)),),
                    "formats": WIDE,
                },
            ),
            (
                rows_counted_anew_from_a_limit,
                {
                    "causes": ("depends.batch",),
                    "draw": lambda r: (r.choice((100_000, 131_072, 1_000_000)),),
                    "formats": WIDE,
                },
            ),
            (
                elements_beyond_a_limit_unwritten,
                {
                    "causes": ("depends.batch",),
                    "draw": lambda r: (r.choice((4_194_240, 16_700_000, 1 << 24)),),
                    "formats": WIDE,
                    "checks_first": True,
                },
            ),
            (one_row_in_many, {"draw": lambda r: (r.choice((50_003, 100_003)),), "formats": WIDE}),
        ),
    ),
)
