"""Every row of a format and length: the plan, and how a part of it is counted.

A shard is a range of row numbers (`enumeration`), so what it counts depends on nothing else, and a ledger
of shards can be taken up again after a kill. Up to `THOROUGH` rows everything is counted that a
campaign counts; beyond, what `bulk` says.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from harness.campaign.deal import Measured
from harness.exhaust.bulk import Counting, without_profiles
from harness.exhaust.enumeration import Enumeration
from harness.exhaust.symmetry import Symmetries
from harness.measurement import Rows
from harness.measurement.outcomes import fault_witness, tally_outcome
from harness.subject.execution import Executor, Outcome
from harness.subject.execution.outcome import joined
from harness.subject.subject import Subject
from reports.record.ledger import CellInfo
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey

__all__ = [
    "BATCH_ELEMENTS",
    "MOST_ROWS",
    "REGIME",
    "THOROUGH",
    "Exhaustion",
    "Range",
    "completed",
    "faulty_tally",
    "identity_of",
]

REGIME: Final = "exhaustive"
"""What the regime of all rows is called in cells."""

MOST_ROWS: Final = 1 << 33
"""Rows that are tried without being asked twice: all pairs of a 16-bit format in all orders."""

THOROUGH: Final = 1 << 24
"""Rows of which everything is counted."""

BATCH_ELEMENTS: Final = 1 << 19
"""Elements of a call: enough to make light of what a call costs, a few megabytes in all."""

_BATCHES_COUNTED: Final = 16
_BATCHES_MEASURED: Final = 2
"""Batches of a shard, counted in bulk or measured in full: about a second, and what a kill can lose."""

MOST_FAULTY: Final = 64
"""Rows of a batch that may crash or hang; where more do, those not tried by then are left out."""

_PROBES: Final = 4
_PROBED: Final = 256
_MOST_PROBED: Final = 64
_LEAST_PROBED: Final = 1 << 10
"""A probe has a 256th of all rows. If that is less than 1024, it has 1024 rows, but at most a 64th of all."""


@dataclass(frozen=True)
class Range:
    """The rows first..last-1 of an enumeration, the shard of that number."""

    number: int
    first: int
    last: int

    @property
    def id(self) -> str:
        """A name for the ledger."""
        return f"rows {self.first}-{self.last}"


@dataclass(frozen=True)
class Exhaustion:
    """Every row of a format and length, through one candidate."""

    subject: Subject
    length: int
    symmetries: Symmetries

    through_shift: ClassVar = False
    counted: ClassVar = ""

    @property
    def enumeration(self) -> Enumeration:
        """The rows."""
        return Enumeration(
            self.subject.format, self.length, self.symmetries.permutation, self.symmetries.one_zero
        )

    @property
    def cell(self) -> CellKey:
        """The cell that all rows are of."""
        return self.subject.cell(REGIME, self.length)

    @property
    def cells(self) -> list[CellInfo]:
        """The plan of the ledger; its rows are no sample."""
        return [CellInfo(self.cell, sampled=False)]

    @property
    def rows(self) -> int:
        """How many rows are called."""
        return self.enumeration.rows

    @property
    def scope(self) -> str:
        """Which rows the proof is of."""
        return str(self.enumeration)

    @property
    def assumed(self) -> str:
        """What is assumed, and on what grounds."""
        return str(self.symmetries)

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures, as JSON carries it."""
        symmetries = {"permutation": self.symmetries.permutation, "one_zero": self.symmetries.one_zero}
        return {**identity_of(self.subject, self.cell, self.rows), **symmetries}

    @property
    def batch(self) -> int:
        """Rows of a call."""
        return max(1, BATCH_ELEMENTS // self.length)

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return -(-self.enumeration.rows // self._shard_rows)

    @property
    def is_thorough(self) -> bool:
        """Whether everything is counted that a campaign counts."""
        return self.enumeration.rows <= THOROUGH

    @property
    def _shard_rows(self) -> int:
        return self.batch * (_BATCHES_MEASURED if self.is_thorough else _BATCHES_COUNTED)

    def shards(self) -> Iterator[Range]:
        """Yield the shards in order."""
        rows, size = self.enumeration.rows, self._shard_rows
        for number, first in enumerate(range(0, rows, size)):
            yield Range(number, first, min(first + size, rows))

    def measure(self, shard: Range, executor: Executor) -> Measured:
        """Return the tally of a shard."""
        subject, digest, counting = self.subject.by(executor), hashlib.sha256(), self._counting()
        others: list[Tally] = []
        for first in range(shard.first, shard.last, self.batch):
            bits = self.enumeration.encodings(first, min(self.batch, shard.last - first))
            digest.update(bits.astype(bits.dtype.newbyteorder("<"), copy=False).data)
            x = self.subject.format.from_bits(bits)
            others += self._count(x, first, completed(subject, x), counting)
        tally = merge([counting.tally(), *others])
        faulty = [w for other in others for w in other.witnesses if w.kind in other.faults]
        witnesses = (*(w for w in tally.witnesses if w.kind not in tally.faults), *faulty)
        digests = {shard.number: digest.hexdigest()}
        return Measured({self.cell: replace(tally, digests=digests, witnesses=witnesses)})

    def seconds(self) -> float:
        """Return about how long all rows take one thread."""
        return self.seconds_a_row() * self.rows

    def seconds_a_row(self) -> float:
        """Return how long one row takes, by a few batches from all over, the first of them not timed.

        Rows that fail end it: finding out which they are is not what a row takes.
        """
        rows = self.enumeration.rows
        count = min(self.batch, max(rows // _PROBED, min(rows // _MOST_PROBED, _LEAST_PROBED), 1))
        seconds: list[float] = []
        for first in (0, *((rows - count) * k // _PROBES for k in range(_PROBES + 1))):
            start = time.perf_counter()
            x = self.subject.format.from_bits(self.enumeration.encodings(first, count))
            outcome = self.subject.run(x)
            if outcome.faults and seconds:
                break
            list(self._count(x, first, outcome, self._counting()))
            seconds.append(time.perf_counter() - start)
            if outcome.faults:
                break
        timed = seconds[1:] or seconds
        return sum(timed) / len(timed) / count

    def _counting(self) -> Counting:
        return Counting(self.cell, self.subject)

    def _count(self, x: Any, first: int, outcome: Outcome, counting: Counting) -> Iterator[Tally]:
        """Count rows in bulk, or yield their tally, with a witness of every row that failed alone."""
        if outcome.outputs is not None and outcome.completed.all() and not self.is_thorough:
            counting.add(x, outcome.outputs, np.arange(first, first + len(x)))
            return
        labels = [f"row {first + row}" for row in range(len(x))]
        tally = faulty_tally(self.cell, self.subject, x, labels, outcome)
        yield tally if self.is_thorough else without_profiles(tally)


def identity_of(subject: Subject, cell: CellKey, rows: int) -> dict[str, Any]:
    """Return what decides the figures of all plans, as JSON carries it."""
    return {
        "candidates": [subject.candidate.name],
        "formats": [subject.format.name],
        "out_format": subject.out.name,
        "regimes": [cell.regime],
        "lengths": [cell.length],
        "rows": rows,
        "timeout": subject.timeout,
        "policies": [f"{key}={value}" for key, value in asdict(subject.declaration.policy).items()],
    }


def faulty_tally(cell: CellKey, subject: Subject, x: Any, labels: Sequence[str], outcome: Outcome) -> Tally:
    """Return the tally of rows measured in full, with a witness of every row that failed alone."""
    rows = Rows.about(subject, x, labels=tuple(labels))
    tally = tally_outcome(cell, rows, outcome, subject.declaration)
    faulty = [
        fault_witness(cell, rows, fault, fault.row) for fault in outcome.faults if fault.row is not None
    ]
    return replace(tally, witnesses=(*(w for w in tally.witnesses if w not in faulty), *faulty))


def completed(subject: Subject, x: Any) -> Outcome:
    """Return what came of every row: those that were given up for others' sake are called again.

    What each row that fails costs is a time limit or a worker, so there is a limit to them, and a
    candidate of which nothing more comes is left alone.
    """
    outcome = subject.run(x)
    while True:
        named = [fault.row for fault in outcome.faults if fault.row is not None]
        untried = ~outcome.completed
        untried[named] = False
        if not untried.any() or not outcome.completed.any() or len(named) >= MOST_FAULTY:
            return outcome
        rest = subject.run(x[untried])
        if rest.outputs is None:
            return outcome
        outcome = joined(outcome, rest, np.flatnonzero(untried))
