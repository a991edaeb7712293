"""Where a regime takes its choices from, so that each regime is written once.

A regime builds rows out of uniform, normal and integer choices asked of a `Source`.
`strategies.words.Words` answers in bulk from a seeded generator; `strategies.examples.Examples`
answers from Hypothesis, one row at a time, in such a way that a smaller choice is a simpler
row. Both views of a regime are therefore the same family by construction.

A regime should be written so that the choice 0 is the simplest one: kind 0, the first
position, no spread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import lcm, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["F64", "I64", "Source"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Shape = tuple[int, ...]


class Source(ABC):
    """Choices for rows; three of them are drawn, the others follow."""

    @abstractmethod
    def uniform(self, shape: Shape) -> F64:
        """Return multiples of 2^-53 in [0, 1)."""

    @abstractmethod
    def normal(self, shape: Shape) -> F64:
        """Return standard normal values."""

    @abstractmethod
    def below(self, bound: ArrayLike, shape: Shape) -> I64:
        """Return integers in [0, bound), for bounds in [1, 2^63) that broadcast to `shape`."""

    def between(self, low: ArrayLike, high: ArrayLike, shape: Shape) -> F64:
        """Return low + (high - low) u for u uniform in [0, 1)."""
        start = np.asarray(low, dtype=np.float64)
        result: F64 = start + (np.asarray(high, dtype=np.float64) - start) * self.uniform(shape)
        return result

    def chance(self, probability: ArrayLike, shape: Shape) -> NDArray[np.bool_]:
        """Return True with the given probability; False is the simpler choice."""
        result: NDArray[np.bool_] = self.uniform(shape) >= 1.0 - np.asarray(probability, dtype=np.float64)
        return result

    def magnitude(self, lowest: ArrayLike, highest: ArrayLike, shape: Shape) -> F64:
        """Return (1 + u) 2^e for e uniform in lowest..highest (integers, in float64's range)."""
        start = np.asarray(lowest, dtype=np.int64)
        exponent = start + self.below(np.asarray(highest, dtype=np.int64) - start + 1, shape)
        result: F64 = np.ldexp(1.0 + self.uniform(shape), exponent)
        return result

    def sign(self, shape: Shape) -> F64:
        """Return 1 or -1."""
        return (1 - 2 * self.below(2, shape)).astype(np.float64)

    def turns(self, *sizes: int, rows: int) -> tuple[I64, ...]:
        """Return one index array of shape (rows,) for each size, nearly all of them changing at every row.

        They go through all combinations in turn, starting anywhere, so that few rows still
        meet every kind of a regime, and many rows every kind at every place.
        """
        count = np.arange(rows) + self.below(prod(sizes), (1,))
        indices, period = [], 1
        for size in sizes:
            stretch = lcm(period, size)
            period *= size
            indices.append((count + count % period // stretch) % size)
        return tuple(indices)
