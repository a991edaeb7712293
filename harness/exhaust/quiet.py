"""Differences that the outputs of one row settle: those that are nearly tied, and those far apart.

*Nearly tied*: a gap of t <= 2^-(p + 2), p the precision of the outputs. *Far apart*: a gap beyond
`bulk.reach`, at which exp(-gap) <= 2^-22 eta/2, eta the least subnormal of the outputs.

**The same outputs.** Of differences with the same outputs the first and the last are measured. Between them a
result rises or falls, so |y - r| is greatest at one of the two. The ulp is the same throughout. Nearly tied,
the results of a softmax keep to one side of 1/2, but for difference 0, which is measured; those of a
log_softmax are within 1/16 of -log 2. Far apart, those of a softmax are in [1/2, 1) and below eta. Far apart,
those of a log_softmax cross powers of two, so that this rule is not for them.

**Outputs that need no measuring.**

- Softmax, nearly tied, 1/2 and 1/2: their errors are at most t/4 2^(p + 1) < 1/8 ULP, and less than those of
  the pair at 2^-(p + 2): if its outputs are 1/2 too, since errors grow with the gap; else since another
  number is further off. The row with the greater gap is called.
- Softmax, far apart, 1 and 0: both are right, and their errors below every tolerance. The row with the lesser
  gap is called.
- log_softmax, far apart, 0 and z: |r_1| < 2^-22 eta, and |z - r_2| < u/2 + 2^-22 eta, u the distance of
  numbers at z. A difference that is measured has an error as great, whatever its outputs: where z is even its
  two ends are u apart, so that one of them is u/2 off.
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
from harness.subject.execution import Outcome
from harness.subject.subject import Subject
from reference.formats import FloatFormat
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

    def tallies(self) -> Iterator[Tally]:
        """Yield the counts of those that are settled."""
        yield from ()

    def _called(self, numbers: Numbers, end: int, call: Call) -> Outcome:
        return call(self._differences.ends(numbers)[end]).outcome


def quiet_of(subject: Subject, differences: Differences) -> Quiet:
    """Return what settles the differences of a candidate.

    Raises:
        ValueError: the results of its op depend on more than the gap.
    """
    op, out = subject.op, subject.out
    if op.pairs is None:
        raise ValueError(f"op {op}: its results depend on more than the gap of a pair")
    return Probabilities(differences, out) if op.underflows else Logarithms(differences, out)


class Probabilities(Quiet):
    """Those of a softmax: where outputs are right they are counted."""

    def __init__(self, differences: Differences, out: FloatFormat) -> None:
        super().__init__(differences, out)
        one, half = (out.round(Fraction(1, k)) for k in (1, 2))
        self._tied = np.array([half, half], dtype=out.bits_dtype)
        self._far = np.array([one, 0], dtype=out.bits_dtype)
        self._nearly_tied = self._far_apart = 0

    def ties_left(self, numbers: Numbers, call: Call) -> Numbers:
        settled, left = self._settled(numbers, 0, self._tied, call)
        self._nearly_tied += settled
        return left

    def extremes_left(self, numbers: Numbers, call: Call) -> Numbers:
        settled, left = self._settled(numbers, 1, self._far, call)
        self._far_apart += settled
        return left

    def tallies(self) -> Iterator[Tally]:
        yield _tied_tally(self._nearly_tied)
        yield settled_tally(self._far_apart, LENGTH)

    def _settled(self, numbers: Numbers, end: int, right: Array, call: Call) -> tuple[int, Numbers]:
        """Return how many have the right outputs, and which others are to be measured."""
        if not numbers.size:
            return 0, numbers
        outcome = self._called(numbers, end, call)
        if outcome.outputs is None:
            return 0, numbers
        bits = self._out.to_bits(outcome.outputs)
        settled = outcome.completed & _alike(bits, right[None])
        return int(settled.sum()), _ends_of_runs(numbers, bits, outcome.completed, settled)


class Logarithms(Quiet):
    """Those of a log_softmax."""

    def ties_left(self, numbers: Numbers, call: Call) -> Numbers:
        if not numbers.size:
            return numbers
        outcome = self._called(numbers, 0, call)
        if outcome.outputs is None:
            return numbers
        none = np.zeros(numbers.size, dtype=np.bool_)
        return _ends_of_runs(numbers, self._out.to_bits(outcome.outputs), outcome.completed, none)

    def extremes_left(self, numbers: Numbers, call: Call) -> Numbers:
        if not numbers.size:
            return numbers
        outcome = self._called(numbers, 1, call)
        if outcome.outputs is None:
            return numbers
        fmt = self._differences.fmt
        z = fmt.to_float64(fmt.from_bits(self._differences.plain(numbers[:, None])))[:, 1]
        y = self._out.to_float64(outcome.outputs)
        right = (y[:, 0] == 0) & (y[:, 1] == z)
        left: Numbers = numbers[~(outcome.completed & right) | (numbers == self._differences.overflow)]
        return left


def _ends_of_runs(
    numbers: Numbers, bits: Array, completed: NDArray[np.bool_], settled: NDArray[np.bool_]
) -> Numbers:
    """Return the first and the last of each run of outputs, of those that are not settled, and 0."""
    left = np.flatnonzero(~settled)
    if not left.size:
        return numbers[left]
    alike = _alike(bits[left[1:]], bits[left[:-1]]) & (numbers[left[:-1]] > 0)
    alike &= completed[left[1:]] & completed[left[:-1]]
    first, last = np.append(True, ~alike), np.append(~alike, True)
    ends: Numbers = numbers[left[first | last]]
    return ends


def _alike(bits: Array, others: Array) -> NDArray[np.bool_]:
    """Tell which rows of two have the same encodings as others; `all` along so short a row is slow."""
    same: NDArray[np.bool_] = (bits[:, 0] == others[:, 0]) & (bits[:, 1] == others[:, 1])
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
