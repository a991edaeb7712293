"""From a batch that failed to the rows that do it, with every other row completed.

A batch that succeeds costs one call. One that fails is narrowed down as follows.

1. A few rows alone, spread over the batch: 3 where a failure costs a worker, 16 where not.
   If each fails, the candidate is taken to fail on everything: those rows are named, the
   rest is not tried.
2. The batch is cut into parts, called one after another in one worker; shared memory
   tells which part was running when the worker died. A failing part is cut again, down to
   single rows: into 32 where failures are cheap, into 1024 where each costs a worker. So a
   culprit among a thousand rows costs two workers, among a million three, where bisection would
   cost ten and twenty. Only a row called alone, and the whole batch, may take all of a time
   limit; parts are given up after an eighth of it, or a quarter of a second if that is more, and
   their rows tried.
3. After 48 lost workers, or 8 whole time limits, the rows not tried by then are left out, and
   the outcome says so.
4. All rows that completed are called again together, as one batch, so that their outputs are those of
   a batch in which the culprits never were. If that fails although no row of it fails alone, the fault
   names no row but the smallest failing number of rows from the start, and the outputs are those of
   the parts. If there was no culprit and it succeeds, the failure did not repeat; that is
   told as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.execution.calling import FaultKind
from harness.execution.outcome import Fault, Outcome

__all__ = ["Attempt", "Attempts", "Failure", "Part", "complete"]

Array = NDArray[Any]
Part = tuple[int, int]

FAN_OUT_MILD: Final = 32
FAN_OUT_FATAL: Final = 1024
SUSPICION: Final = 1 / 8
SAMPLE_FATAL: Final = 3
SAMPLE_MILD: Final = 16
MOST_FATAL: Final = 48
MOST_TIMED_OUT: Final = 8


@dataclass(frozen=True)
class Failure:
    """How one call failed.

    Attributes:
        kind: what happened.
        message: one line.
        fatal: whether it cost the worker.
    """

    kind: FaultKind
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Attempt:
    """What came of calling parts in turn, up to the first that failed.

    Attributes:
        passed: how many parts have outputs.
        outputs: shape of the rows given; meaningful in the parts that passed.
        failure: of the part after those, None if all passed.
        overwritten: which rows the candidate changed, where that was watched.
    """

    passed: int
    outputs: Array
    failure: Failure | None
    overwritten: NDArray[np.bool_] | None = None


class Attempts(Protocol):
    """Calls the candidate."""

    def __call__(self, x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """Call it on parts (first row, row after the last) of rows x, in turn.

        Each may take the share `patience` of the time limit, or as much as a worker needs to be heard.
        """


def complete(attempt: Attempts, x: Array) -> Outcome:
    """Return the outputs of every row that can be completed and name those that cannot.

    Args:
        attempt: calls the candidate.
        x: the rows, shape (rows, n).
    """
    rows = len(x)
    whole = attempt(x, [(0, rows)])
    if whole.failure is None:
        return Outcome(whole.outputs, np.ones(rows, dtype=np.bool_), overwritten=whole.overwritten)
    if whole.failure.kind == "unsupported":
        return Outcome.failed(rows, Fault("unsupported", None, whole.failure.message))
    return _Narrowing(attempt, x, whole).outcome()


class _Narrowing:
    """The search in one failed batch."""

    def __init__(self, attempt: Attempts, x: Array, whole: Attempt) -> None:
        assert whole.failure is not None
        self._attempt = attempt
        self._x = x
        self._first = whole.failure
        self._outputs = np.zeros(x.shape, dtype=whole.outputs.dtype)
        self._completed = np.zeros(len(x), dtype=np.bool_)
        self._overwritten = np.zeros(len(x), dtype=np.bool_)
        self._culprits: dict[int, Failure] = {}
        self._general: list[Fault] = []
        self._fatal = 0
        self._timed_out = 0
        self._count(whole.failure)

    def outcome(self) -> Outcome:
        if not self._fails_everywhere():
            self._descend(0, len(self._x))
            self._tell_untried("the limit on lost workers was reached")
            self._call_survivors()
        own = (Fault(f.kind, row, f.message) for row, f in sorted(self._culprits.items()))
        outputs = self._outputs if self._completed.any() else None
        return Outcome(outputs, self._completed, (*own, *self._general), self._overwritten)

    # 1: samples

    def _fails_everywhere(self) -> bool:
        size = SAMPLE_FATAL if self._first.fatal else SAMPLE_MILD
        sample = np.unique(np.linspace(0, len(self._x) - 1, size).astype(int)).tolist()
        for row in sample:
            if not self._fails_alone(row):
                return False
        self._tell_untried(f"each of the {len(sample)} rows tried alone fails")
        return True

    def _fails_alone(self, row: int) -> bool:
        result = self._try(row, [(row, row + 1)])
        if result.failure is not None:
            self._culprits[row] = result.failure
        return result.failure is not None

    # 2 and 3: parts of parts

    def _descend(self, low: int, high: int) -> None:
        fan_out = FAN_OUT_FATAL if self._first.fatal else FAN_OUT_MILD
        parts = [
            part
            for part in _cut(low, high, fan_out)
            if part[0] not in self._culprits or part[1] - part[0] > 1
        ]
        patience = 1.0 if len(parts) >= high - low else SUSPICION
        while parts and not self._spent:
            result = self._try(low, parts, patience)
            if result.failure is None:
                return
            first, last = parts[result.passed]
            if last - first == 1:
                self._culprits[first] = result.failure
            else:
                self._descend(first, last)
            parts = parts[result.passed + 1 :]

    def _try(self, low: int, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """Call parts, whose first row is `low` or later, and keep what passes."""
        high = parts[-1][1]
        result = self._attempt(self._x[low:high], [(a - low, b - low) for a, b in parts], patience)
        for first, last in parts[: result.passed]:
            self._keep(slice(first, last), result, slice(first - low, last - low))
        if result.failure is not None:
            self._count(result.failure, patience)
        return result

    def _keep(self, here: Any, result: Attempt, there: Any) -> None:
        self._outputs[here] = result.outputs[there]
        self._completed[here] = True
        if result.overwritten is not None:
            self._overwritten[here] |= result.overwritten[there]

    def _count(self, failure: Failure, patience: float = 1.0) -> None:
        self._fatal += failure.fatal
        self._timed_out += failure.kind == "timed_out" and patience == 1.0

    @property
    def _spent(self) -> bool:
        return self._fatal >= MOST_FATAL or self._timed_out >= MOST_TIMED_OUT

    def _tell_untried(self, reason: str) -> None:
        untried = int((~self._completed).sum()) - len(self._culprits)
        if untried > 0:
            self._say(f"{untried} further rows were not completed: {reason}")

    # 4: the survivors as one batch

    def _call_survivors(self) -> None:
        survivors = np.flatnonzero(self._completed)
        if not len(survivors):
            return
        x = self._x[survivors]
        result = self._attempt(x, [(0, len(x))])
        if result.failure is not None:
            self._say(f"{result.failure.message}; {self._fewest(x)}")
            return
        self._keep(survivors, result, slice(None))
        if not self._culprits and not self._general:
            self._say(f"{self._first.message}; once, on a batch of {len(x)} rows, and not when called again")

    def _fewest(self, x: Array) -> str:
        """Find how many rows from the start fail together although none fails alone."""
        fails, passes = len(x), 1
        while fails - passes > 1 and not self._spent:
            middle = (fails + passes) // 2
            failure = self._attempt(x[:middle], [(0, middle)]).failure
            if failure is None:
                passes = middle
            else:
                self._count(failure)
                fails = middle
        return f"the first {fails} rows fail together, no part of the batch alone; outputs are those of parts"

    def _say(self, message: str) -> None:
        self._general.append(Fault(self._first.kind, None, message))


def _cut(low: int, high: int, most: int) -> list[Part]:
    """Cut rows into so many parts at most, of nearly equal size, none empty."""
    count = min(most, high - low)
    edges = [low + (high - low) * i // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))
