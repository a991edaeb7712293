"""The contract of a candidate, apart from accuracy; a violation is a defect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import as_accurate, company, less_accurate
from harness.checks.check import Check, Examined, Subject, hexadecimal, same_bits
from harness.execution import Outcome, Presentation
from reference.tiers import FAST

__all__ = ["CONTRACT"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

BATCH_ROWS: Final = 2048
"""Rows of the batch that a row alone is held against."""

REPEATS: Final = 3


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


def _compared(subject: Subject, x: Array, first: Outcome, second: Outcome) -> Examined:
    both = first.completed & second.completed
    if first.outputs is None or second.outputs is None:
        return Examined.nothing(len(x))
    return _differing(subject, first.outputs, second.outputs, both, "called again")


def _differing(subject: Subject, y: Array, other: Array, tried: Flags, what: str) -> Examined:
    broken = tried & ~same_bits(subject.out, y, other).all(axis=1)

    def note(row: int) -> str:
        return f"{hexadecimal(subject.out, y[row])}; {what}: {hexadecimal(subject.out, other[row])}"

    return Examined(broken, tried, note)


def _alone_as_in_a_batch(subject: Subject, x: Array) -> Examined:
    """A row alone has the bits that it has among thousands; the same accuracy, where the policy is that."""
    crowd = np.concatenate([x, company(subject.format, x.shape[1])])
    batch = subject.call(np.ascontiguousarray(crowd[np.arange(max(BATCH_ROWS, len(x))) % len(crowd)]))
    alone = [subject.call(row[None]) for row in x]
    if batch.outputs is None or all(outcome.outputs is None for outcome in alone):
        return Examined.nothing(len(x))
    completed = np.array([bool(outcome.completed[0]) for outcome in alone])
    zeros = np.zeros((1, x.shape[1]), dtype=subject.out.dtype)
    single = np.concatenate([zeros if o.outputs is None else o.outputs for o in alone])
    together, tried = batch.outputs[: len(x)], completed & batch.completed[: len(x)]
    examined = _differing(subject, together, single, tried, "alone")
    if subject.candidate.declaration.policy.batch == "bitwise":
        return examined
    worse = less_accurate(subject, x, together, single, tried) | less_accurate(
        subject, x, single, together, tried
    )
    return Examined(worse, tried, examined.note)


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

LONGEST_REORDERED: Final = 257
"""As far as `fast` allows a float16 sum one by one in float16, (n - 1) u <= 1/8, as NumPy makes it."""

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
        "Along the first, the middle and the last axis of two and three, the outputs meet the tier fast"
        " where those of C-contiguous rows along the last axis do.",
        as_accurate("first_axis", "first_of_cube", "middle_of_cube", "last_of_cube", tiers=REORDERED),
        needs_axis=True,
        longest=LONGEST_REORDERED,
    ),
    _check(
        "strides",
        "strided input accepted",
        "Every second column, negative strides, Fortran order and transposed stacks are taken, and the"
        " outputs meet the tier fast where those of C-contiguous rows do.",
        as_accurate("strided", "reversed", "fortran", "transposed", tiers=REORDERED),
        longest=LONGEST_REORDERED,
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
        "batch",
        "a row alone as in a batch",
        f"A C-contiguous row alone has the bits that it has in a batch of {BATCH_ROWS} rows; with the policy"
        " batch=accurate, it meets the same tiers.",
        _alone_as_in_a_batch,
        longest=300,
        most_rows=16,
        rows_at_once=8,
    ),
    _check("negative_zero", "no -0", "No output of a row with an exact result is -0.", _no_negative_zero),
)
