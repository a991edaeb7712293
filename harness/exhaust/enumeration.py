"""All rows of a format and length, numbered, so that any range of them can be made anywhere.

A row is a tuple of indices into the format's finite numbers, smallest first. Where the order of
entries may be ignored, only rows with s_0 >= s_1 >= ... are made, one for each multiset; the number of
such a row is sum_k C(s_k + n - 1 - k, n - k), the combinatorial number system of multisets
(Knuth, TAOCP 4A, 7.2.1.3). Otherwise its digits to the base of the count of numbers are the indices.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled
from reference.formats import FloatFormat

__all__ = ["Enumeration"]


@dataclass(frozen=True)
class Enumeration:
    """The rows of a format and a length.

    Attributes:
        fmt: the format.
        length: entries of a row.
        unordered: whether rows that differ in the order of entries count once.
        one_zero: whether -0 is left out, as it is the same number as +0.
    """

    fmt: FloatFormat
    length: int
    unordered: bool
    one_zero: bool

    @property
    def zeros(self) -> int:
        """How many zeros there are."""
        return 1 if self.one_zero or not self.fmt.has_negative_zero else 2

    @property
    def numbers(self) -> int:
        """How many finite numbers, or encodings of them, an entry can be."""
        return 2 * self.fmt.largest_ordinal + self.zeros

    @property
    def rows(self) -> int:
        """How many rows there are."""
        if self.unordered:
            return comb(self.numbers + self.length - 1, self.length)
        return int(self.numbers**self.length)

    def __str__(self) -> str:
        """Say which rows these are."""
        if self.fmt.has_negative_zero:
            zeros = ", -0 and +0 as one" if self.one_zero else ", -0 and +0 apart"
        else:
            zeros = ""
        if self.length == 1:
            return f"every finite {self.fmt} number{zeros}"
        kind = {2: "pair", 3: "triple"}.get(self.length, f"row of {self.length}")
        order = "unordered " if self.unordered else ""
        return f"every {order}{self.fmt} {kind} of finite numbers{zeros}"

    def indices(self, number: int) -> list[int]:
        """Return the indices of the entries of a row."""
        if not self.unordered:
            return [number // self.numbers**k % self.numbers for k in reversed(range(self.length))]
        indices = []
        for left in range(self.length, 0, -1):
            before = _Binomials(left, self.numbers)
            indices.append(bisect_right(before, number) - 1)
            number -= before[indices[-1]]
        return indices

    def encodings(self, first: int, count: int) -> NDArray[Any]:
        """Return the encodings of `count` rows from number `first` on, shape (count, n)."""
        bits: NDArray[Any] = np.empty((count, self.length), dtype=self.fmt.bits_dtype)
        largest = self.fmt.largest_ordinal
        negatives = largest + self.zeros - 1
        _fill(
            np.array(self.indices(first), dtype=np.int64),
            self.numbers,
            self.unordered,
            negatives,
            largest,
            self.fmt.sign_bit,
            bits,
        )
        return bits


@dataclass(frozen=True)
class _Binomials:
    """C(s + left - 1, left) for s = 0, 1, ...: how many multisets have all entries below s."""

    left: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, s: int) -> int:
        return comb(s + self.left - 1, self.left)


@compiled
def _fill(
    indices: Any, numbers: int, unordered: bool, negatives: int, largest: int, sign: int, bits: Any
) -> None:
    """Write the encodings of a row and of its successors; `indices` is used up."""
    rows, n = bits.shape
    for row in range(rows):
        for j in range(n):
            index = indices[j]
            bits[row, j] = (largest - index) | sign if index < negatives else index - negatives
        j = n - 1
        while j > 0 and indices[j] == (indices[j - 1] if unordered else numbers - 1):
            indices[j] = 0
            j -= 1
        indices[j] += 1
