"""Two runs cell by cell: better, worse, noise, same, new, gone, or not comparable.

Cells are compared only where they were given the same rows, bit for bit (`rows_digest`), and their candidates
were called with the same result format. A cell is worse where it fails more rows, loses more, or errs
more, in any metric that is compared; better where it does so in some and in none the other way: strictly,
for a gate.
The report shows the trend: figures that differ by less than they would with other rows are noise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from reference.formats import format_named
from reports.figures import figure
from reports.record.cells import Row
from reports.record.metrics import METRICS, Metric
from reports.record.witness import CellKey, json_float

__all__ = ["TRENDS", "Change", "Comparison", "Trend", "Verdict", "compare"]

Verdict = Literal["better", "worse", "same", "new", "gone", "not comparable"]

Trend = Literal["better", "worse", "noise", "same", "new", "gone", "not comparable"]

TRENDS: Final[tuple[Trend, ...]] = get_args(Trend)

_COMPARED: Final = tuple(sorted((m for m in METRICS.values() if m.compared), key=lambda m: m.compared or 0))
"""The metrics by which cells are compared, the gravest first."""

_NOISE: Final = 1.25
"""Figures that differ by no greater factor are noise."""

_NOISE_SHARE: Final = 0.01
"""Likewise shares that differ by no more."""

_ORDER: Final = ("worse", "not comparable", "gone", "new", "better", "noise", "same")


@dataclass(frozen=True)
class Change:
    """One cell of two runs, and the metric that speaks most against or for the later one.

    Attributes:
        cell: the cell.
        change: the result by every figure.
        trend: the result without noise.
        metric: the gravest that differs; empty where none does.
        before: its figure in the earlier run, None where it is null or the cell is new.
        after: likewise in the later one.
        message: every metric that differs, or why there is nothing to compare.
    """

    cell: CellKey
    change: Verdict
    trend: Trend
    metric: str = ""
    before: float | None = None
    after: float | None = None
    message: str = ""

    def document(self) -> dict[str, Any]:
        """Return this change as JSON carries it."""
        figures = {"before": json_float(self.before), "after": json_float(self.after)}
        said = {"change": self.trend, "metric": self.metric, "message": self.message}
        return {**vars(self.cell), **said, **figures}

    @property
    def rank(self) -> tuple[int, int, float]:
        """Order changes by trend, by the gravity of the metric, and by how much it changed."""
        grave = METRICS[self.metric].compared or 0 if self.metric else len(_COMPARED) + 1
        return _ORDER.index(self.trend), grave, -_size(self.before, self.after)


@dataclass(frozen=True)
class Comparison:
    """All cells of two runs.

    Attributes:
        base, run: what the earlier and the later run are called.
        cells: in the plan's order.
        greatest: the greatest ULP error of the cells compared, in the earlier run and in the later one.
    """

    base: str
    run: str
    cells: tuple[Change, ...]
    greatest: tuple[float | None, float | None] = (None, None)

    def count(self, trend: Trend) -> int:
        """Return the number of cells with a trend."""
        return Counter(cell.trend for cell in self.cells)[trend]

    @property
    def changes(self) -> list[Change]:
        """The cells that differ: worse ones first and noise last, each with the gravest first."""
        return sorted((c for c in self.cells if c.trend != "same"), key=lambda c: c.rank)

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {
            "base": self.base,
            "run": self.run,
            "better": self.count("better"),
            "worse": self.count("worse"),
            "noise": self.count("noise"),
            "equal": self.count("same"),
            "incomparable": self.count("not comparable"),
            "new": self.count("new"),
            "gone": self.count("gone"),
            "changes": [change.document() for change in self.changes],
        }


def compare(base: str, earlier: Sequence[Row], run: str, later: Sequence[Row]) -> Comparison:
    """Compare the cells of a later run with those of an earlier one.

    Args:
        base: the name of the earlier run.
        earlier: its table of cells.
        run: the name of the later run.
        later: its table of cells.
    """
    before, after = ({_key(row): row for row in rows} for rows in (earlier, later))
    keys = dict.fromkeys([*before, *after])
    cells = tuple(_change(key, before.get(key), after.get(key)) for key in keys)
    both = [c.cell for c in cells if c.change in ("better", "worse", "same")]
    greatest = _greatest(before[key] for key in both), _greatest(after[key] for key in both)
    return Comparison(base, run, cells, greatest)


def _greatest(rows: Iterable[Row]) -> float | None:
    return max((float(row["max_ulp"]) for row in rows if row["max_ulp"] is not None), default=None)


def _key(row: Row) -> CellKey:
    return CellKey(**{name: row[name] for name in CellKey.__dataclass_fields__})


def _change(key: CellKey, before: Row | None, after: Row | None) -> Change:
    if before is None or after is None:
        only: Literal["new", "gone"] = "new" if before is None else "gone"
        return Change(key, only, only)
    lost = _not_comparable(before, after)
    if lost:
        return Change(key, "not comparable", "not comparable", message=lost)
    signs = {
        metric.name: _sign(before[metric.name], after[metric.name], more_is_better=metric.better == "more")
        for metric in _COMPARED
    }
    worse, better = ([name for name, its in signs.items() if its == sign] for sign in (-1, 1))
    if not worse and not better:
        return Change(key, "same", "same")
    change: Verdict = "worse" if worse else "better"
    real_worse, real_better = (
        [name for name in names if not _is_noise(METRICS[name], before, after)] for names in (worse, better)
    )
    trend: Trend = "worse" if real_worse else "better" if real_better else "noise"
    metric = (real_worse or real_better or worse or better)[0]
    shown = (worse, better) if trend == "noise" else (real_worse, real_better)
    message = _message(*shown, before, after)
    return Change(key, change, trend, metric, _float(before[metric]), _float(after[metric]), message)


def _is_noise(metric: Metric, before: Row, after: Row) -> bool:
    """Return whether a metric differs by no more than it would between two draws of the rows.

    A row's sum is off by rounding alone where it is within n u of the exact one, see the check `row_sum`.
    """
    was, now = before[metric.name], after[metric.name]
    if metric.better == "more":
        return abs(now - was) <= _NOISE_SHARE and 1.0 not in (was, now)
    if metric.walls is None:
        return False
    low, high = sorted((was, now))
    if metric.unit == "sum":
        rounding = after["length"] * float(format_named(after["out_format"]).unit_roundoff)
        return bool(high <= max(rounding, _NOISE * low))
    return bool(high <= _NOISE * low and not any(low <= wall < high for wall in metric.walls))


def _size(before: float | None, after: float | None) -> float:
    """Return by how many powers of e a figure changed; infinite where it was or became 0 or infinite."""
    if before is None or after is None or before == after:
        return 0.0
    if min(before, after) <= 0 or math.isinf(max(before, after)):
        return math.inf
    return abs(math.log(after) - math.log(before))


def _not_comparable(before: Row, after: Row) -> str:
    if before["rows_digest"] is None or after["rows_digest"] is None:
        return "nothing was measured in one of them"
    if before["rows_digest"] != after["rows_digest"]:
        return "they were given other rows"
    if before["status"] != after["status"] or before["completed_rows"] != after["completed_rows"]:
        counts = [f"{row['status']} with {row['completed_rows']} rows" for row in (before, after)]
        return ", then ".join(counts)
    return ""


def _sign(before: float | None, after: float | None, *, more_is_better: bool) -> int:
    """Return 1 for better, -1 for worse, and 0 where a figure is null, as another figure shows why."""
    if before is None or after is None or before == after:
        return 0
    return 1 if (after > before) == more_is_better else -1


def _message(worse: Sequence[str], better: Sequence[str], before: Row, after: Row) -> str:
    def changes(metrics: Sequence[str]) -> str:
        return ", ".join(f"{name} {figure(before[name])} -> {figure(after[name])}" for name in metrics)

    parts = [
        f"{word}: {changes(metrics)}" for word, metrics in (("worse", worse), ("better", better)) if metrics
    ]
    return "; ".join(parts)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
