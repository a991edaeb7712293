"""A gate against an earlier run: no cell may be worse than it was there, on the same rows.

Only cells with the same rows, bit for bit, are compared (`rows_digest`); of the others nothing is known, and
they never pass. Neither does a figure that is worse on another processor: libraries choose their exp by its
vector extensions, so that figures may differ although nobody changed the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.gate.comparison import Change, Comparison, compare
from harness.gate.gate_campaign import Gated
from reports.record.cells import Row, cell_row
from reports.record.verdicts import Verdict, VerdictStatus
from reports.record.witness import CellKey

__all__ = ["BASELINE", "Baseline", "place", "read_baseline", "verdicts_against"]

BASELINE: Final = "baseline"
"""The metric of the verdicts."""

_STATUS: Final[Mapping[str, VerdictStatus]] = {
    "better": "pass",
    "same": "pass",
    "worse": "over_budget",
    "not comparable": "uncertified",
    "gone": "not_run",
}


@dataclass(frozen=True)
class Baseline:
    """An earlier run.

    Attributes:
        name: as the user gave it.
        rows: its table of cells.
        environment: of that run.
    """

    name: str
    rows: tuple[Row, ...]
    environment: Mapping[str, Any]


def read_baseline(run: str) -> Baseline:
    """Return an earlier run.

    Raises:
        RunFolderError: there is no such run.
        LedgerError: its ledger is damaged.
    """
    from reports.record.ledger import Ledger
    from reports.record.run_folder import LEDGER, find_run

    folder: Path = find_run(run)
    with Ledger.open(folder / LEDGER) as ledger:
        rows = tuple(cell_row(info, tally) for info, tally in ledger.tallies())
        return Baseline(run, rows, ledger.get("environment") or {})


def verdicts_against(
    baseline: Baseline, gated: Gated, run: str, environment: Mapping[str, Any]
) -> tuple[list[Verdict], Comparison]:
    """Return a verdict for every cell of these candidates that the earlier run has, and the comparison.

    Args:
        baseline: the earlier run.
        gated: the cells measured now.
        run: the name of the later run.
        environment: of the later run.
    """
    later = [cell.row for cell in gated.cells]
    whose = {(row["candidate"], row["format"], row["out_format"]) for row in later}
    whole = [r for r in baseline.rows if r["status"] != "unsupported" or r["rows"]]
    earlier = [r for r in whole if (r["candidate"], r["format"], r["out_format"]) in whose]
    comparison = compare(baseline.name, earlier, run, later)
    shown = {_key(row): row["witness"] for row in later}
    processor_note = _processor_note(baseline.environment, environment)
    libraries = "; ".join(_libraries(baseline.environment, environment))
    known = (change for change in comparison.cells if change.change != "new")
    return [_verdict(baseline.name, c, shown, processor_note, libraries) for c in known], comparison


def place(verdict: Verdict) -> tuple[Any, ...]:
    """Return the cell that a verdict is about."""
    return verdict.candidate, verdict.format, verdict.out_format, verdict.regime, verdict.length


def _key(row: Row) -> CellKey:
    return CellKey(**{name: row[name] for name in CellKey.__dataclass_fields__})


def _verdict(
    name: str, change: Change, shown: Mapping[CellKey, str | None], processor_note: str, libraries: str
) -> Verdict:
    key, status, message = change.cell, _STATUS[change.change], change.message
    if change.change == "worse" and processor_note:
        status, message = "uncertified", f"not comparable: {processor_note}; {message}"
    elif change.change == "worse":
        message = f"{message}; {libraries}" if libraries else message
    elif status != "pass":
        messages = {
            "not comparable": f"not comparable: {message}",
            "gone": "the baseline has this cell, and it was not measured now",
        }
        message = messages[change.change]
    return Verdict(
        key.candidate, key.format, key.out_format, key.regime, key.length, BASELINE, "no worse than",
        name, change.after, status, message, shown.get(key) if status == "over_budget" else None,
    )  # fmt: skip


def _processor_note(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a note that the processor is another; empty where it is the same."""
    names = ("machine", "cpu_features")
    if all(before.get(name) == now.get(name) for name in names):
        return ""
    return f"measured on another processor ({before.get('cpu')}, now {now.get('cpu')})"


def _libraries(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    earlier, later = (environment.get("libraries") or {} for environment in (before, now))
    for name in later:
        if earlier.get(name) != later[name]:
            yield f"{name} was {earlier.get(name)}, and is {later[name]} now"
