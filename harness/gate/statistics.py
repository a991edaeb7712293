"""Compare a figure with its limit: exactly, or for rates of fresh rows by a confidence bound.

The default gate uses the same rows each time, so a rate is a count and is compared exactly. With fresh
rows a rate fails only if its one-sided lower Clopper-Pearson bound lies above the limit, at alpha 0.001
shared among the gated rates (Bonferroni), and passes only after so many rows that a true rate above
the limit would have shown itself: none in N rows has probability (1 - limit)^N, at most alpha from
N = ln(alpha) / ln(1 - limit). A limit of 0 asks for no event at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from harness.gate.budgets import Budget
from reports.record.cells import Row
from reports.record.confidence import exceeds
from reports.record.metrics import METRICS
from reports.record.verdicts import VerdictStatus

__all__ = ["ALPHA", "Exactly", "Fresh", "Rule", "rows_needed"]

ALPHA: Final = 0.001

_EVENTS: Final = {name: metric.events for name, metric in METRICS.items() if metric.events}
"""The rates that can be tested, and the columns that count their rows."""

Compared = tuple[VerdictStatus, str]


class Rule(Protocol):
    """Compares a figure with a limit."""

    def compare(self, row: Row, budget: Budget) -> Compared:
        """Return the status, and a message where it does not pass."""


@dataclass(frozen=True)
class Exactly:
    """Compares the figure itself with the limit."""

    def compare(self, row: Row, budget: Budget) -> Compared:
        """Return whether the figure is within its limit; a null figure never passes."""
        observed, limit = row[budget.metric], budget.limit
        if observed is None:
            return "uncertified", f"{budget.metric} is null: no row or element that it counts was measured"
        within = observed >= limit if budget.is_at_least else observed <= limit
        if within:
            return "pass", ""
        return "over_budget", f"{float(observed)!r} is not {budget.operator} {limit!r}"


@dataclass(frozen=True)
class Fresh:
    """Compares rates of drawn rows by their lower bound, and other figures exactly.

    Attributes:
        gated: the number of rates that are compared in all.
    """

    gated: int

    @property
    def alpha(self) -> float:
        """The greatest probability that a rate within its limit fails."""
        return ALPHA / max(self.gated, 1)

    def compare(self, row: Row, budget: Budget) -> Compared:
        """Return the status of a figure of fresh rows."""
        limit = budget.limit
        if not budget.is_of_rate or not row["sampled"] or row[budget.metric] is None or limit == 0:
            return Exactly().compare(row, budget)
        assert isinstance(limit, (int, float))
        if budget.metric not in _EVENTS:
            return "uncertified", f"{budget.metric} has no test of its own; limit {', '.join(_EVENTS)}"
        rows_of, share = _EVENTS[budget.metric], 1.0
        if budget.metric == "underflow_rate" and row["underflow_row_rate"]:
            share = row["underflow_rate"] / row["underflow_row_rate"]
        return self._rate(row[rows_of], row["judged_rows"], limit, share)

    def _rate(self, events: int, rows: int, limit: float, share: float) -> Compared:
        """Compare a rate of elements, `share` of them in each row with an event, through its rows."""
        if limit < share and exceeds(events, rows, limit / share, self.alpha):
            return (
                "over_budget",
                f"{events} of {rows} rows: the probability at a rate of {limit!r} is below {self.alpha:.3g}",
            )
        needed = rows_needed(limit, self.alpha)
        if rows < needed:
            return (
                "uncertified",
                f"{rows} rows are too few: a limit of {limit!r} needs {needed}; give --rows {needed}",
            )
        return "pass", ""


def rows_needed(limit: float, alpha: float) -> int:
    """Return how many rows without an event show that a rate is at most the limit, 0 < limit < 1."""
    return math.ceil(math.log(alpha) / math.log1p(-limit))
