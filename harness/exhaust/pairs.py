"""Every pair of a format through the shift: two rows for each rounded difference prove the maximum.

`differences` says which rows, and why. Each is called, so every figure is that of a real row; and outputs of
rows with the same rounded difference are compared throughout, not on a sample alone.

Most differences are of no account, and one row settles each of them:

- *Nearly tied*: a gap of t < 2^-(p + 2), p the precision of the outputs. If both outputs are 1/2, their
  errors are at most t/4 2^(p + 1) < 1/8 ULP, and less than those of the pair at 2^-(p + 2): if its outputs
  are 1/2 too, since errors grow with the gap; else since another number is further off. The row with the
  greater gap is called.
- *Far apart*: at a gap beyond `bulk.reach` outputs 1 and 0 are right, and their errors below every tolerance.
  The row with the lesser gap is called.

Where the outputs are any others, the difference is measured like all the rest.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from harness.campaign.deal import Measured
from harness.exhaust.bulk import Counting, reach, settled_tally, without_profiles
from harness.exhaust.differences import Differences
from harness.exhaust.enumeration import Enumeration
from harness.exhaust.exhaustion import BATCH_ELEMENTS, Range, completed, faulty_tally
from harness.exhaust.shift import Called, ShiftedRows, check_shift, require_same
from harness.subject.execution import Executor
from harness.subject.subject import Subject
from reports.record.tally import Tally, merge

__all__ = ["ShiftedPairs"]

Array = NDArray[Any]
Numbers = NDArray[np.int64]

LENGTH: Final = 2

_BATCH: Final = BATCH_ELEMENTS // (2 * LENGTH)
"""Differences of a call."""

_BATCHES: Final = 32
"""Batches of a shard: a few seconds, and what a kill can lose."""


@dataclass(frozen=True)
class ShiftedPairs(ShiftedRows):
    """Every pair of a format, through one candidate that shifts."""

    length: int = LENGTH

    counted: ClassVar = "of the rows called, "

    @classmethod
    def checked(cls, subject: Subject) -> ShiftedPairs:
        """Return the plan for a candidate whose outputs depend on rounded differences alone.

        Raises:
            NotByTheShift: they do not.
        """
        return cls(subject, check_shift(subject, Differences(subject.format, subject.out), LENGTH))

    @property
    def rows(self) -> int:
        """How many rows are called where none is out of the ordinary."""
        tied, far = self._edges
        return self.differences.count + far - tied + len(self.differences.doublings)

    @property
    def scope(self) -> str:
        """Which rows the proof is of."""
        pairs = Enumeration(self.subject.format, LENGTH, unordered=True, one_zero=True)
        return f"{pairs} ({pairs.rows:.3g}), through their {self.differences.count} rounded differences"

    @property
    def assumed(self) -> str:
        """What is assumed, and on what grounds."""
        return (
            "assumed: outputs depend on the rounded difference alone, permute with entries, and -0 gives the"
            f" bits of +0; checked bitwise on {self.sample} rows made to break it, and at both ends of every"
            " difference that is measured"
        )

    @property
    def numbered(self) -> int:
        """How many rounded differences there are."""
        return self.differences.count

    @property
    def shard_size(self) -> int:
        """How many of them make a shard."""
        return _BATCH * _BATCHES

    def measure(self, shard: Range, executor: Executor) -> Measured:
        """Return the tally of a shard.

        Raises:
            NotByTheShift: rows with the same rounded difference have different outputs.
        """
        part = _Part(self, self.subject.by(executor))
        for first in range(shard.first, shard.last, _BATCH):
            part.take(np.arange(first, min(first + _BATCH, shard.last)))
        return Measured({self.cell: replace(part.tally(), digests={shard.number: part.digest()})})

    def seconds(self) -> float:
        """Return how long all takes one thread, by batches of each kind, the first of them not timed."""
        tied, far = self._edges
        total = 0.0
        for first, last in ((0, tied), (tied, far), (far, self.differences.count)):
            count = min(_BATCH, last - first)
            if not count:
                continue
            spent = []
            for start in (first, first + (last - first - count) // 3, last - count):
                begun = time.perf_counter()
                _Part(self, self.subject).take(np.arange(start, start + count))
                spent.append(time.perf_counter() - begun)
            total += sum(spent[1:]) / 2 / count * (last - first)
        return total

    def quiet(self, numbers: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which differences are nearly tied, and which far apart."""
        tied, far = self._edges
        return numbers < tied, numbers >= far

    @cached_property
    def _edges(self) -> tuple[int, int]:
        """The first differences that are not nearly tied, and that are far apart."""
        fmt, out = self.subject.format, self.subject.out
        tied = max(fmt.round(Fraction(1, 2 ** (out.precision + 2))), 1)
        beyond = reach(out, LENGTH) + 1
        far = fmt.round(Fraction(beyond)) + 1 if beyond < fmt.largest else self.differences.overflow
        return tied, max(min(far, self.differences.overflow), tied)


