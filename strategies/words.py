"""Choices from raw generator words: the same key gives the same bits on every machine.

A key is hashed with SHA-256 into the key of NumPy's Philox counter generator, whose words are
`strategies.compiled`'s. All else is made of them in IEEE-exact operations.
"""

from __future__ import annotations

import hashlib
import json
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strategies.source import F64, I64, Shape, Source

__all__ = ["Words"]

U64 = NDArray[np.uint64]

_SMALL: Final = 2**16
"""Bounds up to here take 32 bits of a word; each integer then has at least 2^16 of them."""


class Words(Source):
    """A stream of 64-bit words named by a key, and what is made of them.

    Args:
        key: strings and integers; different keys give independent streams.
    """

    def __init__(self, key: tuple[str | int, ...]) -> None:
        digest = hashlib.sha256(json.dumps(key).encode()).digest()
        self._low = int.from_bytes(digest[:8], "little", signed=True)
        self._high = int.from_bytes(digest[8:16], "little", signed=True)
        self._taken = 0

    def words(self, shape: Shape) -> U64:
        """Return raw words, uniform over all 64-bit integers."""
        from strategies.compiled import words

        result = np.empty(shape, dtype=np.int64)
        words(*self._next(result.size), result.reshape(-1))
        return result.view(np.uint64)

    def uniform(self, shape: Shape) -> F64:
        """Return multiples of 2^-53 in [0, 1): the upper 53 bits of one word each."""
        from strategies.compiled import uniforms

        result = np.empty(shape)
        uniforms(*self._next(result.size), result.reshape(-1))
        return result

    def normal(self, shape: Shape) -> F64:
        """Return standard normal values, by inversion, two from each word.

        The probabilities are (i + 1/2) 2^-32, so values reach +-6.3 and are symmetrical about 0.
        """
        from strategies.compiled import normals

        result = np.empty(shape)
        normals(*self._next_halves(result.size), result.reshape(-1))
        return result

    def below(self, bound: ArrayLike, shape: Shape) -> I64:
        """Return integers in [0, bound), the high half of a word times the bound.

        No integer's probability differs from another's by more than 2^-64; for one small bound,
        which takes half a word, by more than 2^-32.
        """
        limit: U64 = np.asarray(bound, dtype=np.uint64)
        if limit.size == 1 and limit.item() <= _SMALL:
            return self._small_integers(limit.item(), 0, 1, shape, np.int64)
        return self._integers(limit.view(np.int64), 0, shape)

    def sign(self, shape: Shape) -> F64:
        """Return 1 or -1."""
        return self._small_integers(2, 1, -2, shape, np.float64)

    def between(self, low: ArrayLike, high: ArrayLike, shape: Shape) -> F64:
        """Return low + (high - low) u for u uniform in [0, 1)."""
        from strategies import compiled

        start = np.asarray(low, dtype=np.float64)
        width = np.asarray(high, dtype=np.float64) - start
        rows = _rows_of(shape, start, width)
        start, width = rows.parameters
        result = np.empty(shape)
        compiled.between(*self._next(result.size), start, width, result.reshape(rows.shape))
        return result

    def chance(self, probability: ArrayLike, shape: Shape) -> NDArray[np.bool_]:
        """Return True with the given probability; False is the simpler choice."""
        from strategies.compiled import chances

        rows = _rows_of(shape, 1.0 - np.asarray(probability, dtype=np.float64))
        result = np.empty(shape, dtype=np.bool_)
        chances(*self._next(result.size), rows.parameters[0], result.reshape(rows.shape))
        return result

    def magnitude(self, lowest: ArrayLike, highest: ArrayLike, shape: Shape) -> F64:
        """Return (1 + u) 2^e for e uniform in lowest..highest (integers, of normal float64 numbers)."""
        from strategies.compiled import magnitudes

        start = np.asarray(lowest, dtype=np.int64)
        count = np.asarray(highest, dtype=np.int64) - start + 1
        if count.size == 1 and count.item() <= _SMALL and start.size == 1:
            exponents = self._small_integers(count.item(), start.item(), 1, shape, np.int64)
        elif count.size == 1 and count.item() <= _SMALL:  # a start of its own for each
            exponents = start + self.below(count, shape)
        else:
            exponents = self._integers(count, start, shape)
        result = np.empty(shape)
        magnitudes(*self._next(result.size), exponents.reshape(-1), result.reshape(-1))
        return result

    def _small_integers(self, bound: int, least: int, step: int, shape: Shape, dtype: Any) -> NDArray[Any]:
        """Return least + step k for k in [0, bound)."""
        from strategies.compiled import small_integers

        result = np.empty(shape, dtype=dtype)
        small_integers(*self._next_halves(result.size), bound, least, step, result.reshape(-1))
        return result

    def _integers(self, bound: ArrayLike, least: ArrayLike, shape: Shape) -> I64:
        """Return integers in [least, least + bound)."""
        from strategies.compiled import integers

        rows = _rows_of(shape, np.asarray(bound, dtype=np.int64), np.asarray(least, dtype=np.int64))
        result = np.empty(shape, dtype=np.int64)
        most, least = rows.parameters
        integers(*self._next(result.size), most, least, result.reshape(rows.shape))
        return result

    def _next(self, count: int) -> tuple[int, int, int]:
        """Take words, and return the key and the place of the first."""
        first = self._taken
        self._taken += count
        return self._low, self._high, first

    def _next_halves(self, count: int) -> tuple[int, int, int]:
        """Do as `_next` for halves of words, of which the last may be left over."""
        return self._next((count + 1) // 2)


class _Rows(NamedTuple):
    """An array taken as rows: its shape, and parameters of one entry for each row."""

    shape: tuple[int, int]
    parameters: tuple[NDArray[Any], ...]


def _rows_of(shape: Shape, *parameters: NDArray[Any]) -> _Rows:
    """Return how to fill an array of that shape in rows whose entries share their parameters.

    Where parameters change within a row, every entry is taken for a row of its own.
    """
    size = prod(shape)
    if all(p.size == 1 for p in parameters):
        return _Rows((1, size), tuple(p.reshape(1) for p in parameters))
    if len(shape) == 2 and all(p.size == 1 or p.shape == (shape[0], 1) for p in parameters):
        each = (np.broadcast_to(p, (shape[0], 1)) for p in parameters)
        return _Rows((shape[0], shape[1]), tuple(np.ascontiguousarray(p).reshape(-1) for p in each))
    each = (np.broadcast_to(p, shape) for p in parameters)
    return _Rows((size, 1), tuple(np.ascontiguousarray(p).reshape(-1) for p in each))
