"""Find the rows that make a batch fail, and complete all others.

A batch that passes costs one call. A failed call is repeated as long as it may fail by chance (`retries`);
if a repeat passes, a fault records it, and no row is lost. A batch that fails again is narrowed down:

1. Sample: a few rows spread over the batch are called alone, 3 where a failure costs a worker, 16 where
   not. If each fails, the candidate is taken to fail on every row: the outcome names these rows, and the
   rest are not tried.
2. Descend: the batch is cut into parts, which one worker is called on in turn; shared memory shows which
   part it was called on when it died. A part that fails is cut again, down to single rows: into 32 where
   failures are cheap, into 1024 where each costs a worker. So a culprit among a thousand rows costs two
   workers, and one among a million three, where bisection would cost ten and twenty. Only a row called
   alone and the whole batch may take all of the time limit. A part is stopped after an eighth of it, or a
   quarter of a second if that is more, and its rows are tried.
3. Stop: after 48 lost workers, after 8 whole time limits, or when the allowance for the candidate's faults
   is spent (`allowance`), the remaining rows are not tried, and the outcome says so.
4. Join: all rows that completed are called again as one batch, so that their outputs are those of a batch
   without culprits. If that fails although no row fails alone, the fault names no row but the smallest
   number of rows from the start that fails, and the outputs are those of the parts. Where a presentation is
   one call, that number is kept, and later batches are called in parts. If there was no culprit and the
   batch passes, the failure did not repeat, and a fault says so.

A call that took all of the time limit may be slow, not hung. So one row and a few rows are timed. Where the
batch would then take half of the limit or more, it is called once more with the time that it needs.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.allowance import SUSPICION, Allowance
from harness.subject.execution.attempts import Attempt, Attempts, Failure, Part
from harness.subject.execution.outcome import Fault, Outcome
from harness.subject.execution.retries import Retries

__all__ = ["complete"]

Array = NDArray[Any]

FAN_OUT_MILD: Final = 32
FAN_OUT_FATAL: Final = 1024
SAMPLE_FATAL: Final = 3
SAMPLE_MILD: Final = 16
MOST_FATAL: Final = 48
MOST_TIMED_OUT: Final = 8
FEW: Final = 16  # rows called together, to separate the cost of a row from that of a call


def complete(attempt: Attempts, x: Array, allowance: Allowance, *, is_plain: bool = True) -> Outcome:
    """Return the outputs of every row that can be completed, and the faults of those that cannot.

    Args:
        attempt: calls the candidate.
        x: the rows, shape (rows, n).
        allowance: the time left for its faults.
        is_plain: whether a presentation of rows is one call.
    """
    if allowance.is_exhausted:
        return _untried(len(x), allowance)
    aside = allowance.set_aside(x)
    if not aside.any():
        return _called(attempt, x, allowance, is_plain=is_plain)
    if aside.all():
        return _untried(len(x), allowance)
    others = np.flatnonzero(~aside)
    allowance.count_untried(len(x) - len(others))
    reason = "not tried: beyond all rows that completed, and similar rows failed"
    fault = Fault("not_tried", None, reason)
    return _whole_outcome(_called(attempt, x[others], allowance, is_plain=is_plain), others, len(x), fault)


def _untried(rows: int, allowance: Allowance) -> Outcome:
    allowance.count_untried(rows)
    reason = "not tried: failing calls had used up their time, or similar rows failed"
    return Outcome.failed(rows, Fault("not_tried", None, reason))


def _whole_outcome(outcome: Outcome, rows: NDArray[np.intp], count: int, fault: Fault) -> Outcome:
    """Return the outcome of a whole batch from that of some rows; the others have the fault."""

    def whole(part: NDArray[Any] | None) -> Any:
        if part is None:
            return None
        array = np.zeros((count, *part.shape[1:]), dtype=part.dtype)
        array[rows] = part
        return array

    faults = tuple(replace(f, row=None if f.row is None else int(rows[f.row])) for f in outcome.faults)
    return Outcome(
        whole(outcome.outputs), whole(outcome.completed), (*faults, fault), whole(outcome.overwritten)
    )


def _called(attempt: Attempts, x: Array, allowance: Allowance, *, is_plain: bool) -> Outcome:
    retries = Retries(attempt, allowance, is_plain=is_plain)
    outcome = _narrowed(retries, x, allowance, is_plain=is_plain)
    faults = (*outcome.faults, *retries.faults(len(x)))
    return replace(outcome, faults=faults)


def _narrowed(attempt: Attempts, x: Array, allowance: Allowance, *, is_plain: bool) -> Outcome:
    rows = len(x)
    start = time.monotonic()
    whole = attempt(x, _together(rows, allowance))
    if whole.failure is None:
        completed = np.ones(rows, dtype=np.bool_)
        allowance.learn(x, completed, ~completed)
        return Outcome(whole.outputs, completed, overwritten=whole.overwritten, seconds=whole.seconds)
    failure = whole.failure
    if failure.kind == "unsupported":
        return Outcome.failed(rows, Fault("unsupported", None, failure.message))
    if not allowance.narrows:
        allowance.has_hung |= failure.kind == "timed_out"
        return _familiar_rows(attempt, x, failure, allowance)
    seconds = time.monotonic() - start
    narrowing = _Narrowing(attempt, x, whole, allowance, seconds, is_plain=is_plain)
    outcome = narrowing.outcome()
    allowance.learn(x, outcome.completed, narrowing.culprits)
    return outcome


def _familiar_rows(attempt: Attempts, x: Array, failure: Failure, allowance: Allowance) -> Outcome:
    """Call the familiar rows of a batch that failed, without searching for the culprit."""
    fault = Fault(failure.kind, None, f"{failure.message}; no time was left to look for the row")
    familiar = allowance.familiar(x)
    if not familiar.any():
        allowance.suspect(x)
    if not familiar.any() or familiar.all() or allowance.is_exhausted:
        return Outcome.failed(len(x), fault)
    rows = np.flatnonzero(familiar)
    rest = attempt(x[rows], _together(len(rows), allowance))
    if rest.failure is not None:
        return Outcome.failed(len(x), fault)
    allowance.suspect(x[~familiar])
    completed = np.ones(len(rows), dtype=np.bool_)
    return _whole_outcome(Outcome(rest.outputs, completed, overwritten=rest.overwritten), rows, len(x), fault)


class _Narrowing:
    """The narrowing of one failed batch to its culprits."""

    def __init__(
        self,
        attempt: Attempts,
        x: Array,
        whole: Attempt,
        allowance: Allowance,
        seconds: float,
        *,
        is_plain: bool,
    ) -> None:
        assert whole.failure is not None
        self._attempt = attempt
        self._x = x
        self._first_failure = whole.failure
        self._allowance = allowance
        self._is_plain = is_plain
        self._outputs = np.zeros(whole.outputs.shape, dtype=whole.outputs.dtype)
        self._completed = np.zeros(len(x), dtype=np.bool_)
        self._overwritten = np.zeros(len(x), dtype=np.bool_)
        self._culprits: dict[int, Failure] = {}
        self._general: list[Fault] = []
        self._fatal = 0
        self._timed_out = 0
        self._first_seconds = seconds
        self._count(whole.failure)

    @property
    def culprits(self) -> NDArray[np.bool_]:
        """The rows that fail alone and cost a worker; rows that fail without that are cheap to try again."""
        flags = np.zeros(len(self._x), dtype=np.bool_)
        flags[[row for row, failure in self._culprits.items() if failure.fatal]] = True
        return flags

    def outcome(self) -> Outcome:
        if not self._fails_everywhere() and not self._is_only_slow():
            self._descend(0, len(self._x))
            self._add_untried("failing calls had used up their time")
            self._call_survivors()
        own = (Fault(f.kind, row, f.message) for row, f in sorted(self._culprits.items()))
        outputs = self._outputs if self._completed.any() else None
        return Outcome(outputs, self._completed, (*own, *self._general), self._overwritten)

    # 1: samples

    def _fails_everywhere(self) -> bool:
        size = SAMPLE_FATAL if self._first_failure.fatal else SAMPLE_MILD
        if len(self._x) == 1:
            self._culprits[0] = self._first_failure
            self._allowance.has_hung |= self._first_failure.kind == "timed_out"
            return True
        sample = np.unique(np.linspace(0, len(self._x) - 1, size).astype(int)).tolist()
        for row in sample:
            if not self._fails_alone(row):
                return False
            if self._spent:
                break
        reason = f"each of the {len(self._culprits)} rows tried alone fails"
        self._add_untried(reason, counts=self._is_plain)  # a check says itself that its rows fail
        return True

    def _fails_alone(self, row: int) -> bool:
        result = self._try(row, [(row, row + 1)])
        if result.failure is not None:
            self._culprits[row] = result.failure
        return result.failure is not None

    # A slow candidate

    def _is_only_slow(self) -> bool:
        """Return whether the batch passes when it is given the time that its rows take."""
        if self._first_failure.kind != "timed_out" or self._culprits:
            return False
        few = min(FEW, len(self._x))
        one, all_few = self._seconds(1), self._seconds(few)
        each = None if one is None or all_few is None or few == 1 else (all_few - one) / (few - 1)
        if each is None or each * len(self._x) < self._first_seconds / 2:
            return False
        self._allowance.learn_speed(each, self._x.shape[1])
        start = time.monotonic()
        whole = self._attempt(self._x, [(0, len(self._x))])
        if whole.failure is not None:
            self._count(whole.failure)
            return False
        self._allowance.charge(start - time.monotonic())  # refunded: a slow call is no failure
        self._keep(slice(None), whole, slice(None))
        return True

    def _seconds(self, rows: int) -> float | None:
        """Return the time of a call with so many first rows; None where it fails."""
        start = time.monotonic()
        failure = self._try(0, [(0, rows)]).failure
        return None if failure else time.monotonic() - start

    # 2 and 3: parts of parts

    def _descend(self, low: int, high: int) -> None:
        fan_out = self._allowance.chance.fan_out(FAN_OUT_FATAL if self._first_failure.fatal else FAN_OUT_MILD)
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
        """Call parts that begin at row `low` or later, and keep the outputs of those that pass."""
        high = parts[-1][1]
        result = self._attempt(self._x[low:high], [(a - low, b - low) for a, b in parts], patience)
        for first, last in parts[: result.passed]:
            self._keep(slice(first, last), result, slice(first - low, last - low))
        if result.failure is not None:
            self._count(result.failure, patience)
            first, last = parts[result.passed]
            self._allowance.has_hung |= result.failure.kind == "timed_out" and last - first == 1
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
        return self._fatal >= MOST_FATAL or self._timed_out >= MOST_TIMED_OUT or not self._allowance.narrows

    def _add_untried(self, reason: str, *, counts: bool = True) -> None:
        untried = int((~self._completed).sum()) - len(self._culprits)
        if untried > 0:
            if counts:
                self._allowance.count_untried(untried)
            self._general.append(Fault("not_tried", None, f"{untried} further rows were not tried: {reason}"))

    # 4: the survivors as one batch

    def _call_survivors(self) -> None:
        survivors = np.flatnonzero(self._completed)
        if not len(survivors):
            return
        x = self._x[survivors]
        result = self._attempt(x, _together(len(x), self._allowance))
        if result.failure is not None:
            self._add_fault(
                f"{result.failure.message}; {self._joint_failure(x)}; the outputs are those of its parts"
            )
            return
        self._keep(survivors, result, slice(None))
        if not self._culprits and not self._general:
            self._add_fault(
                f"{self._first_failure.message}; once, on a batch of {len(x)} rows, and not when called again"
            )

    def _joint_failure(self, x: Array) -> str:
        """Describe the failure of a batch in which no row fails alone.

        The number of rows that fail together is searched for only where a presentation is one call: many
        calls fail by chance more often, which would give a false number.
        """
        if not self._is_plain:
            return "no part of the batch fails alone"
        return f"the first {self._fewest(x)} rows fail together, and no part of the batch fails alone"

    def _fewest(self, x: Array) -> int:
        """Return how many rows from the start fail together, and keep how many a call holds."""
        fails, passes = len(x), 1
        while fails - passes > 1 and not self._spent:
            middle = (fails + passes) // 2
            failure = self._attempt(x[:middle], [(0, middle)]).failure
            if failure is None:
                passes = middle
            else:
                self._count(failure)
                fails = middle
        self._allowance.most_together = passes
        return fails

    def _add_fault(self, message: str) -> None:
        self._general.append(Fault(self._first_failure.kind, None, message))


def _together(rows: int, allowance: Allowance) -> list[Part]:
    """Return all rows as one part, or cut into as many rows as a call is known to hold."""
    return _cut(0, rows, -(-rows // (allowance.most_together or rows)))


def _cut(low: int, high: int, most: int) -> list[Part]:
    """Cut rows into at most so many parts of nearly equal size, none empty."""
    count = min(most, high - low)
    edges = [low + (high - low) * i // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))
