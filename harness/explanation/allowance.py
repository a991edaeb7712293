"""The calls that a slow candidate may be asked for."""

from __future__ import annotations

import math
from typing import Any, Final

from harness.subject.execution import Executor, Outcome, Presentation
from harness.subject.execution.outcome import Closing
from harness.terminal.exceptions import NoVerdict
from reference.formats import FloatFormat

__all__ = ["MOST", "Counted", "Spent", "calls_of_slow"]

MOST: Final = 1200
"""Calls of a very slow candidate, at most: a sound one gets some 900, of which 600 are short rows again."""

OFTEN: Final = 100
"""Calls in one that is made often."""


def calls_of_slow(seconds: float) -> int:
    """Return how often a slow candidate may be called: more often where a short call takes less than 4 ms."""
    return MOST * (4 if seconds < 2e-3 else 2 if seconds < 4e-3 else 1)


class Spent(NoVerdict):
    """There are no calls left."""


class Counted(Closing):
    """Calls candidates through another executor, and counts the calls.

    Attributes:
        calls: made so far.
        most: that may be made; infinity for no limit.
        granted: of these, those that were granted to a slow candidate.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.calls = 0
        self.most = math.inf
        self.granted = 0

    def run(
        self,
        spec: str,
        x: Any,
        out_format: FloatFormat,
        timeout: float | None = None,
        *,
        presentation: Presentation = "plain",
        reduces: bool = False,
    ) -> Outcome:
        """Call the candidate on rows; see `Executor.run`.

        Raises:
            Spent: that would be one call too many.
        """
        self.calls += OFTEN if presentation == "often" else 1
        if self.calls > self.most:
            raise Spent(f"{spec}: {self.granted:,} calls of a slow candidate do not show its parts")
        return self._executor.run(spec, x, out_format, timeout, presentation=presentation, reduces=reduces)

    def limit(self, calls: int) -> None:
        """Allow so many further calls, and no more."""
        self.granted, self.most = calls, self.calls + calls

    def grant(self) -> None:
        """Allow each candidate that has failed a little more time."""
        self._executor.grant()

    def given_up(self) -> dict[str, str]:
        """Return, by spec, what was not tried of a candidate, and why."""
        return self._executor.given_up()
