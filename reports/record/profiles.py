"""The places of errors and failures in the input: the bins of the pictures.

Bins come from the exponent and the first bits of a float64 encoding, so that they are the same on every
machine. Elements are binned by their gap x_max - x_i; rows by their place: the largest logit, with its
sign, and the spread between the largest and the smallest entry that is not -inf.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GAPS",
    "KINDS",
    "LOGITS",
    "PLACE_COUNTS",
    "SIDE",
    "SPREADS",
    "Scale",
    "place_key",
    "place_numbers",
    "place_of",
]


@dataclass(frozen=True)
class Scale:
    """Bins of nonnegative numbers: one below 2^least, 2^finer a binade, and one from 2^most on."""

    least: int
    most: int
    finer: int

    @property
    def count(self) -> int:
        """The number of bins."""
        return ((self.most - self.least) << self.finer) + 2

    @property
    def shift(self) -> int:
        """The number of low bits of an encoding that do not affect the bin."""
        return 52 - self.finer

    @property
    def offset(self) -> int:
        """The offset of the other bits, so that bin 1 begins at 2^least."""
        return ((1023 + self.least) << self.finer) - 1

    def bins(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin of each value, which is nonnegative or +inf."""
        codes = np.ascontiguousarray(values).view(np.int64) >> self.shift
        return np.asarray(np.clip(codes - self.offset, 0, self.count - 1))

    def lower(self, number: int) -> float:
        """Return the least value of a bin, 0 for the first; of one past the last, +inf."""
        if number <= 0:
            return 0.0
        if number >= self.count:
            return float("inf")
        (value,) = struct.unpack("<d", struct.pack("<q", (number + self.offset) << self.shift))
        return float(value)

    def position(self, value: float) -> float:
        """Return where a nonnegative value lies, one unit a bin."""
        (code,) = struct.unpack("<q", struct.pack("<d", value))
        return float(min(max(code / 2.0**self.shift - self.offset, 0.0), self.count))


GAPS: Final = Scale(least=-6, most=11, finer=2)
"""Bins of the gap x_max - x_i, four a binade; e^-2048 is 0 in every format."""

LOGITS: Final = Scale(least=-2, most=12, finer=1)
"""Bins of the magnitude of the largest logit of a row, two a binade."""

SPREADS: Final = Scale(least=-2, most=12, finer=1)
"""Bins of the spread of a row, two a binade."""

PLACE_COUNTS: Final = ("rows", "overflow", "total_underflow", "inaccurate", "unexplained", "underflow")
"""The kinds of rows that are counted in a place; `underflow`: rows with at least one spurious zero."""

SIDE: Final = 64
"""The most columns and spreads in the number of a place,"""

KINDS: Final = 8
"""and the most counts in its keys."""


def place_numbers(largest: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of each row's place, from its largest logit and its spread."""
    size = LOGITS.bins(np.abs(largest))
    column = np.where(largest < 0, -size, size)
    return (column + SIDE // 2) * SIDE + SPREADS.bins(spread)


def place_key(place: Any, kind: str) -> Any:
    """Return the key of a count: that of `PLACE_COUNTS` of that name, in a place or an array of places."""
    return place * KINDS + PLACE_COUNTS.index(kind)


def place_of(key: int) -> tuple[int, int, str]:
    """Return the column (the bin of `LOGITS`, negative for negative logits), the spread's bin, the kind."""
    place, kind = divmod(key, KINDS)
    column, row = divmod(place, SIDE)
    return column - SIDE // 2, row, PLACE_COUNTS[kind]
