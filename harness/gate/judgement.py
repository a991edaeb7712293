"""Judge every cell by each budget that applies to it, and every defect.

A cell passes only if it was measured and a budget judges it. Defects and faults fail whatever the
budgets say, except where a budget limits their own column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from harness.checks import CheckResult
from harness.gate.budgets import TIER, Budget
from harness.gate.gate_campaign import Cell, Gated
from harness.gate.statistics import Exactly, Rule
from harness.measurement.tiers import looser_than, missed_looser
from reference.formats import FORMATS
from reference.tiers import STANDARD, TIERS
from reports.findings import Finding, findings_of
from reports.record.cells import Row
from reports.record.metrics import DEFECTS, METRICS, Covers
from reports.record.verdicts import FORMAT, Verdict, VerdictStatus
from reports.record.witness import Witness, gravity

__all__ = ["judge", "judge_cell", "judge_check", "with_policies"]

_FAULT_STATUS: Final[dict[str, VerdictStatus]] = {
    "crashed": "crashed",
    "out_of_memory": "crashed",
    "timed_out": "timed_out",
    "unsupported": "not_run",
    "not_tried": "not_run",
}


def judge(gated: Gated, budgets: Sequence[Budget], rule: Rule | None = None) -> list[Verdict]:
    """Return a verdict for each budget of a cell, defect, check, and cell without a budget.

    Cells of a format that the candidate does not take have one verdict together: see `_unsupported`.

    Args:
        gated: the measured cells and checks.
        budgets: the limits.
        rule: compares a figure with its limit; exactly by default.
    """
    verdicts: list[Verdict] = []
    taken = [cell for cell in gated.cells if not _is_unsupported(cell)]
    for cell in taken:
        verdicts += judge_cell(cell, budgets, rule)
    verdicts += _unsupported(gated, budgets, {cell.row["candidate"] for cell in taken})
    verdicts += [_unmatched(b) for b in budgets if not any(b.applies_to(c.row) for c in gated.cells)]
    for check in gated.checks:
        verdicts += judge_check(check)
    return with_policies(gated, verdicts)


def with_policies(gated: Gated, verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts, each with its policy where that differs from the default."""
    policies = {name: ", ".join(settings) for name, settings in gated.relaxations().items()}
    return [replace(verdict, policy=policies.get(verdict.candidate, "")) for verdict in verdicts]


# Formats that are not taken ----------------------------------------------------------------


def _is_unsupported(cell: Cell) -> bool:
    """Return whether a cell is of a format that its candidate does not take."""
    return bool(cell.row["status"] == "unsupported" and not cell.row["rows"])


def _unsupported(gated: Gated, budgets: Sequence[Budget], judged: set[str]) -> Iterator[Verdict]:
    """Yield a verdict for every candidate and format that it does not take.

    That fails only where a file of budgets names the two, or where the candidate takes none of the formats:
    then the gate has not judged what the user wants judged.

    Args:
        gated: the measured cells.
        budgets: the limits.
        judged: the candidates that take some format.
    """
    rows = {(c.row["candidate"], c.row["format"]): c.row for c in gated.cells if _is_unsupported(c)}
    for row in rows.values():
        named = next((b for b in budgets if b.number is not None and _is_about(b, row)), None)
        status: VerdictStatus = "unsupported"
        message = row["message"]
        if named is not None:
            status, message = "not_run", f"{message}; budget[{named.number}] is about it: take it out"
        elif row["candidate"] not in judged:
            status = "not_run"
            message = f"{message}; it takes none of the formats gated: give --format with one that it takes"
        yield Verdict(
            row["candidate"], row["format"], row["out_format"], None, None, FORMAT, "is", "taken", None,
            status, message,
        )  # fmt: skip


def _is_about(budget: Budget, row: Row) -> bool:
    return budget.applies_to({**row, "regime": budget.regime, "length": budget.length})


# One cell ----------------------------------------------------------------------------------


