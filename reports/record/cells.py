"""The figures of a cell, derived from its merged tally: one row of every table that a run leaves.

Ratios are taken once, from exact counts. A rate whose denominator is 0 is null, and so is
a figure that nothing was measured for; +inf stands for at least 2^1024, and for the rank of
a nonfinite output. Row rates of independently drawn rows carry a 95 % Clopper-Pearson
interval, which speaks of their generator; other cells have none.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.ops import op_named
from reports.record.bins import Bins
from reports.record.confidence import clopper_pearson
from reports.record.ledger import CellInfo, Ledger, Status
from reports.record.metrics import COLUMNS, METRICS
from reports.record.tally import HISTOGRAM_SHIFT, Tally
from reports.record.witness import gravity
from reports.spelling import csv_cell

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CHEAP",
    "FAILURES",
    "NOT_A_FAMILY",
    "SEARCHED",
    "Row",
    "cell_row",
    "frame",
    "quantiles",
    "table",
    "upper_edge",
    "upper_edges",
]

Row = dict[str, Any]

SEARCHED: Final = "search"
"""The regime of rows from a search; their rates describe the search, not a generator."""

NOT_A_FAMILY: Final = frozenset({SEARCHED, "medley"})
"""The regimes whose rates describe no family of rows: a medley has few rows of many families."""

NOT_TRIED: Final = "not_tried"
"""The fault of rows that were never called."""

FAILURES: Final = ("total_underflow", "overflow", "inaccurate", "unexplained")
"""The outcomes of rows that failed."""

_QUANTILES: Final = MappingProxyType({"p50_ulp": Fraction(1, 2), "p99_ulp": Fraction(99, 100)})
CHEAP: Final = tuple(name for name, metric in METRICS.items() if not metric.is_costly)
"""The columns without the most expensive ones: quantiles, and digests of rows and witnesses."""

_DIGESTS: Final = METRICS.keys() - _QUANTILES.keys() - frozenset(CHEAP)


def cell_row(
    info: CellInfo,
    tally: Tally,
    small: Mapping[str, str] = MappingProxyType({}),
    columns: Collection[str] = COLUMNS.keys(),
) -> Row:
    """Return the figures of a cell by column name, in the order of `COLUMNS`.

    Figures are floats, or None where they are null; +inf is a figure.

    Args:
        info: the cell.
        tally: its counts.
        small: ids of the small witnesses that stand for others, by the ids of those.
        columns: the columns to compute; all, or those of `CHEAP`.
    """
    values = {
        **{name: getattr(info.key, name) for name in info.key.__dataclass_fields__},
        **_counts(tally),
        **_accuracy(tally),
        **_rates(info, tally),
        "status": _status(info, tally),
        "sampled": info.sampled,
        "message": csv_cell(_message(info, tally)),
    }
    if not _QUANTILES.keys().isdisjoint(columns):
        values |= zip(_QUANTILES, quantiles(tally, _QUANTILES.values()), strict=True)
    if not _DIGESTS.isdisjoint(columns):
        values |= _digests(tally, small)
    return {name: values[name] for name in columns}


def table(rows: list[Row]) -> pd.DataFrame:
    """Return rows as a DataFrame with the columns and dtypes of `COLUMNS`."""
    import pandas as pd

    columns = {name: [_cell(row[name]) for row in rows] for name in COLUMNS}
    return pd.DataFrame({name: pd.Series(columns[name], dtype=COLUMNS[name]) for name in COLUMNS})


def _cell(value: Any) -> Any:
    """Return a value for a table, with text that no spreadsheet takes for a formula."""
    return csv_cell(value) if isinstance(value, str) else value


def frame(ledger: Ledger) -> pd.DataFrame:
    """Return one row for each cell, in the order of the plan."""
    small = ledger.small()
    return table([cell_row(info, tally, small) for info, tally in ledger.tallies()])


def quantiles(tally: Tally, shares: Iterable[Fraction]) -> list[float | None]:
    """Return the ULP errors at the nearest ranks of rising shares of all elements with RN(r) not 0.

    Errors are known by their histogram bin; the figure is the upper edge of that bin, so at
    most 2^-8 above the exact one, and never above the greatest error; bin 0 is an error of 0.
    Nonfinite outputs rank as +inf.
    """
    if tally.representable == 0:
        return [None for _ in shares]
    top = math.inf if tally.max_ulp is None else tally.max_ulp
    histogram = Bins.of(tally.histogram)
    bins, counts = histogram.sorted_keys, histogram.numbers
    fits = len(counts) * int(counts.max(initial=0)) < 1 << 63  # in a file anything may stand
    up_to = (counts if fits else counts.astype(object)).cumsum()
    edges: list[float | None] = []
    for share in shares:
        place = int(up_to.searchsorted(math.ceil(share * tally.representable)))
        edges.append(math.inf if place == len(bins) else min(upper_edge(int(bins[place])), top))
    return edges


def upper_edge(number: int) -> float:
    """Return the upper end of a histogram bin; 0 for bin 0, whose errors are all 0."""
    if number == 0:
        return 0.0
    (edge,) = struct.unpack("<d", struct.pack("<Q", (number + 1) << HISTOGRAM_SHIFT))
    return math.inf if math.isnan(edge) else float(edge)


def upper_edges(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `upper_edge` of many bins."""
    edges = ((bins.astype(np.uint64) + np.uint64(1)) << np.uint64(HISTOGRAM_SHIFT)).view(np.float64)
    edges[bins == 0] = 0.0
    edges[np.isnan(edges)] = np.inf
    return edges