class _Part:
    """What is counted of some differences.

    Args:
        plan: the plan.
        subject: bound to the executor of the part.
    """

    def __init__(self, plan: ShiftedPairs, subject: Subject) -> None:
        self._plan, self._subject = plan, subject
        self._counting = Counting(plan.cell, subject)
        self._digest = hashlib.sha256()
        self._others: list[Tally] = []
        self._nearly_tied = self._far_apart = 0
        one, half = (subject.out.round(Fraction(1, k)) for k in (1, 2))
        bits = subject.out.bits_dtype
        self._tied, self._far = np.array([half, half], dtype=bits), np.array([one, 0], dtype=bits)

    def take(self, numbers: Numbers) -> None:
        """Count the differences of these numbers."""
        tied, far = self._plan.quiet(numbers)
        ties, extremes = numbers[tied], numbers[far]
        ties_left = self._unsettled(ties, 0, self._tied)
        extremes_left = self._unsettled(extremes, 1, self._far)
        self._nearly_tied += ties.size - ties_left.size
        self._far_apart += extremes.size - extremes_left.size
        for some in (numbers[~(tied | far)], ties_left, extremes_left):
            if some.size:
                self._measure(some)

    def tally(self) -> Tally:
        """Return what was counted so far."""
        quiet = (_tied_tally(self._nearly_tied), settled_tally(self._far_apart, LENGTH))
        return merge([*quiet, self._counting.tally(), *self._others])

    def digest(self) -> str:
        """Return the digest of all rows called."""
        return self._digest.hexdigest()

    def _unsettled(self, numbers: Numbers, end: int, expected: Array) -> Numbers:
        """Call one row of each difference, and return those whose outputs are not what they must be."""
        if not numbers.size:
            return numbers
        x = self._rows(self._plan.differences.ends(numbers)[:, end])
        outcome = self._subject.run(x)
        if outcome.outputs is None:
            return numbers
        bits = self._subject.out.to_bits(outcome.outputs)
        good = outcome.completed & (bits[:, 0] == expected[0]) & (bits[:, 1] == expected[1])
        left: Numbers = numbers[~good]
        return left

    def _measure(self, numbers: Numbers) -> None:
        """Count the rows at both ends of differences, and below the doublings among them."""
        differences, subject = self._plan.differences, self._subject
        ends, count = differences.ends(numbers), len(numbers)
        below = _among(numbers, differences.doublings)
        doublings = np.array([row for _, row in below], dtype=ends.dtype).reshape(-1, LENGTH)
        x = self._rows(np.concatenate([ends[:, 0], ends[:, 1], doublings]))
        of = np.concatenate([np.arange(count), np.arange(count), [place for place, _ in below]]).astype(
            np.intp
        )
        outcome = completed(subject, x)
        called = Called(x, outcome)
        require_same(subject, called.part(0, count), called.part(count, 2 * count), (0, 1))
        require_same(subject, called.take(of[2 * count :]), called.part(2 * count, len(x)), (0, 1))
        if outcome.outputs is not None and outcome.completed.all():
            self._counting.add(x, outcome.outputs, numbers[of])
            return
        labels = [f"row {number}" for number in numbers[of].tolist()]
        self._others.append(without_profiles(faulty_tally(self._plan.cell, subject, x, labels, outcome)))

    def _rows(self, bits: Array) -> Array:
        self._digest.update(bits.astype(bits.dtype.newbyteorder("<"), copy=False).tobytes())
        return self._subject.format.from_bits(bits)


def _among(
    numbers: Numbers, doublings: Sequence[tuple[int, tuple[int, int]]]
) -> list[tuple[int, tuple[int, int]]]:
    """Return the doublings of some differences, in order, by the places of these."""
    inside = [(n, row) for n, row in doublings if numbers[0] <= n <= numbers[-1]]
    places = [(int(np.searchsorted(numbers, n)), n, row) for n, row in inside]
    return [(place, row) for place, n, row in places if numbers[place] == n]


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
