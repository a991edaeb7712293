"""Every pair of a format through the shift: two rows for each rounded difference prove the maximum.

`differences` says which rows, and why. Each is called, so every figure is that of a real row; and outputs of
rows with the same rounded difference are compared throughout, not on a sample alone.

Most differences are nearly tied or far apart, and one row settles most of these; `quiet` says which of them
are measured like all the rest.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from harness.campaign.deal import Measured
from harness.exhaust.bulk import Counting, without_profiles
from harness.exhaust.differences import Differences
from harness.exhaust.enumeration import Enumeration
from harness.exhaust.exhaustion import BATCH_ELEMENTS, Range, completed, faulty_tally
from harness.exhaust.quiet import Quiet, edges, quiet_of
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

    counted: ClassVar = "of the rows judged, "

    @classmethod
    def checked(cls, subject: Subject) -> ShiftedPairs:
        """Return the plan for a candidate whose outputs depend on rounded differences alone.

        Raises:
            NotByTheShift: they do not.
        """
        return cls(subject, check_shift(subject, Differences(subject.format), LENGTH))

    @property
    def rows(self) -> int:
        """How many rows are called where none is out of the ordinary."""
        tied, far = self._edges
        return self.differences.count + far - tied + len(self.doublings)

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
    def doublings(self) -> tuple[tuple[int, tuple[int, int]], ...]:
        """The rows next to the places where an ulp doubles, by the numbers of their differences.

        Raises:
            ValueError: the results of the op depend on more than the gap.
        """
        subject = self.subject
        if subject.op.pairs is None:
            raise ValueError(f"op {subject.op}: its results depend on more than the gap of a pair")
        return self.differences.beside(subject.op.pairs.limits(subject.out, 2 * subject.format.largest))

    @cached_property
    def _edges(self) -> tuple[int, int]:
        """The first differences that are not nearly tied, and that are far apart."""
        return edges(self.differences, self.subject.out)


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
        self._quiet: Quiet = quiet_of(self._subject, plan.differences)

    def take(self, numbers: Numbers) -> None:
        """Count the differences of these numbers."""
        tied, far = self._plan.quiet(numbers)
        ties_left = self._quiet.ties_left(numbers[tied], self._called)
        extremes_left = self._quiet.extremes_left(numbers[far], self._called)
        for some in (numbers[~(tied | far)], ties_left, extremes_left):
            if some.size:
                self._measure(some)

    def tally(self) -> Tally:
        """Return what was counted so far."""
        return merge([*self._quiet.tallies(), self._counting.tally(), *self._others])

    def digest(self) -> str:
        """Return the digest of all rows called."""
        return self._digest.hexdigest()

    def _called(self, bits: Array) -> Called:
        x = self._rows(bits)
        return Called(x, self._subject.run(x))

    def _measure(self, numbers: Numbers) -> None:
        """Count the rows at both ends of differences, and next to the doublings among them."""
        differences, subject = self._plan.differences, self._subject
        ends, count = differences.ends(numbers), len(numbers)
        below = _among(numbers, self._plan.doublings)
        doublings = np.array([row for _, row in below], dtype=ends.dtype).reshape(-1, LENGTH)
        x = self._rows(np.concatenate([*ends, doublings]))
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
        self._digest.update(np.ascontiguousarray(bits, dtype=bits.dtype.newbyteorder("<")).data)
        return self._subject.format.from_bits(bits)


def _among(
    numbers: Numbers, doublings: Sequence[tuple[int, tuple[int, int]]]
) -> list[tuple[int, tuple[int, int]]]:
    """Return the doublings of some differences, in order, by the places of these."""
    inside = [(n, row) for n, row in doublings if numbers[0] <= n <= numbers[-1]]
    places = [(int(np.searchsorted(numbers, n)), n, row) for n, row in inside]
    return [(place, row) for place, n, row in places if numbers[place] == n]
