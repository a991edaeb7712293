"""Which symmetries a candidate shows on a sample of rows, so that a proof may lean on them openly.

What holds on the sample is assumed of every row: that outputs permute with the entries, bit for bit,
and that -0 is treated as +0. A single row against a symmetry is enough to drop it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution import Outcome
from harness.subject.subject import Subject
from reference.formats import FloatFormat
from strategies.regimes import REGIMES
from strategies.words import Words

__all__ = ["NONE", "Symmetries", "check_symmetries", "distinct", "orders", "sample"]

Array = NDArray[Any]

_REGIMES: Final = (
    "uniform-bits",
    "log-uniform",
    "landmarks",
    "standard-normal",
    "wide-normal",
    "tied",
    "close-together",
)
_ROWS: Final = 4096
_ALL_ORDERS_UP_TO: Final = 3


@dataclass(frozen=True)
class Symmetries:
    """What is assumed.

    Attributes:
        permutation: that outputs permute with the entries of a row.
        one_zero: that -0 gives the same bits as +0.
        sample: rows on which that was checked; 0 where nothing is assumed.
    """

    permutation: bool
    one_zero: bool
    sample: int = 0

    def __str__(self) -> str:
        """Say what is assumed, and on what grounds."""
        held = ["outputs permute with entries"] * self.permutation + [
            "-0 gives the bits of +0"
        ] * self.one_zero
        if not held:
            return "nothing is assumed of the candidate"
        sample = f"checked bitwise on {self.sample} rows"
        return f"assumed: {' and '.join(held)}; {sample} (--all-orders assumes nothing)"


NONE: Final = Symmetries(permutation=False, one_zero=False)
"""No symmetry is assumed."""


def check_symmetries(subject: Subject, length: int) -> Symmetries:
    """Return the symmetries that hold on a sample of rows of several regimes, the same in every run."""
    fmt = subject.format
    rows = distinct(fmt, np.concatenate(list(sample(fmt, length))))
    outcome = subject.run(rows)
    permutes = length > 1 and all(_same(subject, outcome, rows[:, order], order) for order in orders(length))
    return Symmetries(permutes, _zeros_agree(subject, rows), len(rows))


def sample(fmt: FloatFormat, length: int) -> Iterator[Array]:
    """Yield rows of several regimes, the same in every run."""
    for name in _REGIMES:
        if REGIMES[name].supports(fmt, length):
            yield REGIMES[name].rows(fmt, _ROWS, length, 0, 0)


def distinct(fmt: FloatFormat, rows: Array) -> Array:
    """Return the rows, each once: one that hangs would cost its time limit as often as it comes."""
    bits = fmt.to_bits(rows)
    order = np.lexsort(bits.T)  # stable: of equal rows, the first comes first
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (bits[order[1:]] != bits[order[:-1]]).any(axis=1)
    return np.asarray(rows[np.sort(order[first])])


def orders(length: int) -> Iterator[list[int]]:
    """Yield orders that generate all: every other one of short rows, swaps of neighbours of longer ones."""
    if length <= _ALL_ORDERS_UP_TO:
        yield from (list(order) for order in permutations(range(length)) if list(order) != sorted(order))
        return
    for j in range(length - 1):
        order = list(range(length))
        order[j], order[j + 1] = order[j + 1], order[j]
        yield order


def _zeros_agree(subject: Subject, rows: Array) -> bool:
    """Put zeros into the rows, and tell whether they have a sign that does not matter."""
    fmt = subject.format
    if not fmt.has_negative_zero:
        return False
    which = Words(("zeros", fmt.name, rows.shape[1])).below(2, rows.shape) == 1
    bits = np.where(which, 0, fmt.to_bits(rows)).astype(fmt.bits_dtype)
    bits = bits[(bits == 0).any(axis=1)]
    positive = distinct(fmt, fmt.from_bits(bits))
    bits = fmt.to_bits(positive)
    negative = fmt.from_bits(fmt.negated(bits, bits == 0))
    return _same(subject, subject.run(positive), negative, list(range(rows.shape[1])))


def _same(subject: Subject, outcome: Outcome, changed: Array, order: list[int]) -> bool:
    """Tell whether changed rows give the same bits, in another order, and fail where those fail."""
    again = subject.run(np.ascontiguousarray(changed))
    if outcome.outputs is None or again.outputs is None:
        return outcome.outputs is again.outputs
    done = outcome.completed
    if not np.array_equal(done, again.completed):
        return False
    first = outcome.outputs if subject.op.reduces else outcome.outputs[:, order]
    before, after = (subject.out.to_bits(o) for o in (first, again.outputs))
    return bool(np.array_equal(before[done], after[done]))
