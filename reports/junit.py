"""junit.xml, as CI servers read it: a test suite a candidate and format, a test case a verdict.

Failures are budgets exceeded and defects; errors are crashes, and verdicts that could not be had; what is
skipped are formats that a candidate does not take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from reports.record.verdicts import Verdict
from reports.spelling import xml
from reports.violations import outcome

__all__ = ["junit"]

_FAILURES: Final = frozenset({"over_budget", "defect"})


def junit(verdicts: Sequence[Verdict]) -> bytes:
    """Return the document, UTF-8, with what XML 1.0 cannot hold written out."""
    suites: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        suites.setdefault(f"{verdict.candidate} {verdict.formats}", []).append(verdict)
    root = ET.Element("testsuites", {"name": "softmax-harness gate", **_counts(verdicts)})
    for name, members in suites.items():
        suite = ET.SubElement(root, "testsuite", {"name": xml(name), **_counts(members)})
        for verdict in members:
            _case(suite, verdict)
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root) + b"\n"


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    failures = sum(v.status in _FAILURES for v in verdicts)
    skipped = sum(v.status == "unsupported" for v in verdicts)
    counts = {
        "tests": len(verdicts),
        "failures": failures,
        "errors": sum(v.stops for v in verdicts) - failures,
        "skipped": skipped,
    }
    return {name: str(count) for name, count in counts.items()}


def _case(suite: ET.Element, verdict: Verdict) -> None:
    place = verdict.place or "all"
    name = f"{place} {verdict.metric} {verdict.operator} {verdict.limit}"
    classname = f"{verdict.candidate}.{verdict.formats}".replace("/", ".")
    case = ET.SubElement(suite, "testcase", classname=xml(classname), name=xml(name))
    if verdict.policy:
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", name="policy", value=xml(verdict.policy))
    if verdict.status == "pass":
        return
    if not verdict.stops:
        ET.SubElement(case, "skipped", message=xml(verdict.message))
        return
    kind = "failure" if verdict.status in _FAILURES else "error"
    said = outcome(verdict)
    failure = ET.SubElement(case, kind, type=verdict.status, message=xml(said))
    failure.text = xml("\n".join(line for line in (said, verdict.bits, verdict.replay) if line))
