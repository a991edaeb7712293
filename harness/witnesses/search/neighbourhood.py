"""Every row next to a row: all changes of one and of two entries by up to k ulps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from harness.witnesses.search.mutations import moved
from reference.formats import FloatFormat

__all__ = ["Neighbourhood"]

Ordinals = NDArray[np.int64]

_MOST_ULPS: Final = 4


@dataclass(frozen=True)
class Neighbourhood:
    """Which changes are tried.

    Attributes:
        length: entries of a row.
        ulps: how far an entry is moved, in steps of the ordered encodings.
        entries: how many are moved at once, 1 or 2; 0 where even one is beyond what is allowed.
    """

    length: int
    ulps: int
    entries: int

    @classmethod
    def within(cls, length: int, most: int) -> Self:
        """Return the largest neighbourhood of at most so many rows; two entries before more ulps."""
        for entries in (2, 1):
            for ulps in range(_MOST_ULPS, 0, -1):
                found = cls(length, ulps, min(entries, length))
                if found.size <= most:
                    return found
        return cls(length, 0, 0)

    @property
    def size(self) -> int:
        """How many rows it has, the middle left out."""
        steps = 2 * self.ulps
        return sum(comb(self.length, count) * steps**count for count in range(1, self.entries + 1))

    def __str__(self) -> str:
        """Say what is tried."""
        what = {0: "nothing", 1: "one entry", 2: "one and two entries"}[self.entries]
        return f"all changes of {what} by up to {self.ulps} ulp{'s' if self.ulps > 1 else ''}"

    def rows(self, fmt: FloatFormat, row: Ordinals, at_once: int) -> Iterator[Ordinals]:
        """Yield the neighbours of a row, shape (n,), in batches of at most `at_once`.

        Beyond the largest finite numbers there are none, and a neighbour is repeated.
        """
        changes = self._changes()
        while batch := list(islice(changes, at_once)):
            steps = np.zeros((len(batch), self.length), dtype=np.int64)
            for neighbour, change in enumerate(batch):
                for entry, ulps in change:
                    steps[neighbour, entry] = ulps
            yield moved(fmt, np.broadcast_to(row, steps.shape), steps)

    def _changes(self) -> Iterator[tuple[tuple[int, int], ...]]:
        steps = [step for size in range(1, self.ulps + 1) for step in (size, -size)]
        if self.entries >= 1:
            yield from (((i, a),) for i in range(self.length) for a in steps)
        if self.entries == 2:
            for i, j in combinations(range(self.length), 2):
                yield from (((i, a), (j, b)) for a in steps for b in steps)
