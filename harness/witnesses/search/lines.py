"""Lines of rows: the distance of one entry from the maximum runs through numbers in succession.

An error is a smooth function of that distance d times one that looks like chance, that of exp. Evolution
finds where the smooth one is greatest; the greatest error lies beside that, at the luckiest of some hundred
numbers. So stretches of successive distances are tried, the most promising first: a line goes on in the
direction whose last stretch had the greatest score. In steps of an ulp of d, max - x is rounded by the same
amount in each row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count, islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.witnesses.search.archive import Archive
from harness.witnesses.search.mutations import Ordinals, values_of
from reference.formats import FloatFormat

__all__ = ["Lines", "Stretch"]

_MOST_ELITES: Final = 128
"""The best elites, at which lines begin."""

_DOUBLED: Final = np.array([sign * 2**k for k in range(20) for sign in (1, -1)])
"""Steps of a climb."""


@dataclass
class _Line:
    """The distances that were tried, from `low` to `high`, and the greatest score among them.

    `side` tells whether max - x is rounded up, down or not at all, which is the same for all of them.
    """

    low: float
    high: float
    best: float
    side: int


@dataclass(frozen=True)
class Stretch:
    """Successive places of one entry of a row.

    Attributes:
        line: to which it belongs.
        row: ordinals of shape (n,).
        entry: which of them runs.
        start: its first ordinal, the nearest to where the line began.
        step: from each to the next.
        lowest, highest: the ordinals between which it runs.
        doubles: whether steps of 1, 2, 4, ... to both sides of the start are tried instead: a climb to where
            the line is worth it.
    """

    line: _Line
    row: Ordinals
    entry: int
    start: int
    step: int
    lowest: int
    highest: int
    doubles: bool = False

    def rows(self, most: int) -> Ordinals:
        """Return at most so many rows; none from beyond the ends."""
        steps = _DOUBLED[:most] if self.doubles else np.arange(most)
        running = self.start + self.step * steps
        running = running[(self.lowest <= running) & (running <= self.highest)]
        rows = np.repeat(self.row[None], len(running), axis=0)
        rows[:, self.entry] = running
        return rows


@dataclass
class Lines:
    """The stretches that may be tried next; a heap, the most promising first.

    Attributes:
        lowest, highest: the least and the greatest ordinal of an entry.
    """

    fmt: FloatFormat
    lowest: int
    highest: int
    _heap: list[tuple[float, int, Stretch]] = field(default_factory=list)
    _lines: list[_Line] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def next(self, archive: Archive, most: int) -> list[Stretch]:
        """Return at most so many stretches, the most promising, of lines that go on or begin at elites.

        The mirror of an elite begins one too: the row whose max - x is rounded as much to the other side.
        """
        best = zip(archive.rows, archive.scores, archive.elements, strict=True)
        for row, score, entry in islice(best, _MOST_ELITES):
            self._begin(row, float(score), int(entry))
            self._begin(self._mirrored(row, int(entry)), float(score), int(entry))
        return [heappop(self._heap)[2] for _ in range(min(most, len(self._heap)))]

    def note(self, stretch: Stretch, scores: NDArray[np.float64]) -> None:
        """Go on behind a stretch that was tried, the sooner the greater its best score."""
        if not len(scores) or stretch.doubles:
            return
        line, best = stretch.line, float(scores.max())
        last = stretch.start + stretch.step * (len(scores) - 1)
        reached, _ = self._distance(stretch.row, last)
        line.low, line.high, line.best = min(line.low, reached), max(line.high, reached), max(line.best, best)
        self._push(best, replace(stretch, start=last + stretch.step))

    def _begin(self, row: Ordinals, score: float, entry: int) -> None:
        """Begin a line in both directions at a row, unless its distance was tried with a score as great."""
        d, side = self._distance(row, int(row[entry]))
        known = (line for line in self._lines if line.side == side and line.low <= d <= line.high)
        if d <= 0 or any(line.best >= score for line in known):
            return
        line = _Line(d, d, score, side)
        self._lines.append(line)
        step, at = self._step(row, entry, d), int(row[entry])
        climb = Stretch(line, row.copy(), entry, at, step, self.lowest, self.highest, doubles=True)
        self._push(np.inf, climb)
        for ordinals in (step, -step):
            self._push(score, replace(climb, start=at + ordinals, step=ordinals, doubles=False))

    def _mirrored(self, row: Ordinals, entry: int) -> Ordinals:
        """Return the row with its maximum moved by twice what max - x of the entry is rounded by."""
        values = values_of(self.fmt, row)
        top = int(values.argmax())
        d, rest = two_difference(float(values[top]), float(values[entry]))
        excess = d - self._rounded(d) + rest
        moved = float(values[top]) - 2 * excess
        if not math.isfinite(moved) or abs(moved) > self.fmt.largest:
            return row
        mirrored = row.copy()
        mirrored[top] = self.fmt.ordinals(self.fmt.to_bits(self.fmt.from_float64([moved])))[0]
        return mirrored

    def _distance(self, row: Ordinals, at: int) -> tuple[float, int]:
        """Return max - x of an entry at an ordinal, and to which side it is rounded in the format."""
        values = values_of(self.fmt, np.append(row, at))
        d, rest = two_difference(float(values[:-1].max()), float(values[-1]))
        return d, int(np.sign(self._rounded(d) - d) or -np.sign(rest))

    def _rounded(self, value: float) -> float:
        return float(self.fmt.to_float64(self.fmt.from_float64([value]))[0])

    def _step(self, row: Ordinals, entry: int, d: float) -> int:
        """Return how many ordinals of the entry are an ulp of d, at least 1."""
        value = abs(float(values_of(self.fmt, row[entry : entry + 1])[0]))
        finer = math.frexp(d)[1] - max(math.frexp(value)[1], self.fmt.emin + 1)
        return 1 << max(0, min(finer, self.fmt.precision))

    def _push(self, score: float, stretch: Stretch) -> None:
        if self.lowest <= stretch.start <= self.highest and score > -np.inf:
            heappush(self._heap, (-score, next(self._numbers), stretch))


def two_difference(a: float, b: float) -> tuple[float, float]:
    """Return (d, e), d = fl(a - b) and d + e = a - b exactly; (0, 0) where d overflows (TwoSum, Knuth)."""
    d = a - b
    if not math.isfinite(d):
        return 0.0, 0.0
    own = d - a
    return d, (a - (d - own)) + (-b - own)
