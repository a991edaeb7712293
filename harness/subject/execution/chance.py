"""Whether the rows cause a fault or it happens by chance: the same rows are called again.

A candidate that crashes in one call of a hundred, whatever the rows, fails on no row. So a call that failed
is repeated. If the repeat passes, the fault happened by chance: no row is lost, and the fault is counted. If
it fails again, the rows cause it, and are searched for. As long as every repeat fails, fewer and fewer faults
are repeated.
"""

from __future__ import annotations

import math
import threading
from typing import Final

from reports.figures import interval, plural

__all__ = ["Chance"]

LEAST_CHANCE: Final = 1e-3
LEAST_OF_A_ROW: Final = 1e-2
"""The probability that a batch, or a row alone, that fails by chance only is taken for one that fails."""

MOST_AGAIN: Final = 12
FEW_AGAIN: Final = 2
"""The most repeats: fewer where each is many calls, which fail more often."""


class Chance:
    """The faults of one candidate that do not repeat; used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed = 0
        self._by_chance = 0
        self._repeated = 0
        self.has_faults = False

    def tries(self, rows: int, *, is_plain: bool) -> int:
        """Return how often to call rows that failed again."""
        if not self.has_faults:
            return int((self._repeated + 1).bit_count() == 1)  # the first, second, fourth, eighth fault ...
        least = LEAST_CHANCE if rows > 1 else LEAST_OF_A_ROW
        needed = math.ceil(math.log(least) / math.log(self._share)) - 1
        return max(1, min(needed, MOST_AGAIN if is_plain else FEW_AGAIN))

    def fan_out(self, most: int) -> int:
        """Return into how many parts to cut rows that fail: so few that about one call fails by chance."""
        return max(2, min(most, int(1 / self._share))) if self.has_faults else most

    @property
    def _share(self) -> float:
        return (self._by_chance + 1) / (self._by_chance + self._passed + 2)

    def count_passed(self, calls: int) -> None:
        """Count plain calls that passed, where a failed one would be repeated."""
        with self._lock:
            self._passed += calls

    def count_by_chance(self, faults: int, *, is_plain: bool) -> None:
        """Count faults of rows that passed later."""
        with self._lock:
            self.has_faults = True
            self._by_chance += faults * is_plain

    def count_repeated(self) -> None:
        """Count a fault that repeated, or was not tested."""
        with self._lock:
            self._repeated += 1

    def summary(self) -> str | None:
        """Return a sentence on how often a call fails by chance; None where no fault did."""
        if not self._by_chance:
            return None
        from reports.record.confidence import clopper_pearson

        calls = self._by_chance + self._passed
        share = interval(*clopper_pearson(self._by_chance, calls))
        return (
            f"{self._by_chance} of {plural(calls, 'call')} failed, and succeeded when repeated with the"
            f" same rows: {share} of calls fail by chance (95 %)"
        )
