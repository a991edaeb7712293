"""When a command must have ended: what `--max-time` sets, looked at between pieces of work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, Self

__all__ = ["NEVER", "Deadline", "OutOfTime"]

P = ParamSpec("P")


class OutOfTime(Exception):
    """The time that was set is over; what is done is kept."""


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock."""

    at: float

    @classmethod
    def in_seconds(cls, seconds: float | None) -> Self:
        """Return the moment so many seconds from now; never where None."""
        return cls(math.inf if seconds is None else time.monotonic() + seconds)

    def check(self) -> None:
        """See that there is time left.

        Raises:
            OutOfTime: there is none.
        """
        if time.monotonic() > self.at:
            raise OutOfTime

    def after(self, act: Callable[P, None]) -> Callable[P, None]:
        """Return what does the same, and then sees that there is time left."""

        def checked(*args: P.args, **kwargs: P.kwargs) -> None:
            act(*args, **kwargs)
            self.check()

        return checked


NEVER = Deadline(math.inf)
