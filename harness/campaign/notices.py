"""Notices about rows that a command does not try, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference.ops import SOFTMAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from harness.campaign.campaign import Campaign
    from harness.campaign.settings import Settings
    from harness.subject.candidates import Candidate
    from harness.subject.execution import Executor

__all__ = ["over_before_all", "print_left_out", "print_ops", "print_untried"]


def over_before_all(settings: Settings) -> str:
    """Return the message that the time was over before anything was measured."""
    return f"--max-time {settings.max_time:g}: over before the first row was measured; give it longer"


def print_ops(candidates: Iterable[Candidate], settings: Settings, console: Console) -> None:
    """Print which candidates are judged as another op than softmax where the user did not ask for it."""
    if settings.op is not None:
        return
    for candidate in candidates:
        if candidate.op is not SOFTMAX:
            console.print(
                f"{candidate.name}: judged as {candidate.op}, as its name or its declaration says;"
                f" --op {SOFTMAX} judges it as {SOFTMAX}",
                soft_wrap=True,
            )


def print_untried(executor: Executor, console: Console) -> None:
    """Print the rows of each candidate that were not tried, and why."""
    for spec, summary in executor.given_up().items():
        console.print(f"{spec}: {summary}", soft_wrap=True)


def print_left_out(campaign: Campaign, console: Console) -> None:
    """Print how many rows each candidate is given that is not given all, and why."""
    for candidate in campaign.candidates:
        for fmt in campaign.measured_formats(candidate):
            if (left_out := campaign.left_out(candidate, fmt)) is not None:
                console.print(f"{candidate.name} in {fmt}: {left_out.line()}", soft_wrap=True)
