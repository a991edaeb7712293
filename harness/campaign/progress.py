"""The progress of a campaign: a bar on a terminal, and a line for each finished stage.

The stages are the fixed rows (corpora and the user's input), then each format's drawn and searched rows.
Where there is no terminal, a line now and then shows how much is done and how long the rest takes.
A line at the start says how long all will take, as the first drawn rows show. The first task does not count
there: workers start in it and import their libraries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from harness.campaign.tasks import Shard, Task
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

MOST_SLOWNESS: Final = 4.0
"""Of checks: their calls are large, and small tasks are slow for reasons that large ones do not share."""

USUAL_SLOWNESS: Final = 0.6
"""Of checks: that of two processors; it is assumed where the tasks end too soon to measure it."""

_LEAST: Final = 1e-9

_STEPS: Final = ((10.0, 1), (60.0, 5), (600.0, 10), (3600.0, 60))
"""Estimates below so many seconds are rounded to so many; others to ten minutes."""


class Progress:
    """A progress display over the tasks still to do; use it in a `with` and call it for each.

    Args:
        console: where to print.
        tasks: those still to do.
        seconds: returns about how long a task takes.
        afterwards: how long all takes that comes after the tasks, on the same scale.
    """

    def __init__(
        self,
        console: Console,
        tasks: Sequence[Task],
        seconds: Callable[[Task], float] = lambda _: 1.0,
        afterwards: float = 0.0,
    ) -> None:
        self._console = console
        self._left = Counter(task.stage for task in tasks)
        self._seconds = seconds
        self._whole = max(sum(seconds(task) for task in tasks), _LEAST)
        self._done = 0.0
        self._afterwards = afterwards
        self._has_drawn = not all(_is_fixed(task) for task in tasks)
        self._is_announced = False
        self._printed_at = self._start = self._timed_from = monotonic()
        self._timed_done = 0.0
        self._is_first = True
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
        if self._is_first or (self._has_drawn and _is_fixed(task)):  # small, and say little of the others
            self._timed_from, self._timed_done = monotonic(), self._done
        self._is_first = False
        self._announce()
        named = f"{task.format} {task.regime}"
        self._bar.update(self._task, advance=1, description=named, rest=self._rest())
        if not self._left[stage]:
            self._report(stage)
        elif not self._console.is_terminal and monotonic() - self._printed_at >= LINE_SECONDS:
            self._print_share()

    def _rest(self) -> str:
        """Return about how long the rest of the tasks takes."""
        slowness = self._slowness()
        return "" if slowness is None else f"about {in_time(round(slowness * self._weight_left))} left"

    @property
    def _weight_left(self) -> float:
        return max(0.0, self._whole - self._done)

    def _slowness(self) -> float | None:
        """Return the seconds of the clock for one of a task's, None where too little is measured."""
        elapsed, done = monotonic() - self._timed_from, self._done - self._timed_done
        return elapsed / done if elapsed >= FIRST_ESTIMATE_SECONDS and done > 0 else None

    def _announce(self) -> None:
        """Print once how long all takes, as soon as that can be told."""
        if self._is_announced:
            return
        slowness = self._slowness()
        if slowness is None:
            after = USUAL_SLOWNESS * self._afterwards
            if not self._left.total() and after >= FIRST_ESTIMATE_SECONDS:
                self._console.print(f"the checks take about {_roughly(after)}", soft_wrap=True)
            return
        self._is_announced = True
        spent, left, after = (
            monotonic() - self._start,
            slowness * self._weight_left,
            min(slowness, MOST_SLOWNESS) * self._afterwards,
        )
        more = f", and {_roughly(after)} more for the checks" if after else ""
        self._console.print(f"measuring takes about {_roughly(spent + left)}{more}", soft_wrap=True)

    def _print_share(self) -> None:
        self._printed_at = monotonic()
        done = min(1.0, self._done / self._whole)
        rest = self._rest()
        self._console.print(f"measuring: {done:.0%} done{rest and f', {rest}'}", soft_wrap=True)

    def _report(self, stage: str) -> None:
        names = [candidate for of, candidate in self._rows if of == stage]
        self._console.print(f"{stage}:", soft_wrap=True)
        for name in names:
            key = (stage, name)
            counts = f"{count(self._failed[key])} of {plural(self._rows[key], 'row')} failed"
            if self._lost[key]:
                counts += f", {count(self._lost[key])} gave no output"
            if (worst := self._worst.get(key)) is not None:
                counts += f", worst {ulps(worst)} ULP"
            self._console.print(f"  {name:{max(map(len, names))}}  {counts}", soft_wrap=True)


def _is_fixed(task: Task) -> bool:
    return isinstance(task, Shard) and not task.sampled


def _roughly(seconds: float) -> str:
    """Return a time as exactly as an estimate is."""
    step = next((step for below, step in _STEPS if seconds < below), 600)
    return in_time(max(1, round(seconds / step) * step))
