"""The progress of a campaign: a bar on a terminal, and a line for each finished stage.

The stages are the fixed rows (corpora and the user's input), then each format's drawn and searched rows.
Where there is no terminal, a line now and then shows how much is done and how long the rest takes.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from harness.campaign.tasks import Task
from harness.terminal.console import progress_bar
from reports.figures import count, plural, ulps
from reports.figures import seconds as in_time
from reports.record.cells import FAILURES
from reports.record.tally import Tally
from reports.record.witness import CellKey

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Progress"]

LINE_SECONDS: Final = 60.0
FIRST_ESTIMATE_SECONDS: Final = 2.0
"""Seconds between lines, and before the first estimate of the rest."""

_LEAST: Final = 1e-9


class Progress:
    """A progress display over the tasks still to do; use it in a `with` and call it for each.

    Args:
        console: where to print.
        tasks: those still to do.
        seconds: returns about how long a task takes.
    """

    def __init__(
        self, console: Console, tasks: Sequence[Task], seconds: Callable[[Task], float] = lambda _: 1.0
    ) -> None:
        self._console = console
        self._left = Counter(task.stage for task in tasks)
        self._seconds = seconds
        self._whole = max(sum(seconds(task) for task in tasks), _LEAST)
        self._done = 0.0
        self._printed_at = self._start = time.monotonic()
        self._failed: dict[tuple[str, str], int] = defaultdict(int)
        self._lost: dict[tuple[str, str], int] = defaultdict(int)
        self._rows: dict[tuple[str, str], int] = defaultdict(int)
        self._worst: dict[tuple[str, str], float] = {}
        self._bar = progress_bar(console)
        self._task = self._bar.add_task("measuring", total=self._left.total(), rest="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, task: Task, tallies: Mapping[CellKey, Tally]) -> None:
        """Count a finished task."""
        stage = task.stage
        for cell, tally in tallies.items():
            key = (stage, cell.candidate)
            self._rows[key] += tally.rows
            self._failed[key] += sum(tally.outcomes.get(name, 0) for name in FAILURES)
            self._lost[key] += tally.rows - tally.completed
            if tally.max_ulp is not None:
                self._worst[key] = max(self._worst.get(key, 0.0), tally.max_ulp)
        self._left[stage] -= 1
        self._done += self._seconds(task)
        named = f"{task.format} {task.regime}"
        self._bar.update(self._task, advance=1, description=named, rest=self._rest())
        if not self._left[stage]:
            self._report(stage)
        elif not self._console.is_terminal and time.monotonic() - self._printed_at >= LINE_SECONDS:
            self._print_share()

    def _rest(self) -> str:
        """Return about how long the rest takes at the speed so far, with tasks weighted by their time."""
        elapsed = time.monotonic() - self._start
        if elapsed < FIRST_ESTIMATE_SECONDS or not self._done:
            return ""
        return f"about {in_time(round(elapsed * max(0.0, self._whole / self._done - 1)))} left"

    def _print_share(self) -> None:
        self._printed_at = time.monotonic()
        done = min(1.0, self._done / self._whole)
        self._console.print(f"measuring: {done:.0%} done, {self._rest()}", soft_wrap=True)

    def _report(self, stage: str) -> None:
        names = [candidate for of, candidate in self._rows if of == stage]
        self._console.print(f"{stage}:", soft_wrap=True)
        for name in names:
            key = (stage, name)
            counts = f"{count(self._failed[key])} of {plural(self._rows[key], 'row')} failed"
            if self._lost[key]:
                counts += f", {count(self._lost[key])} gave no output"
            named = f"{name:{max(map(len, names))}}"
            self._console.print(
                f"  {named}  {counts}, worst {ulps(self._worst.get(key))} ULP", soft_wrap=True
            )
