"""The numbers that logits may be: what a kernel made for a range of logits is asked about.

An entry is in a range where LOW <= entry <= HIGH. So -inf, as masks leave it, is in a range whose LOW is
-inf, and NaN in none. Rows that are given (corpora, a user's file) are kept whole or left out; rows that are
drawn are brought into the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.fixed import FixedRows
from strategies.source import F64, I64
from strategies.thresholds import at_least, at_most, log_smallest_subnormal

__all__ = ["LogitRange"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

_HOW = "give two numbers, the lower first, such as --range -20,20; -inf lets masked entries in"


@dataclass(frozen=True)
class LogitRange:
    """The numbers from `low` to `high`, both of them in it.

    Raises:
        ValueError: an end is NaN, the lower end is the greater one, or no finite number lies between.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high or self.low == math.inf or self.high == -math.inf:
            raise ValueError(f"range {self}: no logit is in it; {_HOW}")

    def __str__(self) -> str:
        """Write it as it is given."""
        return f"{_written(self.low)},{_written(self.high)}"

    @classmethod
    def of(cls, given: str | Sequence[float]) -> Self:
        """Return the range that `LOW,HIGH` or two numbers say.

        Raises:
            ValueError: they say none.
        """
        parts = given.split(",") if isinstance(given, str) else list(given)
        shown = given if isinstance(given, str) else ",".join(map(str, parts))
        try:
            low, high = map(float, parts)
        except (TypeError, ValueError):
            raise ValueError(f"range {shown!r}: not LOW,HIGH; {_HOW}") from None
        if math.isnan(low) or math.isnan(high):
            raise ValueError(f"range {shown!r}: NaN is no end of a range; {_HOW}")
        return cls(low, high)

    def document(self) -> list[float | str]:
        """Return both ends as JSON carries them."""
        return [end if math.isfinite(end) else _written(end) for end in (self.low, self.high)]

    def holds_number(self, value: float) -> bool:
        """Tell whether a number is in it; NaN never is."""
        return self.low <= value <= self.high

    def require(self, fmt: FloatFormat) -> None:
        """Refuse a format that does not reach as far, or has no number in the range.

        Raises:
            ValueError: an end is finite and beyond the format, or no number of the format is in the range.
        """
        largest = float(fmt.largest)
        for end in (self.low, self.high):
            if largest < abs(end) < math.inf:
                raise ValueError(
                    f"range {self}: {fmt} ends at {largest:g}; give ends within it, or another --format"
                )
        lowest, highest = self.ordinals(fmt)
        if lowest > highest:
            raise ValueError(f"range {self}: no number of {fmt} is in it; give a wider one")

    def ordinals(self, fmt: FloatFormat) -> tuple[int, int]:
        """Return the ordinals of the least and the greatest finite number of a format in the range."""
        return _ends(self, fmt)

    def nearest(self, fmt: FloatFormat, value: float) -> float:
        """Return the number of the format in the range that is nearest to a number."""
        ordinal = _ordinals(fmt, fmt.from_float64([value]))
        return float(_values(fmt, np.clip(ordinal, *self.ordinals(fmt)))[0])

    def holds(self, fmt: FloatFormat, x: Array) -> Flags:
        """Tell of which rows (k, n) every entry is in the range."""
        values = fmt.to_float64(x)
        return np.asarray(((values >= self.low) & (values <= self.high)).all(axis=1))

    def of_fixed(self, fmt: FloatFormat, fixed: FixedRows) -> FixedRows | None:
        """Return those rows of which every entry is in the range; None where there is none."""
        kept = np.flatnonzero(self.holds(fmt, fixed.rows)).tolist()
        if len(kept) == len(fixed.rows):
            return fixed
        return (
            FixedRows(fixed.length, fixed.rows[kept], tuple(fixed.labels[i] for i in kept)) if kept else None
        )

    def fitted(self, fmt: FloatFormat, x: Array) -> Array:
        """Return rows (k, n) with every number in the range; those that are in it stay as they are.

        Of a row that is not, larger entries stay larger or become equal, and equal ones stay equal. It is
        moved by a constant where its spread fits into the range; a wider one is squeezed between the ends,
        in steps of the format's own numbers, so that small magnitudes stay apart as large ones do. -inf
        becomes the least number where the range does not hold it; NaN and +inf are left.
        """
        outside = ~self.holds(fmt, x)
        if not outside.any():
            return x
        fitted = x.copy()
        fitted[outside] = self._brought_in(fmt, x[outside])
        return fitted

    def _brought_in(self, fmt: FloatFormat, x: Array) -> Array:
        lowest, highest = self.ordinals(fmt)
        ordinals, values = _ordinals(fmt, x), fmt.to_float64(x)
        finite = np.isfinite(values)
        some = finite.any(axis=1)
        least = np.where(some, np.where(finite, values, np.inf).min(axis=1), 0.0)
        most = np.where(some, np.where(finite, values, -np.inf).max(axis=1), 0.0)
        least_value, most_value = _values(fmt, np.array([lowest, highest])).tolist()
        with np.errstate(over="ignore", invalid="ignore"):
            wide = most - least > min(most_value - least_value, -2 * log_smallest_subnormal(fmt))
            constant = np.where(least < least_value, least_value - least, np.minimum(0.0, most_value - most))
            moved = _ordinals(fmt, fmt.from_float64(np.where(finite, values, 0.0) + constant[:, None]))
        squeezed = _squeezed(ordinals, finite, lowest, highest)
        placed = np.clip(np.where(wide[:, None], squeezed, moved), lowest, highest)
        if self.low > -math.inf:
            finite = finite | np.isneginf(values)
            placed = np.where(np.isneginf(values), lowest, placed)
        return np.where(finite, fmt.from_bits(fmt.from_ordinals(placed)), x)


