"""Calls that are made again where they fail, as long as chance may have had them."""

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

__all__ = ["Again"]

Array = NDArray[Any]


class Again:
    """An `Attempts` that calls what fails again; a failure that it tells has come again, where it was tested.

    Args:
        attempt: makes the calls.
        allowance: what they may still cost, and what is known of chance.
        is_plain: whether to hand over rows is one call.
    """

    def __init__(self, attempt: Attempts, allowance: Allowance, *, is_plain: bool = True) -> None:
        self._attempt = attempt
        self._allowance = allowance
        self._is_plain = is_plain
        self._passing: list[Failure] = []

    def __call__(self, x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """See `Attempts`."""
        found = self._called(x, parts, patience)
        while found.failure is not None and self._comes_back(x, parts[found.passed], found, patience):
            found = self._gone_on(x, parts, found, patience)
        return found

    def faults(self, rows: int) -> Iterator[Fault]:
        """Yield what chance had, of a batch of so many rows, by kind."""
        times = Counter(failure.kind for failure in self._passing)
        told = {failure.kind: failure.message for failure in reversed(self._passing)}
        for kind, message in told.items():
            often = "once" if times[kind] == 1 else f"{times[kind]} times"
            yield Fault(
                kind, None, f"{message}; {often}, on a batch of {rows} rows, and not when called again"
            )

    def _called(self, x: Array, parts: Sequence[Part], patience: float) -> Attempt:
        found = self._attempt(x, parts, patience)
        if self._is_plain and self._allowance.tests:
            self._allowance.chance.passed(found.passed)
        return found

    def _comes_back(self, x: Array, part: Part, found: Attempt, patience: float) -> bool:
        """Whether a part that failed comes back when it is called again; its outputs are kept then."""
        assert found.failure is not None
        tries = self._tries(found.failure, part[1] - part[0])
        failures = [found.failure]
        with self._not_waited_for_as_long(found.failure):
            for _ in range(tries):
                low, high = part
                again = self._called(x[low:high], [(0, high - low)], patience)
                if again.failure is None:
                    self._keep(found, slice(low, high), again)
                    self._allowance.chance.struck(len(failures), is_plain=self._is_plain)
                    self._passing += failures
                    return True
                failures.append(again.failure)
        self._allowance.chance.lasted()
        return False

    def _tries(self, failure: Failure, rows: int) -> int:
        if failure.kind == "unsupported" or not self._allowance.tests:
            return 0
        return self._allowance.chance.tries(rows, is_plain=self._is_plain)

    @contextmanager
    def _not_waited_for_as_long(self, failure: Failure) -> Iterator[None]:
        """Call what hung with the time limit of what has hung before."""
        before = self._allowance.has_hung
        self._allowance.has_hung |= failure.kind == "timed_out"
        try:
            yield
        finally:
            self._allowance.has_hung = before

    def _gone_on(self, x: Array, parts: Sequence[Part], found: Attempt, patience: float) -> Attempt:
        """Return what came of all parts, one of which has come back now, and the rest not been called."""
        passed = found.passed + 1
        rest = parts[passed:]
        if not rest:
            return replace(found, passed=passed, failure=None)
        low, high = rest[0][0], rest[-1][1]
        further = self._called(x[low:high], [(a - low, b - low) for a, b in rest], patience)
        self._keep(found, slice(low, high), further)
        return replace(found, passed=passed + further.passed, failure=further.failure)

    @staticmethod
    def _keep(found: Attempt, rows: slice, part: Attempt) -> None:
        found.outputs[rows] = part.outputs
        if found.overwritten is not None and part.overwritten is not None:
            found.overwritten[rows] = part.overwritten
