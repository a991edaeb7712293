"""Differences that the outputs of one row settle: those that are nearly tied, and those far apart.

*Nearly tied*: a gap of t <= 2^-(p + 2), p the precision of the outputs. *Far apart*: a gap beyond
`bulk.reach`, at which exp(-gap) <= 2^-22 eta/2, eta the least subnormal of the outputs.

**Probabilities** (`Counted`):

- Nearly tied, outputs 1/2: their errors are at most t/4 2^(p + 1) < 1/8 ULP, and less than those of the pair
  at 2^-(p + 2): if its outputs are 1/2 too, since errors grow with the gap; else since another number is
  further off. The row with the greater gap is called.
- Far apart, outputs 1 and 0: both are right, and their errors below every tolerance. The row with the lesser
  gap is called.

**Logarithms** (`Dominated`), r_1 = -log(1 + exp(-g)) and r_2 = -log(1 + exp(g)):

- Nearly tied, the outputs of a tied pair: both results keep within t/2 of -log 2, and |r| in (1/2, 1), where
  the ulp is the same. So |y - r| is greatest at an end of all gaps with these outputs. Differences 0 and 1
  are measured, and of those that are settled the last one.
- Far apart, outputs 0 and z: |r_1| < 2^-22 eta, and |z - r_2| < u/2 + 2^-22 eta, u the distance of numbers at
  z. A difference that is measured has an error as great, whatever its outputs: where z is even its two ends
  are u apart, so that z is u/2 off at one of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.exhaust.bulk import reach, settled_tally
from harness.exhaust.differences import Differences
from harness.exhaust.shift import Called
from harness.subject.subject import Subject
from reference.formats import FloatFormat
from reference.pairs import Pairs
from reports.record.tally import Tally

__all__ = ["Quiet", "edges", "quiet_of"]

Array = NDArray[Any]
Numbers = NDArray[np.int64]
Call = Callable[[Array], Called]

LENGTH = 2


def edges(differences: Differences, out: FloatFormat) -> tuple[int, int]:
    """Return the first differences that are not nearly tied, and that are far apart."""
    fmt = differences.fmt
    tied = max(fmt.round(Fraction(1, 2 ** (out.precision + 2))), 1)
    beyond = reach(out, LENGTH) + 1
    far = fmt.round(Fraction(beyond)) + 1 if beyond < fmt.largest else differences.overflow
    return tied, max(min(far, differences.overflow), tied)


class Quiet(ABC):
    """What becomes of some differences that are nearly tied or far apart.

    Args:
        differences: all of them.
        out: the outputs' format.
    """

    def __init__(self, differences: Differences, out: FloatFormat) -> None:
        self._differences, self._out = differences, out

    @abstractmethod
    def ties_left(self, numbers: Numbers, call: Call) -> Numbers:
        """Call a row of each nearly tied difference, and return those that are to be measured."""

    @abstractmethod
    def extremes_left(self, numbers: Numbers, call: Call) -> Numbers:
        """Call a row of each difference that is far apart, and return those that are to be measured."""

    def to_measure(self) -> Iterator[Numbers]:
        """Yield what is to be measured when all have been called."""
        yield from ()

    def tallies(self) -> Iterator[Tally]:
        """Yield the counts of those that are settled."""
        yield from ()


def quiet_of(subject: Subject, differences: Differences) -> Quiet:
    """Return what settles the differences of a candidate.

    Raises:
        ValueError: the results of its op depend on more than the gap.
    """
    op = subject.op
    if op.pairs is None:
        raise ValueError(f"op {op}: its results depend on more than the gap of a pair")
    return (
        Counted(differences, subject.out) if op.underflows else Dominated(differences, subject.out, op.pairs)
    )


class Counted(Quiet):
    """Those of probabilities: their outputs are known, and are counted."""

    def __init__(self, differences: Differences, out: FloatFormat) -> None:
        super().__init__(differences, out)
        one, half = (out.round(Fraction(1, k)) for k in (1, 2))
        self._tied = np.array([half, half], dtype=out.bits_dtype)
        self._far = np.array([one, 0], dtype=out.bits_dtype)
        self._nearly_tied = self._far_apart = 0

    def ties_left(self, numbers: Numbers, call: Call) -> Numbers:
        left = self._unsettled(numbers, 0, self._tied, call)
        self._nearly_tied += numbers.size - left.size
        return left

    def extremes_left(self, numbers: Numbers, call: Call) -> Numbers:
        left = self._unsettled(numbers, 1, self._far, call)
        self._far_apart += numbers.size - left.size
        return left

    def tallies(self) -> Iterator[Tally]:
        yield _tied_tally(self._nearly_tied)
        yield settled_tally(self._far_apart, LENGTH)

    def _unsettled(self, numbers: Numbers, end: int, expected: Array, call: Call) -> Numbers:
        if not numbers.size:
            return numbers
        outcome = call(self._differences.ends(numbers)[:, end]).outcome
        if outcome.outputs is None:
            return numbers
        left: Numbers = numbers[~(outcome.completed & _same(self._out, outcome.outputs, expected))]
        return left


class Dominated(Quiet):
    """Those of logarithms: others that are measured have errors as great."""

    def __init__(self, differences: Differences, out: FloatFormat, pairs: Pairs) -> None:
        super().__init__(differences, out)
        self._pairs = pairs
        self._last: Numbers = np.empty(0, dtype=np.int64)

    def ties_left(self, numbers: Numbers, call: Call) -> Numbers:
        if not numbers.size:
            return numbers
        ends = self._differences.ends(np.append(numbers, 0))[:, 0]
        outcome = call(ends).outcome
        if outcome.outputs is None or not outcome.completed[-1]:
            return numbers
        tied = self._out.to_bits(outcome.outputs[-1])
        settled = outcome.completed & _same(self._out, outcome.outputs, tied)
        settled = settled[:-1] & (numbers > 1)
        if settled.any():
            self._last = numbers[settled][-1:]
        left: Numbers = numbers[~settled]
        return left

    def extremes_left(self, numbers: Numbers, call: Call) -> Numbers:
        if not numbers.size:
            return numbers
        outcome = call(self._differences.ends(numbers)[:, 1]).outcome
        if outcome.outputs is None:
            return numbers
        fmt = self._differences.fmt
        far = self._pairs.far(fmt.to_float64(fmt.from_bits(self._differences.plain(numbers[:, None])))[:, 1])
        settled = outcome.completed & (self._out.to_float64(outcome.outputs) == far).all(axis=1)
        left: Numbers = numbers[~settled | (numbers == self._differences.overflow)]
        return left

    def to_measure(self) -> Iterator[Numbers]:
        if self._last.size:
            yield self._last


def _same(out: FloatFormat, y: Array, expected: Array) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (out.to_bits(y) == expected).all(axis=1)
    return same


def _tied_tally(rows: int) -> Tally:
    """Count nearly tied rows with outputs 1/2: all correctly rounded, within 1/8 ULP that is not counted."""
    if not rows:
        return Tally()
    elements = rows * LENGTH
    return Tally(
        rows=rows,
        completed=rows,
        elements=elements,
        positive=elements,
        representable=elements,
        correct=elements,
        faithful=elements,
        row_kinds={"finite": rows},
        outcomes={"ok": rows},
        classes={"normal": elements},
    )
