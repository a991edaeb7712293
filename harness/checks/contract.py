"""The contract of a candidate, apart from accuracy; a violation is a defect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import as_accurate, company, less_accurate
from harness.checks.check import Check, Examined, Subject, hexadecimal, same_bits
from harness.execution import Outcome, Presentation
from reference.formats import FloatFormat
from reference.tiers import FAST

__all__ = ["CONTRACT"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

BATCHES: Final = (2, 3, 4, 7, 16, 31, 64, 100, 500, 2048)
"""Rows of the batches that a row alone is held against; a square one comes too."""

LARGE: Final = 70_001
"""Rows of a large batch: beyond 65 535, the most blocks in two of a CUDA grid's three dimensions."""

REPEATS: Final = 3

MANY: Final = 64
"""Calls in succession at each of several lengths, to show what happens once in so many, or after them."""


def _keeps_shape(subject: Subject, x: Array) -> Examined:
    """Rows, vectors and cubes must come back in the shape and format asked for."""
    plain = subject.outcome(x)
    wrong = {
        fault.row: fault.message
        for fault in plain.faults
        if fault.kind in ("wrong_shape", "wrong_dtype") and fault.row is not None
    }
    done, broken = plain.completed, np.zeros(len(x), dtype=np.bool_)
    broken[list(wrong)] = True
    notes = dict(wrong)
    arrangements: tuple[Presentation, ...] = ("vectors", "cube")
    for presentation in arrangements if done.any() else ():
        rows = np.flatnonzero(done)
        other = subject.call(x[rows], presentation)
        lost = rows[~other.completed]
        broken[lost] = True
        told = other.faults[0].message if other.faults else ""
        notes |= {int(row): f"{presentation}: {told}" for row in lost if int(row) not in notes}
    return Examined(broken, done | broken, lambda row: notes[row])


def _leaves_input(subject: Subject, x: Array) -> Examined:
    outcome = subject.call(x, "watched")
    changed = outcome.overwritten if outcome.overwritten is not None else np.zeros(len(x), dtype=np.bool_)
    return Examined(changed, outcome.completed | changed, lambda _: "its entries were overwritten")


def _repeats(subject: Subject, x: Array) -> Examined:
    first = subject.outcome(x)
    found = [_compared(subject, x, first, subject.call(x)) for _ in range(REPEATS - 1)]
    return next((examined for examined in found if examined.broken.any()), found[0])


def _compared(
    subject: Subject, x: Array, first: Outcome, second: Outcome, what: str = "called again"
) -> Examined:
    both = first.completed & second.completed
    if first.outputs is None or second.outputs is None:
        return Examined.nothing(len(x))
    return _differing(subject, first.outputs, second.outputs, both, what)


def _differing(subject: Subject, y: Array, other: Array, tried: Flags, what: str) -> Examined:
    broken = tried & ~same_bits(subject.out, y, other).all(axis=1)

    def note(row: int) -> str:
        return f"{hexadecimal(subject.out, y[row])}; {what}: {hexadecimal(subject.out, other[row])}"

    return Examined(broken, tried, note)


def _alone_as_in_a_batch(subject: Subject, x: Array) -> Examined:
    """A row alone has the bits that it has in any batch; the same accuracy, where the policy is that."""
    sizes = sorted({*BATCHES, max(2, min(x.shape[1], BATCHES[-1]))})
    return _alone_as_in(subject, x, sizes)


def _alone_as_in_a_large_batch(subject: Subject, x: Array) -> Examined:
    return _alone_as_in(subject, x, [LARGE])


def _alone_as_in(subject: Subject, x: Array, sizes: Iterable[int]) -> Examined:
    """Hold rows called alone against every copy of them in batches of so many rows."""
    crowd = np.concatenate([x, company(subject.format, x.shape[1])])
    y, done = _each_alone(subject, x)
    tried, broken = np.zeros(len(x), dtype=np.bool_), np.zeros(len(x), dtype=np.bool_)
    seen: dict[int, tuple[int, int, Array]] = {}
    for size in sizes:
        places = np.arange(size) % len(crowd)
        batch = subject.call(np.ascontiguousarray(crowd[places]))
        if batch.outputs is None:
            continue
        copies = np.flatnonzero((places < len(x)) & batch.completed)
        copies = copies[done[places[copies]]]
        which = places[copies]
        tried[which] = True
        wrong = _other_than_alone(subject, x, y, batch.outputs, which, copies)
        rows, first = np.unique(which[wrong], return_index=True)
        for row, place in zip(rows.tolist(), copies[wrong][first].tolist(), strict=True):
            seen[row] = place, size, batch.outputs[place].copy()
        broken[rows] = True
        if broken.any():
            break

    def note(row: int) -> str:
        place, size, there = seen[row]
        alone = hexadecimal(subject.out, y[row])
        return f"row {place} of {size}: {hexadecimal(subject.out, there)}; alone: {alone}"

    return Examined(broken, tried, note)


def _each_alone(subject: Subject, x: Array) -> tuple[Array, Flags]:
    """Return the outputs of rows called one by one, and which completed."""
    outcomes = [subject.call(row[None]) for row in x]
    zeros = np.zeros((1, x.shape[1]), dtype=subject.out.dtype)
    y = np.concatenate([zeros if outcome.outputs is None else outcome.outputs for outcome in outcomes])
    return y, np.array([bool(outcome.completed[0]) for outcome in outcomes])