def _counts(tally: Tally) -> Row:
    outcomes, classes = tally.outcomes, tally.classes
    return {
        "rows": tally.rows,
        "completed_rows": tally.completed,
        "judged_rows": _judged(tally),
        "policy_rows": outcomes.get("policy", 0),
        "elements": tally.elements,
        "failed_rows": sum(outcomes.get(name, 0) for name in FAILURES),
        **{f"{name}_rows": outcomes.get(name, 0) for name in FAILURES},
        "nonfinite_rows": tally.nonfinite_rows,
        "collapsed_rows": tally.collapsed_rows,
        "inflated_rows": tally.inflated_rows,
        "underflow_rows": tally.spurious_rows,
        **{name: classes.get(name, 0) for name in ("flushed", "lost", "nonfinite", "out_of_range")},
        "unavoidable_zeros": classes.get("unavoidable_zero", 0),
        "spurious_nonzeros": classes.get("spurious_nonzero", 0),
        "mask_leaks": classes.get("mask_leak", 0),
        "masked_zeros": classes.get("masked_zero", 0),
        "negative_zeros": tally.negative_zeros,
        "policy_violations": tally.policy_violations,
        "fallbacks": tally.fallbacks,
        "faults": sum(tally.faults.values()),
    }


def _accuracy(tally: Tally) -> Row:
    return {
        "max_ulp": tally.max_ulp,
        "mean_ulp": _mean(tally),
        "correctly_rounded": _ratio(tally.correct, tally.positive),
        "faithful": _ratio(tally.faithful, tally.positive),
        "bound_ratio": tally.max_bound_ratio,
        "algorithm_ratio": tally.max_algorithm_ratio,
        "worst_row_sum_error": tally.worst_row_sum_error,
    }


def _mean(tally: Tally) -> float | None:
    """Return the mean ULP error, rounded once; errors of 2^1024 or more make it +inf."""
    if tally.ulp_infinite:
        return math.inf
    if not tally.ulp_count:
        return None
    try:
        return float(tally.ulp_sum / tally.ulp_count)
    except OverflowError:
        return math.inf


def _rates(info: CellInfo, tally: Tally) -> Row:
    judged = _judged(tally)
    failed = sum(tally.outcomes.get(name, 0) for name in FAILURES)
    spurious = tally.classes.get("flushed", 0) + tally.classes.get("lost", 0)
    harmless = tally.classes.get("unavoidable_zero", 0)
    underflows = op_named(info.key.op).underflows
    rows_with_any = _rate(
        "underflow_row_rate", tally.spurious_rows, judged if underflows else 0, info.sampled
    )
    return {
        **_rate("failed_rate", failed, judged, info.sampled),
        **_rate("overflow_rate", tally.outcomes.get("overflow", 0), judged, info.sampled),
        **_rate("total_underflow_rate", tally.outcomes.get("total_underflow", 0), judged, info.sampled),
        **rows_with_any,
        **_through_rows(
            "underflow_rate", _ratio(spurious, tally.representable if underflows else 0), rows_with_any
        ),
        "unavoidable_underflow_rate": _ratio(harmless, tally.positive if underflows else 0),
    }


def _rate(name: str, events: int, trials: int, sampled: bool) -> Row:
    low, high = clopper_pearson(events, trials) if sampled and trials else (None, None)
    return {name: _ratio(events, trials), f"{name}_low": low, f"{name}_high": high}


def _through_rows(name: str, rate: float | None, rows: Row) -> Row:
    """Return the interval of a rate of elements from that of the rows with an event.

    Elements of one row stand or fall together, so only rows are independent trials. The
    ends are those of the row rate times the observed share within such rows; without any
    such row, that share is at most 1.
    """
    row_rate, low, high = rows.values()
    if rate is None or low is None:
        return {name: rate, f"{name}_low": None, f"{name}_high": None}
    within = rate / row_rate if row_rate else 1.0
    return {name: rate, f"{name}_low": low * within, f"{name}_high": min(1.0, high * within)}


def _digests(tally: Tally, small: Mapping[str, str]) -> Row:
    greatest = next((w for w in tally.witnesses if w.kind == "max_ulp"), None)
    worst = min(tally.witnesses, key=gravity, default=None)
    identity = worst.id if worst else None
    ids = {
        "witness": identity,
        "max_ulp_witness": identity if greatest is worst else greatest.id if greatest else None,
    }
    return {
        "rows_digest": tally.rows_digest() if tally.digests else None,
        **ids,
        **{f"small_{name}": small.get(id_) if id_ else None for name, id_ in ids.items()},
    }


def _status(info: CellInfo, tally: Tally) -> Status:
    if info.status != "ok" or tally.completed == tally.rows:
        return info.status
    if set(tally.faults) == {"unsupported"}:
        return "unsupported"
    if set(tally.faults) == {NOT_TRIED}:
        return "not_tried"
    return "timed_out" if tally.faults.get("timed_out") and not tally.faults.get("crashed") else "crashed"


def _message(info: CellInfo, tally: Tally) -> str:
    """Return why rows have no outputs; empty where all have."""
    if info.message or tally.completed == tally.rows:
        return info.message
    messages = [w.message for w in sorted(tally.witnesses, key=gravity) if w.kind in tally.faults]
    if tally.faults.get(NOT_TRIED):
        messages = [*messages[:1], "rows were not tried, as its failures had taken their time"]
        return "; ".join(messages)
    return messages[0] if messages else ", ".join(tally.faults)


def _judged(tally: Tally) -> int:
    """Return the number of rows that have an exact result and outputs."""
    return sum(count for name, count in tally.outcomes.items() if name != "policy")


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
