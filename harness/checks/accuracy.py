"""Whether a call with rows arranged otherwise is as accurate as the plain call was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checks.check import Examined, Subject, hexadecimal, same_bits
from harness.execution import Outcome, Presentation
from reference.errors import Judgement, judge
from reference.formats import FloatFormat
from reference.tiers import FAST, STANDARD
from reference.truth import truth

__all__ = ["as_accurate", "floor_of", "less_accurate"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]


def as_accurate(*presentations: Presentation) -> Any:
    """Return the examination that asks calls so presented to be completed and to meet the same tier."""

    def examine(subject: Subject, x: Array) -> Examined:
        y, _ = subject.judged(x)
        done = subject.outcome(x).completed
        broken, notes = np.zeros(len(x), dtype=np.bool_), {}
        for presentation in presentations:
            other = subject.call(x, presentation)
            worse = done & (~other.completed | less_accurate(subject, x, y, done, other))
            for row in np.flatnonzero(worse & ~broken):
                notes[int(row)] = (presentation, other)
            broken |= worse
        return Examined(broken, done, lambda row: _note(subject, x, y, row, *notes[row]))

    return examine


def less_accurate(subject: Subject, x: Array, y: Array, done: Flags, other: Outcome) -> Flags:
    """Tell which rows of other outputs miss a tier that outputs y meet on the same row."""
    worse = np.zeros(len(x), dtype=np.bool_)
    if other.outputs is None:
        return worse
    both = done & other.completed
    rows = np.flatnonzero(both & ~same_bits(subject.out, y, other.outputs).all(axis=1))
    if rows.size:
        worse[rows] = _misses(subject, x[rows], y[rows], other.outputs[rows])
    return worse


def floor_of(fmt: FloatFormat, out: FloatFormat, x: Array, y: Array) -> tuple[bool, bool]:
    """Tell whether all outputs with an exact result are correctly rounded, and whether all are faithful."""
    exact = truth(fmt.to_float64(x), out)
    judgement = judge(y, exact)
    policy = np.isnan(exact.nearest)
    return bool((judgement.correct | policy).all()), bool((judgement.faithful | policy).all())


def _misses(subject: Subject, x: Array, y: Array, other: Array) -> Flags:
    values = subject.format.to_float64(x)
    exact = truth(values, subject.out)
    before, after = judge(y, exact), judge(other, exact)
    misses = np.zeros(len(x), dtype=np.bool_)
    for tier in (STANDARD, FAST):
        bounds = tier.bounds(values, exact, subject.format)
        misses |= _meets(before, bounds) & ~_meets(after, bounds)
    if subject.floor is not None:
        kept = after.correct if subject.floor == "rounded" else after.faithful
        misses |= ~(kept | np.isnan(exact.nearest)).all(axis=1)
    return misses


def _meets(judgement: Judgement, bounds: NDArray[np.float64]) -> Flags:
    """Tell which rows are within their bounds; where there is none, none is."""
    return np.asarray((judgement.ulp <= bounds).all(axis=1))


def _note(subject: Subject, x: Array, y: Array, row: int, presentation: Presentation, other: Outcome) -> str:
    if not other.completed[row]:
        told = [f.message for f in other.faults if f.row in (row, None)] or ["not completed"]
        return f"{presentation}: {told[0]}"
    assert other.outputs is not None
    exact = truth(subject.format.to_float64(x[row : row + 1]), subject.out)
    worst = [
        float(np.fmax.reduce(judge(rows, exact).ulp[0]))
        for rows in (other.outputs[row : row + 1], y[row : row + 1])
    ]
    return (
        f"{presentation}: {hexadecimal(subject.out, other.outputs[row])}, {worst[0]:.6g} ULP,"
        f" where the plain call is good to {worst[1]:.6g}"
    )
