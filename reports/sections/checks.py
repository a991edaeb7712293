"""Contract and properties: what every candidate is asked, and where it does otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from reports.figures import NOTHING, count, plural
from reports.looking import looked_at_in_all
from reports.records import Record, State, records
from reports.rundata import RunData
from reports.section import Section

_STATUSES: Final = ("violated", "not_run", "ok", "not_applicable")

Check = Mapping[str, Any]


def render(run: RunData) -> Markup:
    """Draw the checks, the broken ones first; nothing where the run made none."""
    checks = run.checks
    if not checks:
        return Markup()
    headings = ("status", "check", "kind", "candidate", "format", "broken", "what")
    lines = [_record(run, check) for check in sorted(checks, key=_rank)]
    return records("checks", headings, lines, more="summary.json", intro=_intro(checks))


def _rank(check: Check) -> tuple[int, bool, bool]:
    status = str(check.get("status", ""))
    place = _STATUSES.index(status) if status in _STATUSES else -1
    return place, is_known(check), check.get("kind") != "contract"


def _intro(checks: Sequence[Check]) -> str:
    counts = Counter("known" if is_known(c) else c.get("status") for c in checks)
    clauses = [f"{count(counts['ok'])} of {plural(len(checks), 'check')} kept"]
    if broken := counts["violated"]:
        clauses.append(f"{count(broken)} violated")
    if known := counts["known"]:
        clauses.append(f"{count(known)} broken, perhaps by the order of operations alone")
    seen = looked_at_in_all(checks)
    looked = f" They were made on {seen}." if seen else ""
    return f"{'; '.join(clauses if len(clauses) > 1 else [*clauses, 'none broken'])}.{looked}"


def is_known(check: Check) -> bool:
    """Return whether a check is broken in a way that the order of floating-point operations explains."""
    return check.get("status") == "violated" and bool(check.get("consequence"))


def _record(run: RunData, check: Check) -> Record:
    witness = check.get("witness") or {}
    texts = (
        "may be rounding" if is_known(check) else str(check.get("status", "")).replace("_", " "),
        str(check.get("check", "")),
        str(check.get("kind", "")),
        str(check.get("candidate", "")),
        _formats(check),
        _broken(check),
        str(check.get("message") or check.get("title") or NOTHING),
    )
    command = run.replay_command(witness["id"]) if witness.get("id") else ""
    return Record(texts, _state(check), str(check.get("consequence") or ""), command)


def _formats(check: Check) -> str:
    fmt, out = str(check.get("format", "")), str(check.get("out_format", ""))
    return fmt if out in ("", fmt) else f"{fmt} > {out}"


def _broken(check: Check) -> str:
    if check.get("status") in ("not_applicable", "not_run"):
        return NOTHING
    return f"{count(int(check.get('broken') or 0))} of {count(int(check.get('rows') or 0))}"


def _state(check: Check) -> State:
    if check.get("status") == "violated":
        return "known" if is_known(check) else "bad"
    return "good" if check.get("status") == "ok" else "plain"


SECTION = Section(
    title="Contract and properties",
    order=26,
    guide=(
        "The contract holds for every sound softmax: it keeps shape and format, obeys the axis, leaves"
        " the input unchanged, and gives the same bits again. A broken clause is a defect and stands as"
        " violated. A property holds for the exact function. Where the order of floating-point operations"
        " alone may break it, it stands as may be rounding, in another colour, with the reason. That is no"
        " defect by itself; bounds and findings say whether errors are greater than rounding explains."
        " Each line counts the rows that broke it among those that could, and has the command for the"
        " smallest of them."
    ),
    render=render,
)
