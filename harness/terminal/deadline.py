"""When a command must have ended: what `--max-time` sets.

At that moment no further piece of work is begun. What is under way may end within a few seconds, `GRACE`;
then no candidate is called any more, and none waited for.
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
    """The time that was set is over; what is done is kept."""


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
        """Whether nothing further is to be begun."""
        return time.monotonic() > self._at

    @property
    def grace(self) -> float:
        """Seconds that what is under way has left."""
        return self._at + GRACE - time.monotonic()

    def check(self) -> None:
        """See that there is time to begin something.

        Raises:
            OutOfTime: there is none.
        """
        if self.is_over:
            raise OutOfTime

    def check_grace(self) -> None:
        """See that there is time to go on with something.

        Raises:
            OutOfTime: there is none.
        """
        if self.grace <= 0:
            raise OutOfTime

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Put the moment off by as long as what is done here takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._at += time.monotonic() - start


NEVER: Final = Deadline(math.inf)
