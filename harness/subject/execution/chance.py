"""Whether a fault is chance's or the rows' own, told by calling the same rows again.

A candidate that crashes in one call of a hundred, whatever it is given, fails on no row. So what failed is
called again as it was. If it comes back, chance had it: it costs no row, and how often that happens is
counted. If it fails again, the rows have it, and are looked for. While all do that were put to this test,
fewer and fewer are.
"""

from __future__ import annotations

import math
import threading
from typing import Final

from reports.figures import interval, plural

__all__ = ["Chance"]

LEAST_CHANCE: Final = 1e-3
LEAST_OF_A_ROW: Final = 1e-2
"""How seldom a batch, and a row alone, that fails by chance only is taken for one that fails."""

MOST_AGAIN: Final = 12
FEW_AGAIN: Final = 2
"""Calls made again, at most: fewer where each is many calls, which fail oftener."""


class Chance:
    """What is known of one candidate's faults that do not come again; used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed = 0
        self._struck = 0
        self._faults = 0
        self.has_struck = False

    def tries(self, rows: int, *, is_plain: bool) -> int:
        """Return how often rows that failed are to be called again."""
        if not self.has_struck:
            return int((self._faults + 1).bit_count() == 1)  # the first, second, fourth, eighth fault ...
        least = LEAST_CHANCE if rows > 1 else LEAST_OF_A_ROW
        needed = math.ceil(math.log(least) / math.log(self._share)) - 1
        return max(1, min(needed, MOST_AGAIN if is_plain else FEW_AGAIN))

    def fan_out(self, most: int) -> int:
        """Return into how many parts to cut what fails: no more than chance has one of."""
        return max(2, min(most, int(1 / self._share))) if self.has_struck else most

    @property
    def _share(self) -> float:
        return (self._struck + 1) / (self._struck + self._passed + 2)

    def passed(self, calls: int) -> None:
        """Count plain calls that came back, where one that fails would be made again."""
        with self._lock:
            self._passed += calls

    def struck(self, faults: int, *, is_plain: bool) -> None:
        """Count faults of rows that came back then."""
        with self._lock:
            self.has_struck = True
            self._struck += faults * is_plain

    def lasted(self) -> None:
        """Count a fault that came again, or was not put to the test."""
        with self._lock:
            self._faults += 1

    def told(self) -> str | None:
        """Return how often a call fails by chance, to people; None where none is known to."""
        if not self._struck:
            return None
        from reports.record.confidence import clopper_pearson

        calls = self._struck + self._passed
        share = interval(*clopper_pearson(self._struck, calls))
        return (
            f"{self._struck} of {plural(calls, 'call')} failed, and not when made again with the same"
            f" rows: by chance {share} of calls do (95 %)"
        )
