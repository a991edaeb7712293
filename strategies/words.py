"""Choices from raw generator words: the same key gives the same bits on every machine.

A key is hashed with SHA-256 into the key of NumPy's Philox counter generator, whose
`random_raw` is the only thing taken from it: NumPy may change its distributions between
versions, but not the words of a bit generator. All else is done here in IEEE-exact operations.
"""

from __future__ import annotations

import hashlib
import json
from math import prod
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strategies.elementary import normal_quantile
from strategies.source import F64, I64, Shape, Source

__all__ = ["Words"]

U64 = NDArray[np.uint64]

_LOW: Final = np.uint64(0xFFFFFFFF)
_32: Final = np.uint64(32)
_11: Final = np.uint64(11)

_SMALL: Final = 2**16
"""Bounds up to here take 32 bits of a word; each integer then has at least 2^16 of them."""


class Words(Source):
    """A stream of 64-bit words named by a key, and what is made of them.

    Args:
        key: strings and integers; different keys give independent streams.
    """

    def __init__(self, key: tuple[str | int, ...]) -> None:
        digest = hashlib.sha256(json.dumps(key).encode()).digest()
        self._generator = np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64))

    def words(self, shape: Shape) -> U64:
        """Return raw words, uniform over all 64-bit integers."""
        words: U64 = np.asarray(self._generator.random_raw(prod(shape)), dtype=np.uint64)
        return words.reshape(shape)

    def uniform(self, shape: Shape) -> F64:
        """Return multiples of 2^-53 in [0, 1): the upper 53 bits of one word each."""
        result: F64 = (self.words(shape) >> _11).astype(np.float64) * 2.0**-53
        return result

    def normal(self, shape: Shape) -> F64:
        """Return standard normal values, by inversion, two from each word.

        The probabilities are (i + 1/2) 2^-32, so values reach +-6.3 and are symmetrical about 0.
        """
        count = prod(shape)
        words = self.words(((count + 1) // 2,)).astype("<u8", copy=False)
        q: F64 = words.view("<i4")[:count].astype(np.float64) + 0.5
        q *= 2.0**-32
        return normal_quantile(q).reshape(shape)

    def below(self, bound: ArrayLike, shape: Shape) -> I64:
        """Return integers in [0, bound), the high half of a word times the bound.

        No integer's probability differs from another's by more than 2^-64; for one small bound,
        which takes half a word, by more than 2^-32.
        """
        limit: U64 = np.asarray(bound, dtype=np.uint64)
        if limit.size == 1 and limit.item() <= _SMALL:
            return np.asarray((self._halves(shape) * limit) >> _32, dtype=np.int64)
        return _high_product(self.words(shape), limit).astype(np.int64)

    def _halves(self, shape: Shape) -> U64:
        """Return 32-bit words, low half first."""
        count = prod(shape)
        words = self.words(((count + 1) // 2,)).astype("<u8", copy=False)
        return words.view("<u4")[:count].astype(np.uint64).reshape(shape)


def _high_product(a: U64, b: U64) -> U64:
    """Return floor(a b / 2^64), by 32-bit halves (Knuth, TAOCP 4.3.1, algorithm M)."""
    low, high = a & _LOW, a >> _32
    low_b, high_b = b & _LOW, b >> _32
    carry = high * low_b + ((low * low_b) >> _32)
    middle = (carry & _LOW) + low * high_b
    result: U64 = high * high_b + (carry >> _32) + (middle >> _32)
    return result
