"""The rows that settle the claims, their truth, and the outputs of the named forms.

Every drawn regime contributes the same number of rows of one length in each format, and a
few rows that people name come before them. Only finite rows are kept: the claims are about numbers. Whether
an exponential leaves the range is seen from the logits with a margin that no exp of any
use misses; rows within the margin count on neither side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates import BUILTINS, Candidate
from reference.errors import ElementClass, Judgement, RowFailure
from reference.formats import FORMATS, FloatFormat
from reference.model import Method, Truth
from reference.ops import SOFTMAX
from reference.row_kinds import RowKind, row_kinds
from reference.truth import truth
from reports.record.witness import CellKey, Witness
from strategies.regimes import REGIMES
from strategies.thresholds import log_largest, log_smallest_normal, log_smallest_subnormal

__all__ = ["LENGTH", "Batch", "Evidence", "Observation", "Test", "batch_of", "gather"]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LENGTH: Final = 8
LONG: Final = 600
LONG_ROWS: Final = 2
"""The number of entries of a drawn row."""

_FORMATS: Final = ("float64", "float32", "float16", "bfloat16")
_PLAIN: Final = ("naive", "max_shifted", "shifted_by_constant")
_PAIRS: Final = (
    (800.0, 0.0),
    (-800.0, -801.0),
    (0.0, -800.0),
    (-600.0, -750.0),
    (-80.0, -110.0),
    (0.0, -1.0),
)
_MARGIN: Final = 2.0**-5


@dataclass(frozen=True)
class Observation:
    """The outputs of one candidate for a batch, and their judgement."""

    candidate: Candidate
    y: Array
    judgement: Judgement

    @cached_property
    def failed(self) -> Flags:
        """The rows that failed."""
        return np.asarray(self.judgement.failure != RowFailure.NONE)

    @cached_property
    def nonfinite(self) -> Flags:
        """The rows with a NaN or an infinity."""
        return self.has(ElementClass.NONFINITE)

    @cached_property
    def error(self) -> Floats:
        """The greatest ULP error of each row; +inf where an output is nonfinite."""
        return np.where(self.nonfinite, np.inf, np.nan_to_num(self.judgement.ulp, nan=np.inf).max(axis=1))

    def has(self, *classes: ElementClass) -> Flags:
        """The rows with an element of these classes."""
        return np.asarray(np.isin(self.judgement.classes, classes).any(axis=1))


@dataclass(frozen=True)
class Batch:
    """Finite rows of one format and length; `origins` gives the source of each."""

    format: FloatFormat
    x: Array
    values: Floats
    truth: Truth
    regimes: tuple[str, ...]
    origins: tuple[str, ...]
    seen: Mapping[str, Observation]

    @cached_property
    def largest(self) -> Floats:
        """The greatest logit of each row."""
        return np.asarray(self.values.max(axis=1))

    @cached_property
    def smallest(self) -> Floats:
        """The least logit of each row."""
        return np.asarray(self.values.min(axis=1))

    @cached_property
    def no_exp_overflows(self) -> Flags:
        """Every exp(x) is finite."""
        return self.largest < log_largest(self.format) - _MARGIN

    @cached_property
    def nothing_overflows(self) -> Flags:
        """Every exp(x), and the sum of all, is finite."""
        return self.largest + math.log(self.x.shape[1]) < log_largest(self.format) - _MARGIN

    @cached_property
    def an_exp_overflows(self) -> Flags:
        """Some exp(x) is not."""
        return self.largest > log_largest(self.format) + _MARGIN

    @cached_property
    def an_exp_is_normal(self) -> Flags:
        """The greatest exp(x) is normal."""
        return self.largest > log_smallest_normal(self.format) + _MARGIN

    @cached_property
    def in_range(self) -> Flags:
        """Nothing overflows and every exp(x) is normal."""
        return self.nothing_overflows & (self.smallest > log_smallest_normal(self.format) + _MARGIN)

    @cached_property
    def some_exp_vanishes(self) -> Flags:
        """Some but not all exp(x) round to zero, and nothing overflows."""
        gone = log_smallest_subnormal(self.format) - math.log(2.0)
        some = (self.smallest < gone - _MARGIN) & (self.largest > gone + math.log(2.0) + _MARGIN)
        return self.nothing_overflows & some

    @cached_property
    def shifted_in_range(self) -> Flags:
        """Every exp(x - max) is normal."""
        return self.smallest > self.largest + log_smallest_normal(self.format) + _MARGIN

    def witness(self, candidate: str, row: int, kind: str) -> Witness:
        """Return a row and the outputs of a candidate as a witness, in exact bits."""
        seen = self.seen[candidate]
        name, regime = self.format.name, self.regimes[row]
        cell = CellKey(candidate, SOFTMAX.name, name, name, regime, self.x.shape[1])
        score, element = _worst_element(seen.judgement, row, kind)
        y = seen.y[row]
        x_bits, y_bits = self.format.to_hex(self.x[row]), self.format.to_hex(y)
        return Witness(cell, kind, score, x_bits, y_bits, element, self.origins[row])


def _worst_element(judgement: Judgement, row: int, kind: str) -> tuple[float, int | None]:
    if kind == "lost":
        return 0.0, int(np.argmax(judgement.classes[row] == ElementClass.LOST))
    if kind != "max_ulp":
        return 0.0, None
    element = int(np.nanargmax(judgement.ulp[row]))
    return float(judgement.ulp[row, element]), element


Test = Callable[[Batch], Flags]
"""Picks rows of a batch."""


@dataclass(frozen=True)
class Evidence:
    """All batches, the named rows first."""

    batches: tuple[Batch, ...]
    seed: int = 0
    method: Method = "certified"

    def count(self, test: Test) -> int:
        """Return the number of rows in which a test holds."""
        return sum(int(test(batch).sum()) for batch in self.batches)

    def first(self, candidate: str, kind: str, test: Test) -> Witness | None:
        """Return the first row in which a test holds, as a witness; None where there is none."""
        for batch in self.batches:
            for row in np.flatnonzero(test(batch))[:1]:
                return batch.witness(candidate, int(row), kind)
        return None

    def greatest(self, figure: Callable[[Batch], Floats], test: Test) -> float:
        """Return the greatest figure of the rows in which a test holds; 0 where there are none."""
        return max((float(v) for b in self.batches for v in figure(b)[test(b)]), default=0.0)

    def at_greatest(
        self, candidate: str, kind: str, figure: Callable[[Batch], Floats], test: Test
    ) -> Witness | None:
        """Return the row of the greatest figure, as a witness; None where the test holds nowhere."""
        worst = self.greatest(figure, test)
        return self.first(candidate, kind, lambda b: test(b) & (figure(b) == worst))

    @cached_property
    def and_long_rows(self) -> Evidence:
        """This evidence with a few long rows of every regime, whose sums narrow formats get wrong."""
        long = (_drawn(FORMATS[name], self.seed, self.method, LONG_ROWS, LONG) for name in _FORMATS)
        return replace(self, batches=(*self.batches, *long))


# Gathering -------------------------------------------------------------------------------


def gather(seed: int, method: Method, rows: int) -> Evidence:
    """Return the outputs of the named forms for `rows` rows of every regime in each format."""
    batches = [batch for name in _FORMATS for batch in _named(FORMATS[name], method)]
    batches += [_drawn(FORMATS[name], seed, method, rows) for name in _FORMATS]
    return Evidence(tuple(batches), seed, method)


def _named(fmt: FloatFormat, method: Method) -> Iterator[Batch]:
    crowd = [float(math.floor(log_largest(fmt)))] * LENGTH  # each exp is finite, their sum is not
    for rows in (_PAIRS, [crowd]):
        x = fmt.from_float64(np.array(rows))
        yield batch_of(fmt, x, ["named"] * len(rows), ["a row that people name"] * len(rows), method)


def _drawn(fmt: FloatFormat, seed: int, method: Method, rows: int, length: int = LENGTH) -> Batch:
    drawn = [r for r in REGIMES.values() if not r.policy and r.supports(fmt, length)]
    x = np.concatenate([r.rows(fmt, rows, length, seed, 0) for r in drawn])
    regimes = [r.name for r in drawn for _ in range(rows)]
    origins = [f"batch 0, row {row}" for _ in drawn for row in range(rows)]
    return batch_of(fmt, x, regimes, origins, method)


def batch_of(
    fmt: FloatFormat,
    x: Array,
    regimes: Sequence[str],
    origins: Sequence[str],
    method: Method,
    candidates: Sequence[str] = _PLAIN,
) -> Batch:
    """Return the finite rows of x, (rows, n), with the outputs of the candidates."""
    kept = row_kinds(fmt.to_float64(x)) == RowKind.FINITE
    x, places = np.ascontiguousarray(x[kept]), np.flatnonzero(kept).tolist()
    values = fmt.to_float64(x)
    exact = truth(values, fmt, method)
    seen = {name: _observe(BUILTINS[name], x, exact, method) for name in candidates}
    return Batch(
        fmt, x, values, exact, tuple(regimes[i] for i in places), tuple(origins[i] for i in places), seen
    )


def _observe(candidate: Candidate, x: Array, exact: Truth, method: Method) -> Observation:
    y = candidate(x)
    judged = SOFTMAX.judge(y, exact) if method == "mpmath" else SOFTMAX.judge_certified(y, exact, 1)
    return Observation(candidate, y, judged)