def _squeezed(ordinals: I64, finite: Flags, lowest: int, highest: int) -> I64:
    """Map the finite ordinals of each row, from its least to its greatest, evenly to ordinals of the range.

    An end of the row that is in the range stays. Differences of ordinals may take 64 bits: they are
    unsigned, and subtracted modulo 2^64.
    """
    info = np.iinfo(np.int64)
    least = np.where(finite, ordinals, info.max).min(axis=1, keepdims=True)
    most = np.where(finite, ordinals, info.min).max(axis=1, keepdims=True)
    start = np.where((least >= lowest) & (least <= highest), least, lowest)
    end = np.where((most >= lowest) & (most <= highest), most, highest)
    place = _difference(np.where(finite, ordinals, least), least).astype(np.float64)
    whole = np.maximum(_difference(np.maximum(most, least), least).astype(np.float64), 1.0)
    reach = _difference(end, start)
    steps = np.minimum((place / whole * reach.astype(np.float64)).astype(np.uint64), reach)
    return np.asarray((start.astype(np.uint64) + steps).astype(np.int64))


def _difference(a: I64, b: I64) -> NDArray[np.uint64]:
    return np.asarray(a.astype(np.uint64) - b.astype(np.uint64))


@cache
def _ends(within: LogitRange, fmt: FloatFormat) -> tuple[int, int]:
    largest = float(fmt.largest)
    low, high = max(within.low, -largest), min(within.high, largest)
    least, most = at_least(fmt, [low]), at_most(fmt, [high])
    (lowest,), (highest,) = (_ordinals(fmt, fmt.from_float64(end)).tolist() for end in (least, most))
    return lowest, highest


def _ordinals(fmt: FloatFormat, x: Array) -> I64:
    return fmt.ordinals(fmt.to_bits(x))


def _values(fmt: FloatFormat, ordinals: I64) -> F64:
    return fmt.to_float64(fmt.from_bits(fmt.from_ordinals(ordinals)))


def _written(end: float) -> str:
    short = f"{end:g}"
    return short if float(short) == end else repr(end)
