"""The moment by which a command must have ended, set by `--max-time`.

After it no further task begins. A task in progress may end within a few seconds, `GRACE`; after that no
candidate is called or waited for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

__all__ = ["GRACE", "NEVER", "Deadline", "OutOfTime"]

GRACE: Final = 2.0


class OutOfTime(Exception):
    """The time limit is over; finished work is kept."""


class Deadline:
    """A moment of the monotonic clock."""

    def __init__(self, at: float) -> None:
        self._at = at

    @classmethod
    def in_seconds(cls, seconds: float | None) -> Self:
        """Return the moment so many seconds from now; never where None."""
        return cls(math.inf if seconds is None else time.monotonic() + seconds)

    @property
    def is_over(self) -> bool:
        """Whether no further task may begin."""
        return time.monotonic() > self._at

    @property
    def grace(self) -> float:
        """The seconds left for a task in progress."""
        return self._at + GRACE - time.monotonic()

    def check(self) -> None:
        """Check that a task may begin.

        Raises:
            OutOfTime: it may not.
        """
        if self.is_over:
            raise OutOfTime

    def check_grace(self) -> None:
        """Check that a task may go on.

        Raises:
            OutOfTime: it may not.
        """
        if self.grace <= 0:
            raise OutOfTime

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Postpone the moment by the time of the block."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._at += time.monotonic() - start


NEVER: Final = Deadline(math.inf)
