"""Repeat calls that fail, as long as they may fail by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from harness.subject.execution.allowance import Allowance
from harness.subject.execution.attempts import Attempt, Attempts, Failure, Part
from harness.subject.execution.outcome import Fault

__all__ = ["Retries"]

Array = NDArray[Any]


class Retries:
    """An `Attempts` that repeats failed calls: a failure that it returns was repeated, where repeats are due.

    Args:
        attempt: makes the calls.
        allowance: the time left for faults, and what is known of faults by chance.
        is_plain: whether a presentation of rows is one call.
    """

    def __init__(self, attempt: Attempts, allowance: Allowance, *, is_plain: bool = True) -> None:
        self._attempt = attempt
        self._allowance = allowance
        self._is_plain = is_plain
        self._by_chance: list[Failure] = []

    def __call__(self, x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """See `Attempts`."""
        result = self._called(x, parts, patience)
        while result.failure is not None and self._passes_again(x, parts[result.passed], result, patience):
            result = self._continued(x, parts, result, patience)
        return result

    def faults(self, rows: int) -> Iterator[Fault]:
        """Yield the faults by chance of a batch with so many rows, one for each kind."""
        times = Counter(failure.kind for failure in self._by_chance)
        messages = {failure.kind: failure.message for failure in reversed(self._by_chance)}
        for kind, message in messages.items():
            often = "once" if times[kind] == 1 else f"{times[kind]} times"
            yield Fault(
                kind, None, f"{message}; {often}, on a batch of {rows} rows, and not when called again"
            )

    def _called(self, x: Array, parts: Sequence[Part], patience: float) -> Attempt:
        result = self._attempt(x, parts, patience)
        if self._is_plain and self._allowance.tests:
            self._allowance.chance.count_passed(result.passed)
        return result

    def _passes_again(self, x: Array, part: Part, result: Attempt, patience: float) -> bool:
        """Return whether a part that failed passes when it is called again, and keep its outputs then."""
        assert result.failure is not None
        tries = self._tries(result.failure, part[1] - part[0])
        failures = [result.failure]
        with self._shorter_limit(result.failure):
            for _ in range(tries):
                low, high = part
                again = self._called(x[low:high], [(0, high - low)], patience)
                if again.failure is None:
                    self._keep(result, slice(low, high), again)
                    self._allowance.chance.count_by_chance(len(failures), is_plain=self._is_plain)
                    self._by_chance += failures
                    return True
                failures.append(again.failure)
        self._allowance.chance.count_repeated()
        return False

    def _tries(self, failure: Failure, rows: int) -> int:
        if failure.kind == "unsupported" or not self._allowance.tests:
            return 0
        return self._allowance.chance.tries(rows, is_plain=self._is_plain)

    @contextmanager
    def _shorter_limit(self, failure: Failure) -> Iterator[None]:
        """Use the time limit of a candidate that has hung, where this failure is a hang."""
        before = self._allowance.has_hung
        self._allowance.has_hung |= failure.kind == "timed_out"
        try:
            yield
        finally:
            self._allowance.has_hung = before

    def _continued(self, x: Array, parts: Sequence[Part], result: Attempt, patience: float) -> Attempt:
        """Call the parts after the one that passes now, and return the result for all parts."""
        passed = result.passed + 1
        rest = parts[passed:]
        if not rest:
            return replace(result, passed=passed, failure=None)
        low, high = rest[0][0], rest[-1][1]
        further = self._called(x[low:high], [(a - low, b - low) for a, b in rest], patience)
        self._keep(result, slice(low, high), further)
        return replace(result, passed=passed + further.passed, failure=further.failure)

    @staticmethod
    def _keep(result: Attempt, rows: slice, part: Attempt) -> None:
        result.outputs[rows] = part.outputs
        if result.overwritten is not None and part.overwritten is not None:
            result.overwritten[rows] = part.overwritten
