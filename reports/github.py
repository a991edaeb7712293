"""GitHub annotations: workflow commands on standard output, at most ten, as GitHub shows no more a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from reports.spelling import annotation, annotation_property
from reports.verdicts import FAILED, Verdict, worst_first

__all__ = ["MOST", "workflow_commands"]

MOST: Final = 10


def workflow_commands(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield a workflow command for each verdict that does not pass, the gravest first."""
    failing = [v for v in worst_first(verdicts) if v.stops]
    for verdict in failing[:MOST]:
        level = "error" if verdict.status in FAILED else "warning"
        title = f"{verdict.status}: {verdict.candidate} {verdict.formats}"
        told = f"{verdict.name}: observed {verdict.observed!r}, limit {verdict.operator} {verdict.limit!r}"
        policy = f"policy: {verdict.policy}" if verdict.policy else ""
        lines = [told, verdict.message, policy, verdict.replay]
        yield f"::{level} title={annotation_property(title)}::{annotation(*filter(None, lines))}"
