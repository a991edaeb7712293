"""What the gate decided: every limit, what was observed, and whether that passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from reports.figures import count, figure
from reports.records import Record, State, records
from reports.rundata import RunData
from reports.section import Section

_STATES: Final[Mapping[str, State]] = {
    "uncertified": "open",
    "not_run": "open",
    "no_budget": "open",
    "pass": "good",
}
_ORDER: Final = (
    "crashed",
    "timed_out",
    "defect",
    "over_budget",
    "uncertified",
    "not_run",
    "no_budget",
    "pass",
)

Verdict = Mapping[str, Any]


def render(run: RunData) -> Markup:
    """Draw the verdicts, those that do not pass first; nothing where no gate was run."""
    verdicts: Sequence[Verdict] = run.documents.get("verdicts") or ()
    if not verdicts:
        return Markup()
    headings = ("status", "metric", "candidate", "format", "cell", "observed", "limit", "why")
    lines = [_record(verdict) for verdict in sorted(verdicts, key=_rank)]
    return records("verdicts", headings, lines, more="junit.xml", intro=_intro(verdicts))


def _rank(verdict: Verdict) -> int:
    status = verdict.get("status")
    return _ORDER.index(status) if status in _ORDER else -1


def _intro(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(str(v.get("status")) for v in sorted(verdicts, key=_rank))
    return f"{', '.join(f'{count(n)} {status}' for status, n in counts.items())}.".replace("_", " ")


def _record(verdict: Verdict) -> Record:
    fmt, out = verdict.get("format"), verdict.get("out_format")
    length = verdict.get("length")
    place = [str(verdict.get("regime") or ""), "" if length is None else f"n={length}"]
    texts = (
        str(verdict.get("status", "")).replace("_", " "),
        str(verdict.get("metric", "")),
        str(verdict.get("candidate", "")),
        str(fmt) if fmt == out or not out else f"{fmt} > {out}",
        ", ".join(part for part in place if part) or "all",
        figure(verdict.get("observed")),
        f"{verdict.get('operator', '')} {figure(verdict.get('limit'))}",
        str(verdict.get("message") or ""),
    )
    state = _STATES.get(str(verdict.get("status")), "bad")
    return Record(texts, state, command=str(verdict.get("replay") or ""))


SECTION = Section(
    title="Gate",
    order=15,
    guide=(
        "Each line is one limit held against what this run observed. Only `pass` passes: over budget, defect,"
        " crashed and timed out fail the gate; uncertified, not run and no budget leave it without a verdict."
    ),
    render=render,
)
