"""Claim 3: softmax(x) = softmax(x + c), and the shift by the maximum is safe from overflow and underflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.claims.evidence import Batch, Evidence, batch_of
from harness.claims.forms import SHIFTED
from harness.claims.result import DEPENDS, REFUTED, Finding, not_refuted
from harness.subject.candidates import BUILTINS
from reference.errors import ulp_of
from reference.formats import FORMATS
from reference.model import Method
from reference.truth import truth
from reports.record.witness import Witness

__all__ = ["is_invariant_and_safe"]

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

MOVED: Final = "shifted_by_constant"
CONSTANT: Final = BUILTINS[MOVED].declaration.constant

_CROWDS: Final = 1 << 17
"""The greatest length of rows of equal entries."""


@dataclass(frozen=True)
class _Move:
    """The rows of a batch beside the same rows moved by c, both with their exact softmax.

    Attributes:
        exact: every x + c is a number of the format.
        rounded: some is not; all are finite.
        change: the greatest distance between two correctly rounded results, in ULP.
    """

    batch: Batch
    exact: Flags
    rounded: Flags
    change: Floats

    @property
    def changed(self) -> Flags:
        """The rows in which a correctly rounded result differs."""
        return np.asarray(self.change > 0)


def is_invariant_and_safe(evidence: Evidence) -> Finding:
    """Compare the exact softmax of x with that of x + c, and look for rows that overflow after the shift."""
    moves = [_move(batch, evidence.method) for batch in evidence.batches]
    unsafe = Evidence(tuple(_unsafe(evidence.method)))
    figures = {
        "c": CONSTANT,
        "exact": (exact := sum(int(m.exact.sum()) for m in moves)),
        "exact_changed": (wrong := sum(int((m.exact & m.changed).sum()) for m in moves)),
        "rounded": (rounded := sum(int(m.rounded.sum()) for m in moves)),
        "rounded_changed": (broken := sum(int((m.rounded & m.changed).sum()) for m in moves)),
        "worst_change_ulp": max(float(m.change[m.rounded].max(initial=0.0)) for m in moves),
        "rows": evidence.count(lambda b: np.ones(len(b.x), np.bool_)),
        "max_shifted_failed": evidence.count(_shifted_fails),
        "float16_crowd": unsafe.batches[-1].x.shape[1],
        "unsafe": (overflowing := unsafe.count(_shifted_fails)),
    }
    return Finding(
        REFUTED if wrong else DEPENDS if broken or overflowing else not_refuted(exact + rounded),
        "Of {exact} rows whose x + c is exact, c being {c}, {exact_changed} change their exact result. Of"
        " {rounded} rows whose x + c is rounded {rounded_changed} do, by up to {worst_change_ulp} ULP. Of"
        " {rows} rows in four formats {max_shifted_failed} fail in max_shifted, and {unsafe} of 2 made for"
        " it: (448, -448) in float8_e4m3fn, where x - max leaves the range, and {float16_crowd} equal entries"
        " in float16, whose sum does.",
        figures,
        (
            _worst_change(moves),
            _no_change(moves),
            *(b.witness(SHIFTED, 0, "overflow") for b in unsafe.batches),
        ),
    )


def _shifted_fails(batch: Batch) -> Flags:
    return batch.seen[SHIFTED].failed


# Invariance ------------------------------------------------------------------------------


def _move(batch: Batch, method: Method) -> _Move:
    fmt = batch.format
    with np.errstate(over="ignore"):
        moved = fmt.to_float64(batch.x + batch.x.dtype.type(CONSTANT))
    finite = np.isfinite(moved).all(axis=1)
    moved[~finite] = 0.0
    exact = (_rounding_error(batch.values, moved) == 0).all(axis=1)
    there = truth(moved, fmt, method).nearest
    change = (np.abs(there - batch.truth.nearest) / ulp_of(batch.truth)).max(axis=1)
    return _Move(batch, finite & exact, finite & ~exact, change)


def _rounding_error(x: Floats, s: Floats) -> Floats:
    """Return x + c - s for s = fl(x + c), exactly: |larger| >= |smaller| (Dekker's FastTwoSum)."""
    dominant = np.abs(x) >= abs(CONSTANT)
    larger, smaller = np.where(dominant, x, CONSTANT), np.where(dominant, CONSTANT, x)
    return np.asarray(smaller - (s - larger))


def _worst_change(moves: list[_Move]) -> Witness | None:
    """Return the row that rounding x + c changes most, of those that the form shifted by c survives."""
    changes = [(m, np.where(m.rounded & ~m.batch.seen[MOVED].failed, m.change, 0.0)) for m in moves]
    move, change = max(changes, key=lambda pair: float(pair[1].max(initial=0.0)))
    return move.batch.witness(MOVED, int(np.argmax(change)), "max_ulp") if change.any() else None


def _no_change(moves: list[_Move]) -> Witness | None:
    for move in moves:
        for row in np.flatnonzero(move.exact & ~move.changed & ~move.batch.seen[MOVED].failed)[:1]:
            return move.batch.witness(MOVED, int(row), "max_ulp")
    return None


# Safety ----------------------------------------------------------------------------------


def _unsafe(method: Method) -> Iterator[Batch]:
    """Yield two rows that overflow after the shift by the maximum: in x - max, and in the sum."""
    narrow, half = FORMATS["float8_e4m3fn"], FORMATS["float16"]
    omega = float(narrow.largest)
    for fmt, row in ((narrow, [omega, -omega]), (half, [0.0] * _least_crowd())):
        yield batch_of(
            fmt, fmt.from_float64([row]), ["named"], ["a row that people name"], method, (SHIFTED,)
        )


def _least_crowd() -> int:
    """Return the least number of equal float16 entries whose sum overflows after the shift, by bisection."""
    sound, overflowing = 1, _CROWDS
    while overflowing - sound > 1:
        middle = (sound + overflowing) // 2
        if BUILTINS[SHIFTED](np.zeros((1, middle), np.float16)).any():
            sound = middle
        else:
            overflowing = middle
    return overflowing
