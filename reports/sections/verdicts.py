"""The verdicts of the gate: every limit, the figure observed, and whether it passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from reports.common import in_common
from reports.gate_text import headline
from reports.record.verdicts import FAILED, Verdict, worst_first
from reports.records import MOST_RECORDS, Record, State, records
from reports.rundata import RunData
from reports.section import Section
from reports.violations import limit_of, outcome, spelled

_MOST_FAILING: Final = 2000
"""Violations that are drawn: about a megabyte. junit.xml has no limit."""


def render(run: RunData) -> Markup:
    """Draw the verdicts, those that do not pass first; nothing where no gate was run."""
    verdicts: Sequence[Verdict] = run.verdicts
    if not verdicts:
        return Markup()
    headings = ("status", "metric", "candidate", "format", "cell", "observed", "limit", "why")
    lines = map(_record, worst_first(verdicts))
    intro = " ".join(f"{sentence}." for sentence in (headline(verdicts), *in_common(verdicts)))
    failing = sum(verdict.stops for verdict in verdicts)
    most = max(MOST_RECORDS, min(failing, _MOST_FAILING))
    return records("verdicts", headings, lines, more="junit.xml", intro=intro, most=most)


def _record(verdict: Verdict) -> Record:
    why = outcome(verdict) if verdict.stops else verdict.message
    texts = (
        verdict.status.replace("_", " "),
        verdict.metric,
        verdict.candidate,
        verdict.formats,
        verdict.place or "all",
        spelled(verdict)[1],
        limit_of(verdict),
        "; ".join(part for part in (why, verdict.policy and f"policy {verdict.policy}") if part),
    )
    return Record(texts, _state(verdict), command=verdict.replay)


def _state(verdict: Verdict) -> State:
    if verdict.status in FAILED:
        return "bad"
    return "good" if verdict.status == "pass" else "open"


SECTION = Section(
    title="Gate",
    order=15,
    guide=(
        "Each line compares one limit with what this run measured. Only `pass` passes. Over budget,"
        " defect, crashed and timed out fail the gate. Uncertified, not run and no budget leave it without"
        " a verdict. Unsupported, a format that a candidate does not take, does neither."
    ),
    render=render,
)
