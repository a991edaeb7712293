"""Questions to a candidate: short rows of chosen values, many in a call."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.subject import Subject
from reference.formats import FloatFormat

__all__ = ["SLOW", "TIMED", "Questions"]

Floats = NDArray[np.float64]

SLOW: Final = 1e-3
"""Seconds of a call of a few rows of `TIMED` entries; NumPy takes a thirtieth, loops of Python more."""

TIMED: Final = 1030

_ELEMENTS: Final = 1 << 21
"""Entries of a call, at most."""


class Questions:
    """Asks a subject, and counts what it asked.

    Attributes:
        subject: whom.
        rows: rows asked so far.
        fault: how the first call failed that did; empty where none did.
        off: a logit so far below 0 that its exponential is 0, or too small to count in any sum here.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.rows = 0
        self.fault = ""
        self.off = -208.0 if subject.format.storage_bits <= 32 else -800.0

    @property
    def format(self) -> FloatFormat:
        """The format of the rows."""
        return self.subject.format

    @property
    def out(self) -> FloatFormat:
        """The format of the outputs."""
        return self.subject.out

    def held(self, x: Any) -> Floats:
        """Return numbers as the format of the rows holds them."""
        return self.format.to_float64(self.format.from_float64(np.asarray(x, dtype=np.float64)))

    def rounded(self, y: Any) -> Floats:
        """Return numbers rounded to the format of the outputs."""
        return self.out.to_float64(self.out.from_float64(np.asarray(y, dtype=np.float64)))

    def ask(self, x: Any) -> Floats:
        """Return the outputs of rows x, shape (k, n), as float64; NaN where a row has none."""
        rows = self.format.from_float64(np.asarray(x, dtype=np.float64))
        self.rows += len(rows)
        step = max(1, _ELEMENTS // rows.shape[1])
        return np.concatenate([self._called(rows[i : i + step]) for i in range(0, len(rows), step)])

    def _called(self, rows: NDArray[Any]) -> Floats:
        outcome = self.subject.run(rows)
        if outcome.faults and not self.fault:
            self.fault = outcome.faults[0].message
        if outcome.outputs is None:
            return np.full(rows.shape, np.nan)
        y = self.out.to_float64(outcome.outputs)
        return np.where(outcome.completed[:, None], y, np.nan)

    @property
    def is_slow(self) -> bool:
        """Whether calls take so long that those that look for rare lengths and large calls are left out."""
        return self.seconds > SLOW

    @cached_property
    def seconds(self) -> float:
        """The time of a call of a few rows of `TIMED` entries, the shortest of some."""
        rows = self.format.from_float64(np.zeros((3, TIMED)))

        def seconds() -> float:
            start = time.perf_counter()
            told = self.subject.run(rows).seconds
            return time.perf_counter() - start if told is None else told

        return min(seconds() for _ in range(5))

    def logit(self, share: float) -> float:
        """Return a logit of the format whose exponential is near a share."""
        return float(self.held(math.log(share)))

    def pairs(self, length: int, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
        """Return rows that are 0 at two places and off elsewhere."""
        x = np.full((len(first), length), self.off)
        each = np.arange(len(first))
        x[each, first] = x[each, second] = 0
        return x
