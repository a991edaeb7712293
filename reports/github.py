"""GitHub annotations: workflow commands on standard output, at most ten, as GitHub shows no more a step.

One for each candidate and format, at its function: what its violations have in common, and the gravest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from reports.common import in_common
from reports.figures import plural
from reports.record.verdicts import FAILED, Verdict, worst_first
from reports.spelling import annotation, annotation_property
from reports.violations import outcome, status_name, subject

__all__ = ["MOST", "workflow_commands"]

MOST: Final = 10


def workflow_commands(
    verdicts: Sequence[Verdict], places: Mapping[str, tuple[str, int]] | None = None
) -> Iterator[str]:
    """Yield a workflow command for each candidate and format that does not pass, the gravest first.

    Args:
        verdicts: all of a gate.
        places: file and line of candidates' functions, where they are known.
    """
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in worst_first(verdicts):
        groups.setdefault((verdict.candidate, verdict.formats), []).append(verdict)
    failing = [own for own in groups.values() if own[0].stops]
    for own in failing[:MOST]:
        yield _command(own, (places or {}).get(own[0].candidate))


def _command(own: Sequence[Verdict], place: tuple[str, int] | None) -> str:
    worst, failed = own[0], sum(v.stops for v in own)
    level = "error" if worst.status in FAILED else "warning"
    more = f", the gravest of {plural(failed, 'violation')}" if failed > 1 else ""
    title = f"{status_name(worst)}: {worst.candidate} {worst.formats}{more}"
    said = f"{subject(worst)}: {outcome(worst)}"
    policy = f"policy: {worst.policy}" if worst.policy else ""
    lines = [*in_common(own), said, policy, worst.replay]
    properties = [f"title={annotation_property(title)}"]
    if place is not None:
        properties = [f"file={annotation_property(place[0])}", f"line={place[1]}", *properties]
    return f"::{level} {','.join(properties)}::{annotation(*filter(None, lines))}"