def _other_than_alone(
    subject: Subject, x: Array, y: Array, batch: Array, which: NDArray[np.intp], copies: NDArray[np.intp]
) -> Flags:
    """Tell which copies, of rows `which`, are not as the rows alone are."""
    other: Flags = np.asarray(~same_bits(subject.out, batch[copies], y[which]).all(axis=1))
    if subject.candidate.declaration.policy.batch == "bitwise":
        return other
    differing = np.flatnonzero(other)
    rows, there, alone = x[which[differing]], batch[copies[differing]], y[which[differing]]
    compared = np.ones(len(differing), dtype=np.bool_)
    other[differing] = less_accurate(subject, rows, there, alone, compared) | less_accurate(
        subject, rows, alone, there, compared
    )
    return other


def _keeps_its_bits(subject: Subject, x: Array) -> Examined:
    """A result is what it was after other calls, and the same bits come out however often it is asked for."""
    first = subject.outcome(x)
    kept = _compared(subject, x, first, subject.call(x, "kept"), "after other calls")
    if kept.broken.any():
        return kept
    for call in range(MANY):
        again = _compared(subject, x, first, subject.call(x), f"call {call + 2}")
        if again.broken.any():
            return again
    return kept


def _no_negative_zero(subject: Subject, x: Array) -> Examined:
    y, done = subject.judged(x)
    values = subject.out.to_float64(y)
    broken = done & ((values == 0) & np.signbit(values)).any(axis=1)
    return Examined(broken, done, lambda row: hexadecimal(subject.out, y[row]))


def _check(name: str, title: str, rule: str, examine: Callable[..., Examined], **limits: Any) -> Check:
    return Check(name, "contract", title, rule, examine, **limits)


REORDERED: Final = (FAST,)
"""What calls whose rows are not contiguous are held to: NumPy adds one by one along a strided axis,
pairwise along a contiguous one (`numpy.sum`, Notes), so `standard` would refuse NumPy itself."""


def longest_reordered(fmt: FloatFormat) -> int:
    """Return how far NumPy's sum one by one in the format keeps to `fast`: (n - 1) u <= 1/8 in float16."""
    return max(257, 1 + (1 << max(fmt.precision - 3, 0)))


CONTRACT: Final = (
    _check(
        "shape",
        "shape and format kept",
        "Rows (k, n), vectors (n,) and stacks (a, b, n) come back in their shape, in the format asked for.",
        _keeps_shape,
        unpruned=True,
        most_rows=24,
    ),
    _check(
        "axis",
        "axis obeyed",
        "Along the first, the middle and the last axis of two and three, counted from either end, the outputs"
        " meet the tier fast where those of C-contiguous rows along the last axis do.",
        as_accurate(
            "first_axis",
            "first_of_cube",
            "middle_of_cube",
            "last_of_cube",
            "first_from_the_end",
            "middle_from_the_end",
            tiers=REORDERED,
        ),
        needs_axis=True,
        longest=longest_reordered,
    ),
    _check(
        "strides",
        "strided input accepted",
        "Every second column, the first columns of a wider array, negative strides, Fortran order and"
        " transposed stacks are taken, and the outputs meet the tier fast"
        " where those of C-contiguous rows do.",
        as_accurate("strided", "pitched", "reversed", "fortran", "transposed", tiers=REORDERED),
        longest=longest_reordered,
    ),
    _check(
        "placed",
        "as good wherever it lies, and nothing beside it written",
        "Vectors (n,), stacks (a, b, n), and rows that begin anywhere in memory are C-contiguous too: their"
        " outputs meet each tier that those of rows do, and what lies beside them in memory is left alone.",
        as_accurate("vectors", "cube", "amid"),
        most_rows=60,
    ),
    _check(
        "read_only",
        "read-only input accepted",
        "An array that may not be written to is taken, and the outputs meet each tier that others meet.",
        as_accurate("read_only"),
    ),
    _check(
        "unchanged", "input left unchanged", "No bit of the input is another after the call.", _leaves_input
    ),
    _check(
        "repeat", "same bits when called again", "Three calls on the same rows give the same bits.", _repeats
    ),
    _check(
        "keeps",
        "a result that stays as it is, call after call",
        f"An output is the same after calls with other rows, and {MANY} further calls give the same bits.",
        _keeps_its_bits,
        longest=300,
        most_rows=4,
    ),
    _check(
        "batch",
        "a row alone as in a batch",
        f"A C-contiguous row alone has the bits that it has anywhere in batches of {BATCHES[0]} to"
        f" {BATCHES[-1]} rows, one of them square; with the policy batch=accurate, it meets the same tiers.",
        _alone_as_in_a_batch,
        longest=300,
        most_rows=16,
        rows_at_once=8,
    ),
    _check(
        "large_batch",
        "a row alone as among tens of thousands",
        f"The same in a batch of {LARGE} rows.",
        _alone_as_in_a_large_batch,
        longest=17,
        most_rows=16,
        rows_at_once=0,
    ),
    _check("negative_zero", "no -0", "No output of a row with an exact result is -0.", _no_negative_zero),
)
