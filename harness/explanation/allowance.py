"""The calls that a slow candidate may be asked for."""

from __future__ import annotations

import math
from typing import Any, Final

from harness.subject.execution import Executor, Outcome, Presentation
from harness.subject.execution.outcome import Closing
from harness.terminal.exceptions import NoVerdict
from reference.formats import FloatFormat

__all__ = ["MOST", "Counted", "Spent"]

MOST: Final = 1200
"""Calls of a slow candidate, at most: a sound one is asked some 900, of which 600 are short rows again."""

OFTEN: Final = 100
"""Calls in one that is made often."""


class Spent(NoVerdict):
    """There are no calls left."""


class Counted(Closing):
    """Calls candidates through another executor, and counts the calls.

    Attributes:
        calls: made so far.
        most: that may be made; infinity for no limit.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.calls = 0
        self.most = math.inf

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
            raise Spent(f"{spec}: {MOST:,} calls of a slow candidate were not enough to see its parts")
        return self._executor.run(spec, x, out_format, timeout, presentation=presentation, reduces=reduces)

    def grant(self) -> None:
        """Allow each candidate that has failed a little more time."""
        self._executor.grant()

    def given_up(self) -> dict[str, str]:
        """Return, by spec, what was not tried of a candidate, and why."""
        return self._executor.given_up()
