"""What a run finds wrong with a candidate, apart from how inaccurate it is.

Faults (it crashed, hung, raised, or returned the wrong thing) and defects of its contract or of
its claim: failed rows that nothing it declares explains, masked entries that are not 0, outputs
outside the range of results, -0, policy rows that are not as declared, a greater error than the declared
algorithm can make. One finding gathers all cells of a candidate, a format and a kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from reports.record.cells import Row
from reports.record.metrics import DEFECTS, Metric
from reports.record.tally import Tally
from reports.record.witness import Witness
from reports.record.witness_kinds import WITNESS_KINDS, gravity_of

__all__ = ["Finding", "findings_of", "gathered"]


@dataclass(frozen=True)
class Finding:
    """One kind of fault or defect of a candidate in a format.

    Attributes:
        kind: a kind of witness.
        candidate, op, format, out_format: with whom.
        regime, length: the first cell that shows it.
        count: the number of occurrences, in `unit`; `cells`: the number of cells with any.
        message: a description in a few words.
        witness: the id of a witness of it, None where there is none.
    """

    kind: str
    candidate: str
    op: str
    format: str
    out_format: str
    regime: str
    length: int
    count: int
    unit: str
    cells: int
    message: str
    witness: str | None

    def document(self) -> dict[str, Any]:
        """Return this finding as JSON carries it."""
        return asdict(self)


def findings_of(row: Row, tally: Tally) -> list[Finding]:
    """Return the findings of one cell."""
    witnesses = {w.kind: w for w in tally.witnesses}
    findings = [
        _finding(row, kind, count, "calls", _said(_meaning(kind), witnesses.get(kind)), witnesses)
        for kind, count in tally.faults.items()
    ]
    for metric in DEFECTS:
        count = _count(metric, row) - tally.excused.get(metric.shown_by, 0)
        if count:
            shown = witnesses.get(metric.shown_by) if metric.shown_by == "policy" else None
            message = shown.message if shown and shown.message else metric.defect
            unit = "cells" if metric.within is not None else metric.unit
            findings.append(_finding(row, metric.shown_by, count, unit, message, witnesses))
    return findings


def _count(metric: Metric, row: Row) -> int:
    """Return how often a cell shows a defect; of a ratio once, where it is above what it may be."""
    value = row[metric.name]
    if metric.within is None:
        return int(value)
    return int(value is not None and value > metric.within)


def _meaning(fault: str) -> str:
    return WITNESS_KINDS[fault].meaning if fault in WITNESS_KINDS else fault


def gathered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return one finding for each candidate, format and kind; the gravest kinds first."""
    by_kind: dict[tuple[str, ...], Finding] = {}
    for f in findings:
        key = (f.candidate, f.op, f.format, f.out_format, f.kind)
        held = by_kind.get(key)
        by_kind[key] = replace(held, count=held.count + f.count, cells=held.cells + 1) if held else f
    return tuple(sorted(by_kind.values(), key=_gravity))


def _gravity(finding: Finding) -> int:
    """Rank the kinds; one that leaves no witness comes first."""
    return gravity_of(finding.kind)


def _finding(
    row: Row, kind: str, count: int, unit: str, message: str, witnesses: dict[str, Witness]
) -> Finding:
    where = {name: row[name] for name in ("candidate", "op", "format", "out_format", "regime", "length")}
    witness = witnesses.get(kind)
    return Finding(
        kind=kind,
        **where,
        count=count,
        unit=unit,
        cells=1,
        message=message,
        witness=witness.id if witness else None,
    )


def _said(message: str, witness: Witness | None) -> str:
    return f"{message}: {witness.message}" if witness and witness.message else message
