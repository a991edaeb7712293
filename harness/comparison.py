"""Two runs cell by cell: better, worse, same, new, gone, or not comparable.

Cells are compared only where they were given the same rows, bit for bit (`rows_digest`), and their candidates
were called with the same result format. A cell is worse where it fails more rows, loses more, or errs
more, in any of `METRICS`; better where it does so in some and in none the other way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from reports.cells import Row
from reports.tally import CellKey, json_float

__all__ = ["METRICS", "VERDICTS", "Change", "Comparison", "Verdict", "compare"]

Verdict = Literal["better", "worse", "same", "new", "gone", "not comparable"]

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)

METRICS: Final = (
    "failed_rows",
    "unexplained_rows",
    "nonfinite",
    "lost",
    "flushed",
    "mask_leaks",
    "out_of_range",
    "negative_zeros",
    "policy_violations",
    "faults",
    "max_ulp",
    "mean_ulp",
    "bound_ratio",
    "worst_row_sum_error",
    "correctly_rounded",
    "faithful",
)
"""What cells are compared in, the gravest first."""

_MORE_IS_BETTER: Final = frozenset({"correctly_rounded", "faithful"})


@dataclass(frozen=True)
class Change:
    """One cell of two runs, and the metric that speaks most against or for the later one.

    Attributes:
        cell: which.
        change: how it went.
        metric: the gravest that differs; empty where none does.
        before: its figure in the earlier run, None where it is null or the cell is new.
        after: likewise in the later one.
        message: every metric that differs, or why there is nothing to compare.
    """

    cell: CellKey
    change: Verdict
    metric: str = ""
    before: float | None = None
    after: float | None = None
    message: str = ""

    def document(self) -> dict[str, Any]:
        """Return this change as JSON carries it."""
        figures = {"before": json_float(self.before), "after": json_float(self.after)}
        said = {name: getattr(self, name) for name in ("change", "metric", "message")}
        return {**vars(self.cell), **said, **figures}


@dataclass(frozen=True)
class Comparison:
    """All cells of two runs."""

    base: str
    run: str
    cells: tuple[Change, ...]

    def count(self, change: Verdict) -> int:
        """Return how many cells went so."""
        return Counter(cell.change for cell in self.cells)[change]

    @property
    def changes(self) -> list[Change]:
        """The cells that are not the same, the worse first."""
        order = ("worse", "not comparable", "gone", "new", "better")
        return sorted((c for c in self.cells if c.change != "same"), key=lambda c: order.index(c.change))

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON carries it."""
        return {
            "base": self.base,
            "run": self.run,
            "better": self.count("better"),
            "worse": self.count("worse"),
            "equal": self.count("same"),
            "incomparable": self.count("not comparable"),
            "new": self.count("new"),
            "gone": self.count("gone"),
            "changes": [change.document() for change in self.changes],
        }


def compare(base: str, earlier: Sequence[Row], run: str, later: Sequence[Row]) -> Comparison:
    """Return how the cells of a later run stand to those of an earlier one.

    Args:
        base: what the earlier run is called.
        earlier: its rows of the table of cells.
        run: what the later one is called.
        later: its rows.
    """
    before, after = ({_key(row): row for row in rows} for rows in (earlier, later))
    keys = dict.fromkeys([*before, *after])
    return Comparison(base, run, tuple(_change(key, before.get(key), after.get(key)) for key in keys))


def _key(row: Row) -> CellKey:
    return CellKey(**{name: row[name] for name in CellKey.__dataclass_fields__})


def _change(key: CellKey, before: Row | None, after: Row | None) -> Change:
    if before is None or after is None:
        return Change(key, "new" if before is None else "gone")
    lost = _not_comparable(before, after)
    if lost:
        return Change(key, "not comparable", message=lost)
    signs = {
        metric: _sign(before[metric], after[metric], more_is_better=metric in _MORE_IS_BETTER)
        for metric in METRICS
    }
    worse, better = ([metric for metric in METRICS if signs[metric] == sign] for sign in (-1, 1))
    if not worse and not better:
        return Change(key, "same")
    metric = (worse or better)[0]
    message = _message(worse, better, before, after)
    change: Verdict = "worse" if worse else "better"
    return Change(key, change, metric, _float(before[metric]), _float(after[metric]), message)


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
    """Return 1 for better, -1 for worse; a figure that comes or goes is neither, as another one tells why."""
    if before is None or after is None or before == after:
        return 0
    return 1 if (after > before) == more_is_better else -1


def _message(worse: Sequence[str], better: Sequence[str], before: Row, after: Row) -> str:
    def told(metrics: Sequence[str]) -> str:
        return ", ".join(f"{name} {_text(before[name])} to {_text(after[name])}" for name in metrics)

    parts = [
        f"{word}: {told(metrics)}" for word, metrics in (("worse", worse), ("better", better)) if metrics
    ]
    return "; ".join(parts)


def _text(value: Any) -> str:
    return repr(value)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
