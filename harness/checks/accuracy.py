"""Whether a call with rows arranged otherwise is as accurate as the plain call was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.check import Examined, Examinee, number, same_bits
from harness.checks.samples import are_thin
from harness.measurement import Rows
from harness.subject.execution import Outcome, Presentation
from harness.subject.subject import Subject
from reference.errors import Judgement
from reference.formats import FloatFormat
from reference.tiers import FAST, STANDARD, Tier

__all__ = ["as_accurate", "company", "floor_of", "less_accurate", "meets"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

STACKED: Final = 12
"""Rows come in multiples of this, so that a stack of them has more than one row either way."""


def as_accurate(
    *presentations: Presentation,
    tiers: tuple[Tier, ...] = (STANDARD, FAST),
    dense: Callable[[FloatFormat], int] | None = None,
) -> Callable[[Examinee, Array], Examined]:
    """Return the examination that asks calls so presented to be completed and to meet the tiers as well.

    Args:
        presentations: how rows are handed over.
        tiers: what outputs are to meet.
        dense: of rows of more entries only those are held to it that are thin; depends on the output format.
    """

    def examine(examinee: Examinee, x: Array) -> Examined:
        crowd = np.concatenate([x, company(examinee.subject, x.shape[1])])
        crowd = np.ascontiguousarray(crowd[np.arange(-(-len(crowd) // STACKED) * STACKED) % len(crowd)])
        plain = examinee.call(crowd)
        done = plain.completed[: len(x)]
        if dense is not None and x.shape[1] > dense(examinee.out):
            done = done & are_thin(examinee.format, x)
        broken, notes = np.zeros(len(x), dtype=np.bool_), {}
        for presentation in presentations if plain.outputs is not None and done.any() else ():
            other = examinee.call(crowd, presentation)
            worse = done & _worse(examinee, x, plain, other, tiers)
            for row in np.flatnonzero(worse & ~broken):
                notes[int(row)] = (presentation, other)
            broken |= worse
        return Examined(broken, done, lambda row: _note(examinee, x, plain, row, *notes[row]))

    return examine


def company(subject: Subject, length: int) -> Array:
    """Return five rows to stand beside others, lest an arrangement of one row be no arrangement.

    Zeros, ramps up and down, the largest number and its negative, brought into the subject's range if it has
    one: what a row must not be mixed up with.
    """
    fmt = subject.format
    largest = float(fmt.largest)
    ramp = np.minimum(np.arange(length), largest)
    flat = [np.full(length, value) for value in (0.0, largest, -largest)]
    rows = fmt.from_float64(np.stack([ramp, -ramp, *flat]))
    return rows if subject.within is None else subject.within.fitted(fmt, rows)


def _worse(examinee: Examinee, x: Array, plain: Outcome, other: Outcome, tiers: tuple[Tier, ...]) -> Flags:
    """Tell which rows are not completed, or miss a tier, where the plain call did better."""
    rows = len(x)
    done, completed = plain.completed[:rows], other.completed[:rows]
    if plain.outputs is None or other.outputs is None:
        return done & ~completed
    worse = less_accurate(examinee, x, plain.outputs[:rows], other.outputs[:rows], done & completed, tiers)
    return worse | (done & ~completed)


def less_accurate(
    examinee: Examinee,
    x: Array,
    y: Array,
    other: Array,
    compared: Flags,
    tiers: tuple[Tier, ...] = (STANDARD, FAST),
) -> Flags:
    """Tell which of the rows to be compared miss, in other outputs, a tier that outputs y meet."""
    worse = np.zeros(len(x), dtype=np.bool_)
    rows = np.flatnonzero(compared & ~same_bits(examinee.out, y, other).all(axis=1))
    if rows.size:
        worse[rows] = _misses(examinee, x[rows], y[rows], other[rows], tiers)
    return worse


def floor_of(subject: Subject, x: Array, y: Array) -> tuple[bool, bool]:
    """Tell whether all outputs with an exact result are correctly rounded, and whether all are faithful."""
    rows = Rows.about(subject, x)
    judgement = rows.judge(y)
    policy = np.isnan(rows.truth.nearest)
    return bool((judgement.correct | policy).all()), bool((judgement.faithful | policy).all())


def _misses(examinee: Examinee, x: Array, y: Array, other: Array, tiers: tuple[Tier, ...]) -> Flags:
    rows = Rows.about(examinee.subject, x)
    before, after = (rows.judge(outputs) for outputs in (y, other))
    misses = np.zeros(len(x), dtype=np.bool_)
    for tier in tiers:
        misses |= meets(before, rows, tier) & ~meets(after, rows, tier)
    if examinee.floor is not None:
        kept = after.correct if examinee.floor == "rounded" else after.faithful
        misses |= ~(kept | np.isnan(rows.truth.nearest)).all(axis=1)
    return misses


def meets(judgement: Judgement, rows: Rows, tier: Tier) -> Flags:
    """Tell which rows are within the bounds of a tier; where there is none, none is."""
    return np.asarray((judgement.ulp <= rows.bounds_of(tier)).all(axis=1))


def _note(
    examinee: Examinee, x: Array, plain: Outcome, row: int, presentation: Presentation, other: Outcome
) -> str:
    if not other.completed[row]:
        told = [f.message for f in other.faults if f.row in (row, None)] or ["not completed"]
        return f"{presentation}: {told[0]}"
    assert plain.outputs is not None
    assert other.outputs is not None
    y, there = plain.outputs[row], other.outputs[row]
    there_off, off = (_errors(examinee, x[row], outputs) for outputs in (there, y))
    k = int(np.argmax(np.nan_to_num(there_off, nan=np.inf)))
    return (
        f"{presentation}: entry {k} is {number(examinee.out, there[k])}, {_in_words(there_off[k])};"
        f" the plain call gives {number(examinee.out, y[k])}, {_in_words(off[k])}"
    )


def _errors(examinee: Examinee, row: Array, y: Array) -> NDArray[np.float64]:
    """Return how wrong the outputs of a row are, in ULP."""
    rows = Rows.about(examinee.subject, row[None])
    return np.asarray(rows.judge(y[None]).ulp[0])


def _in_words(ulp: float) -> str:
    return "not finite" if np.isnan(ulp) else f"{float(ulp):.6g} ULP off"
