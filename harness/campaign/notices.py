"""Notices about what a command judges a candidate as, and about rows that it does not try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.subject.probe import other_op
from harness.terminal.console import notes
from harness.terminal.exceptions import UsageError
from reference.ops import SOFTMAX
from reports.figures import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from harness.campaign.schedule import Schedule
    from harness.campaign.settings import Settings
    from harness.campaign.workload import Workload
    from harness.subject.candidates import Candidate
    from harness.subject.execution import Executor

__all__ = ["over_before_all", "print_left_out", "print_ops", "print_range", "print_untried"]


def over_before_all(settings: Settings) -> str:
    """Return the message that the time was over before anything was measured."""
    return f"--max-time {settings.max_time:g}: over before the first row was measured; give it longer"


def print_ops(candidates: Iterable[Candidate], settings: Settings, executor: Executor) -> None:
    """Print which of the user's functions are judged as another op than softmax without being asked for.

    Raises:
        UsageError: a function gives what another op gives, whose results have another shape.
    """
    for candidate in candidates:
        plain = candidate.op.plain or candidate.op
        if settings.op is None and candidate.op is not SOFTMAX and ":" in candidate.spec:
            asked = "" if plain is SOFTMAX else f"; --op {SOFTMAX} judges it as {SOFTMAX}"
            notes().print(
                f"{candidate.name}: judged as {candidate.op}, as its name or its declaration says{asked}",
                soft_wrap=True,
            )
        fmt = next((f for f in settings.formats if candidate.supports(f, settings.out_format or f)), None)
        other = fmt and other_op(candidate, fmt, settings.out_format or fmt, executor, settings.within)
        if not other:
            continue
        said = f"four equal logits give what {other} gives, and it is judged as {candidate.op}"
        if other.reduces != candidate.op.reduces:
            raise UsageError(f"candidate {candidate.name!r}: {said}; give --op {other.plain or other}")
        notes().print(
            f"{candidate.name}: {said}; --op {other.plain or other} judges it as that", soft_wrap=True
        )


def print_range(workload: Workload, console: Console) -> None:
    """Print which range the logits are in, and what is left out as it is not in it."""
    within = workload.settings.within
    if within is None:
        return
    console.print(
        f"range {within}: every logit is in it; rows that regimes draw beyond it are moved into it",
        soft_wrap=True,
    )
    for fmt in workload.settings.formats:
        known, left_out = workload.known_rows(fmt)
        if left_out:
            console.print(
                f"range {within}: {left_out} of {plural(known, 'known row')} of {fmt} reach beyond it and are"
                " left out",
                soft_wrap=True,
            )
    if names := workload.regimes_beyond_range():
        console.print(f"range {within}: no row of {', '.join(names)} is in it", soft_wrap=True)


def print_untried(executor: Executor, console: Console) -> None:
    """Print the rows of each candidate that were not tried, and why."""
    for spec, summary in executor.given_up().items():
        console.print(f"{spec}: {summary}", soft_wrap=True)


def print_left_out(schedule: Schedule, console: Console) -> None:
    """Print how many rows each candidate is given that is not given all, and why."""
    for candidate in schedule.plan.candidates:
        for fmt in schedule.plan.measured_formats(candidate):
            if (left_out := schedule.left_out(candidate, fmt)) is not None:
                console.print(f"{candidate.name} in {fmt}: {left_out.line()}", soft_wrap=True)
