"""Whether the outputs of a candidate depend on rounded differences alone, in any order of the entries.

That is what a proof through the shift assumes (`differences`). It is checked bit by bit on rows made to
break it: of several regimes, far from 0 by every power of two, at the ends of rounding intervals and just
beyond, with zeros of either sign. Each is held against the plainest row with the same rounded differences,
(0, z, ...), in every order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.check import same_bits, written
from harness.exhaust.differences import Differences
from harness.exhaust.exhaustion import Range, identity_of
from harness.exhaust.symmetry import distinct, orders, sample
from harness.subject.execution import Outcome
from harness.subject.subject import Subject
from reference.formats import FloatFormat
from reports.record.ledger import CellInfo
from reports.record.witness import CellKey
from strategies.words import Words

__all__ = ["SHIFTED", "Called", "NotByTheShift", "ShiftedRows", "check_shift", "require_same"]

Array = NDArray[Any]

SHIFTED: Final = "through-the-shift"
"""What the regime of such rows is called in cells."""

_MADE: Final = 1 << 14
"""Rows of each kind that are made."""


class NotByTheShift(Exception):
    """Two rows with the same rounded differences have different outputs."""


@dataclass(frozen=True)
class ShiftedRows(ABC):
    """Every row of a format and length, through one candidate that shifts.

    Attributes:
        subject: whose rows.
        sample: rows on which the assumption was checked.
        length: entries of a row.
    """

    subject: Subject
    sample: int
    length: int

    through_shift: ClassVar = True

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows are called where none is out of the ordinary."""

    @property
    @abstractmethod
    def numbered(self) -> int:
        """How many differences, or combinations of them, are numbered."""

    @property
    @abstractmethod
    def shard_size(self) -> int:
        """How many of these make a shard."""

    @cached_property
    def differences(self) -> Differences:
        """The rounded differences."""
        return Differences(self.subject.format)

    @property
    def cell(self) -> CellKey:
        """The cell that all rows are of."""
        return self.subject.cell(SHIFTED, self.length)

    @property
    def cells(self) -> list[CellInfo]:
        """The plan of the ledger; its rows are no sample."""
        return [CellInfo(self.cell, sampled=False)]

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures, as JSON carries it."""
        return identity_of(self.subject, self.cell, self.rows)

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return -(-self.numbered // self.shard_size)

    def shards(self) -> Iterator[Range]:
        """Yield ranges of what is numbered, in order."""
        for number, first in enumerate(range(0, self.numbered, self.shard_size)):
            yield Range(number, first, min(first + self.shard_size, self.numbered))


@dataclass(frozen=True)
class Called:
    """Rows and what came of calling a candidate on them."""

    x: Array
    outcome: Outcome

    def part(self, first: int, last: int) -> Called:
        """Return the rows first..last-1; their faults are left out."""
        outcome = self.outcome
        outputs = None if outcome.outputs is None else outcome.outputs[first:last]
        return Called(self.x[first:last], Outcome(outputs, outcome.completed[first:last]))

    def take(self, rows: NDArray[np.intp]) -> Called:
        """Return some of them, in the order of their indices; their faults are left out."""
        outcome = self.outcome
        outputs = None if outcome.outputs is None else outcome.outputs[rows]
        return Called(self.x[rows], Outcome(outputs, outcome.completed[rows]))


def check_shift(subject: Subject, differences: Differences, length: int) -> int:
    """Return on how many rows outputs are found to depend on rounded differences alone.

    Raises:
        NotByTheShift: on some row they do not.
    """
    fmt = subject.format
    rows = distinct(fmt, np.concatenate(list(_rows(differences, length))))
    numbers = differences.numbers(rows)
    if length > 2:  # of longer rows, not all with a difference that overflows have a plainest one
        within = (numbers < differences.overflow).all(axis=1)
        rows, numbers = rows[within], numbers[within]
    plain = fmt.from_bits(differences.plain(numbers))
    same = list(range(length))
    expected = Called(plain, subject.run(plain))
    in_all_orders = (same, *orders(length))
    for order in in_all_orders:
        turned = np.ascontiguousarray(rows[:, order])
        if length > 2:  # of longer rows the sum may depend on the order
            expected = Called(plain[:, order], subject.run(np.ascontiguousarray(plain[:, order])))
        require_same(subject, expected, Called(turned, subject.run(turned)), order if length == 2 else same)
    return len(rows) * len(in_all_orders)


def require_same(subject: Subject, first: Called, second: Called, order: Sequence[int]) -> None:
    """Require that two batches have the same outputs, the second one with its entries in another order.

    Rows without outputs are not compared.

    Raises:
        NotByTheShift: two rows differ.
    """
    one, other = first.outcome, second.outcome
    if one.outputs is None or other.outputs is None:
        return
    same = same_bits(subject.out, one.outputs[:, order], other.outputs)
    if same.all():
        return
    differ = np.flatnonzero(~same.all(axis=1) & one.completed & other.completed)
    if not differ.size:
        return
    row, fmt, out = int(differ[0]), subject.format, subject.out
    told = [
        f"{written(fmt, called.x[row])} gives {written(out, y[row])}"
        for called, y in ((first, one.outputs), (second, other.outputs))
    ]
    raise NotByTheShift(" and ".join(told))


# Rows ------------------------------------------------------------------------------------


def _rows(differences: Differences, length: int) -> Iterator[Array]:
    """Yield rows that begin with their maximum."""
    fmt = differences.fmt
    words = Words(("shift", fmt.name, length))
    made = [_shifted(fmt, length, words), *sample(fmt, length)]
    if length == 2:
        made.append(_ends(differences, words))
    for x in made:
        yield _sorted(fmt, fmt.to_bits(x))
        yield _sorted(fmt, _with_zeros(fmt, x, words))


def _shifted(fmt: FloatFormat, length: int, words: Words) -> Array:
    """Return rows about +-2^k and any other number, for all k, with gaps at which two outputs count."""
    largest = float(fmt.largest)
    near = max(-fmt.precision - 4, fmt.quantum_exponent)
    far = min((-fmt.quantum_exponent).bit_length(), fmt.emax)
    gaps = words.magnitude(near, far, (_MADE, length - 1))
    exponent = words.below(fmt.emax - fmt.quantum_exponent, (_MADE, 1)) + fmt.quantum_exponent
    tail = np.where(words.below(2, (_MADE, 1)) == 0, 1.0, words.uniform((_MADE, 1)) + 1.0)
    middle = words.sign((_MADE, 1)) * np.ldexp(tail, exponent)
    values = np.concatenate([middle, middle - gaps], axis=1)
    return fmt.from_float64(np.clip(values, -largest, largest))


def _ends(differences: Differences, words: Words) -> Array:
    """Return rows at the ends of rounding intervals, and one step beyond."""
    fmt = differences.fmt
    numbers = words.below(differences.count, (_MADE,))
    ends = fmt.ordinals(differences.ends(numbers).reshape(-1, 2))
    beyond = np.clip(ends + words.below(3, ends.shape) - 1, -fmt.largest_ordinal, fmt.largest_ordinal)
    return fmt.from_bits(fmt.from_ordinals(np.concatenate([ends, beyond])))


def _with_zeros(fmt: FloatFormat, x: Array, words: Words) -> Array:
    """Return the encodings of rows in which some entries are zeros of either sign."""
    bits = fmt.to_bits(x)
    bits = np.where(words.below(2, bits.shape) == 0, bits, 0).astype(fmt.bits_dtype)
    return fmt.negated(bits, (bits == 0) & (words.below(2, bits.shape) == 0)).astype(fmt.bits_dtype)


def _sorted(fmt: FloatFormat, bits: Array) -> Array:
    order = np.argsort(-fmt.ordinals(bits), axis=1, kind="stable")
    return fmt.from_bits(np.take_along_axis(bits, order, axis=1))