def judge_cell(cell: Cell, budgets: Sequence[Budget], rule: Rule | None = None) -> Iterator[Verdict]:
    """Yield the verdicts on one cell: one for each budget that applies to it and each defect in it."""
    rule = rule or Exactly()
    applying = [b for b in budgets if b.applies_to(cell.row)]
    lacking = _not_measured(cell)
    if lacking is not None:
        yield lacking
        return
    judged = [verdict for budget in applying for verdict in _of_budget(cell, budget, applying, rule)]
    yield from _with_rows_accepted(cell, judged)
    yield from _defects(cell, {b.metric for b in applying})
    if not applying:
        message = "no budget covers this cell; add one, or judge by a --tier"
        yield _verdict(cell, "none", "<=", None, None, "no_budget", message)
    elif not judged:
        kept = cell.row["policy_violations"] == 0
        count = float(cell.row["policy_violations"])
        verdict = _verdict(cell, "policy_violations", "<=", 0.0, count, "pass" if kept else "defect")
        yield from _with_rows_accepted(cell, [verdict])


def _with_rows_accepted(cell: Cell, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """Yield the verdicts; the first names the policy rows that a setting like `masked_row=zero` excuses."""
    accepted = [
        f"excused: {count} {name}" for name, count in sorted(cell.tally.excused.items()) if "=" in name
    ]
    for place, verdict in enumerate(verdicts):
        message = ", ".join(filter(None, (verdict.message, *accepted)))
        yield verdict if place else replace(verdict, message=message)


def _not_measured(cell: Cell) -> Verdict | None:
    """Return the verdict on a cell with lost rows; None where all rows have outputs."""
    row = cell.row
    if row["rows"] and row["completed_rows"] == row["rows"] and row["status"] == "ok":
        return None
    kind = next(iter(sorted(cell.tally.faults, key=lambda kind: kind == "not_tried")), "")
    for grave in ("crashed", "out_of_memory", "timed_out"):
        kind = grave if grave in cell.tally.faults else kind
    status = _FAULT_STATUS.get(kind, "defect") if kind else "not_run"
    words = next((w.message for w in cell.tally.witnesses if w.kind == kind), "") or row["message"]
    lost = row["rows"] - row["completed_rows"]
    message = f"{lost} of {row['rows']} rows gave no output" if row["rows"] else "nothing was measured"
    return _verdict(
        cell, kind or "rows", "<=", 0.0, float(lost) if row["rows"] else None, status,
        f"{message}: {words}" if words else message, kind,
    )  # fmt: skip


def _of_budget(cell: Cell, budget: Budget, applying: Sequence[Budget], rule: Rule) -> Iterator[Verdict]:
    if budget.metric == TIER:
        yield _of_tier(cell, budget)
        return
    if not cell.row["judged_rows"] and not _covers(budget.metric, "any") and budget.regime is None:
        return  # no row has an exact result: the policy is judged
    row, limited = _with_rows_unbounded(cell), {b.metric for b in applying}
    observed = row[budget.metric]
    if observed is None and budget.metric == "bound_ratio" and budget.regime is None and TIER in limited:
        return  # no row has a bound, and the tier says what then is excused
    status, message = rule.compare(row, budget)
    hidden = _hidden(row, budget.metric, limited)
    if status == "pass" and hidden:
        status, message = "uncertified", hidden
    yield _verdict(
        cell, budget.metric, budget.operator, budget.limit, _float(observed), status, message, budget.metric
    )


def _with_rows_unbounded(cell: Cell) -> Row:
    """Return the cell with a bound ratio that includes rows where the algorithm may overflow.

    The tier judges those of these rows that did not overflow; without them a wrong output there would be in
    no figure. Where a policy excuses flushes, the ratio is over the other rows alone.
    """
    kind = f"over_{STANDARD.name}"
    of_all = None if cell.tally.excused.get(f"{kind}:flushed") else cell.row["bound_ratio"]
    ratios = (of_all, cell.tally.tier_ratios.get(kind))
    known = [ratio for ratio in ratios if ratio is not None]
    return {**cell.row, "bound_ratio": max(known, default=None)}


def _covers(metric: str, outputs: Covers) -> bool:
    return metric in METRICS and METRICS[metric].covers == outputs


def _hidden(row: Row, metric: str, limited: set[str]) -> str:
    """Return what a figure leaves out and no other budget of the cell limits; empty where nothing."""
    if not _covers(metric, "finite") or not row["nonfinite"] or TIER in limited:
        return ""
    if any(_covers(other, "nonfinite") for other in limited):
        return ""
    if row["nonfinite_rows"] <= row["overflow_rows"] and any(_covers(other, "overflow") for other in limited):
        return ""
    return (
        f"{row['nonfinite']} outputs are NaN or infinite, which {metric} leaves out; "
        "limit nonfinite_rows or failed_rate too"
    )


def _of_tier(cell: Cell, budget: Budget) -> Verdict:
    tally, kind = cell.tally, f"over_{budget.limit}"
    broken, excused = _clauses(tally.violations, kind), _clauses(tally.excused, kind)
    observed = tally.tier_ratios.get(kind)
    if observed is None and budget.limit in ("rounded", "faithful"):
        observed = cell.row["correctly_rounded" if budget.limit == "rounded" else "faithful"]
    words = [f"{count} {name}" for name, count in broken.items()]
    words += [f"excused: {count} {name}" for name, count in excused.items()]
    status: VerdictStatus = (
        "over_budget" if set(broken) - {"no_bound"} else "uncertified" if broken else "pass"
    )
    if status == "pass" and observed is None and tally.elements and not excused:
        status, words = "uncertified", ["nothing to hold against the tier"]
    verdict = _verdict(cell, TIER, "meets", budget.limit, observed, status, ", ".join(words), kind)
    return (
        replace(verdict, meets=_looser_met(cell, str(budget.limit))) if status == "over_budget" else verdict
    )


def _looser_met(cell: Cell, tier: str) -> str:
    """Return the tightest looser tier that the rows missing this one all meet; empty where there is none."""
    looser = looser_than(TIERS[tier], FORMATS[cell.row["out_format"]])
    missed = cell.tally.missed
    return next((t.name for t in looser if not missed.get(missed_looser(f"over_{tier}", t))), "")


def _clauses(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    """Return the counts of a tier's clauses, sorted by name."""
    mine = sorted(name for name in counts if name.startswith(f"{kind}:"))
    return {name.removeprefix(f"{kind}:"): counts[name] for name in mine}


def _defects(cell: Cell, limited: set[str]) -> Iterator[Verdict]:
    """Yield the verdict on every finding except those whose column a budget limits."""
    columns = {metric.shown_by: metric.name for metric in DEFECTS}
    for finding in findings_of(cell.row, cell.tally):
        if columns.get(finding.kind) not in limited:
            yield _of_finding(cell, finding)


def _of_finding(cell: Cell, finding: Finding) -> Verdict:
    is_ratio = finding.kind == "algorithm_ratio"
    observed = cell.row["algorithm_ratio"] if is_ratio else float(finding.count)
    status = _FAULT_STATUS.get(finding.kind, "defect")
    limit = 1.0 if is_ratio else 0.0
    return _verdict(cell, finding.kind, "<=", limit, observed, status, finding.message, finding.kind)


# Verdicts ----------------------------------------------------------------------------------


def _verdict(
    cell: Cell,
    metric: str,
    operator: str,
    limit: float | str | None,
    observed: float | None,
    status: VerdictStatus,
    message: str = "",
    kind: str = "",
) -> Verdict:
    row = cell.row
    where = {key: row[key] for key in ("candidate", "format", "out_format", "regime", "length")}
    witness = _witness(cell.tally.witnesses, kind) if status != "pass" else None
    return Verdict(
        **where, metric=metric, operator=operator, limit=limit, observed=observed, status=status,
        message=message, witness=witness.id if witness else None, rows=row["rows"],
    )  # fmt: skip


def _witness(witnesses: Iterable[Witness], kind: str) -> Witness | None:
    """Return the witness of a kind, or else the gravest."""
    wanted = (kind, METRICS[kind].shown_by if kind in METRICS else kind)
    return min(witnesses, key=lambda w: (w.kind not in wanted, gravity(w)), default=None)


def _unmatched(budget: Budget) -> Verdict:
    return Verdict(
        budget.candidate, budget.format, budget.out_format or budget.format, budget.regime, budget.length,
        budget.metric, budget.operator, budget.limit, None, "not_run",
        "this budget applies to no cell of the campaign",
    )  # fmt: skip


def judge_check(result: CheckResult) -> Iterator[Verdict]:
    """Yield the verdict on a check of the contract; none where it does not apply."""
    if result.status == "not_applicable":
        return
    statuses: dict[str, VerdictStatus] = {"ok": "pass", "violated": "defect", "not_run": "not_run"}
    witness = result.witness
    yield Verdict(
        result.candidate, result.format, result.out_format, None, None, f"contract {result.check.name}",
        "<=", 0.0, float(result.broken) if result.rows else None, statuses[result.status],
        f"{result.check.title}: {result.message}" if result.message else result.check.title,
        witness.id if witness else None,
    )  # fmt: skip


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
