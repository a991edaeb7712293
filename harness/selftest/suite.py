"""Run the whole suite on several processes: each defect and control, with the gate and every protocol.

The suspects are cut into groups of one format, which share rows and their truth. The result of a suspect
depends on the seed alone, not on the groups or the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.campaign.settings import BRIEF, Effort
from harness.gate.gate_campaign import GATE
from harness.selftest.controls import Control, controls
from harness.selftest.defects import DEFECTS
from harness.selftest.explained import named
from harness.selftest.matrix import Matrix, Trial
from harness.selftest.planted import Instance
from harness.selftest.protocols import PROTOCOLS
from harness.selftest.trial import Suspect, first_failures
from harness.terminal.interrupts import held_back
from reference.formats import FORMATS
from reports.record.verdicts import Verdict
from reports.selftest import GATE as BY_THE_GATE

__all__ = ["MECHANISMS", "mechanism_of", "planted", "run_suite", "suspects_of"]

JOBS_A_FORMAT: Final = 2
"""For so many processes one group of each format is enough: four formats take about equal time."""

OF_REACH: Final = ("reach", "size")
"""Mechanisms of defects that only long rows, huge calls or many calls show."""

HONEST: Final = "honest"
MECHANISMS: Final = (*dict.fromkeys(defect.mechanism for defect in DEFECTS), HONEST)
"""The parts of a softmax that defects are in; the controls, which have none, are honest."""

Notify = Callable[[int], None]


def planted(seed: int) -> tuple[Instance, ...]:
    """Return every instance of every defect, with constants drawn from a seed."""
    return tuple(instance for defect in DEFECTS for instance in defect.instances(seed))


def suspects_of(seed: int, *, quick: bool = False) -> tuple[Instance | Control, ...]:
    """Return the suspects: all, or for a quick suite one instance of each defect and float32 controls."""
    instances, honest = planted(seed), controls()
    if not quick:
        return (*instances, *honest)
    first = {instance.defect.name: instance for instance in reversed(instances)}
    return (*reversed(first.values()), *(c for c in honest if c.format.name == "float32"))


def mechanism_of(suspect: Instance | Control) -> str:
    """Return the part of a softmax that a defect is in; `HONEST` of a control."""
    return suspect.defect.mechanism if isinstance(suspect, Instance) else HONEST


def run_suite(
    suspects: Sequence[Instance | Control],
    seed: int = 0,
    jobs: int = 1,
    notify: Notify = lambda _: None,
    *,
    quick: bool = False,
    explain: bool = False,
) -> Matrix:
    """Examine suspects with the gate and the protocols.

    Args:
        suspects: some of `suspects_of`.
        seed: of their constants; the gate's rows are always those of seed 0, its default.
        jobs: the number of processes; 1 for this one.
        notify: called with the number of suspects newly done.
        quick: whether only defects of reach get the whole gate, and controls a brief part.
        explain: whether the cause of each softmax is asked for as well.
    """
    trials: dict[str, Trial] = {}
    groups = [replace(g, explain=explain) for g in _groups(suspects, seed, jobs, quick=quick)]
    for done in _each(groups, jobs, notify):
        trials |= {trial.name: trial for trial in done}
    return Matrix(seed, tuple(trials[suspect.name] for suspect in suspects))


def _each(groups: Sequence[_Group], jobs: int, notify: Notify) -> Iterator[tuple[Trial, ...]]:
    if jobs == 1:
        for group in groups:
            yield _examined(group, notify)
        return
    context = multiprocessing.get_context("spawn")
    done = context.Value("l", 0)
    with ProcessPoolExecutor(jobs, context, _count_in, (done,)) as pool:
        try:
            with held_back():  # a process that is only half started could not be killed
                running = {pool.submit(_examined, group) for group in groups}
            while running:
                ended, running = wait(running, 0.2, FIRST_COMPLETED)
                with done.get_lock():
                    more, done.value = done.value, 0
                if more:
                    notify(more)
                yield from (future.result() for future in ended)
        except BaseException:
            for process in multiprocessing.active_children():  # the pool's: none is waited for
                process.kill()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_done: Any = None
"""A shared count of the suspects newly done; None outside the pool."""


def _count_in(done: Any) -> None:
    global _done  # noqa: PLW0603 - what a process is started with
    _done = done
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    """End this process when its parent ends, which may be killed.

    With this thread the process cannot be copied; it has one job, and is not.
    """
    parent.join()
    os._exit(1)


def _count(more: int) -> None:
    with _done.get_lock():
        _done.value += more


@dataclass(frozen=True)
class _Group:
    """The names of suspects that share rows, from which another process makes them."""

    names: tuple[str, ...]
    seed: int
    format: str
    quick: bool
    explain: bool = False


def _groups(suspects: Sequence[Instance | Control], seed: int, jobs: int, *, quick: bool) -> Iterator[_Group]:
    """Yield the groups, the largest formats first: one of each format for each `JOBS_A_FORMAT` processes."""
    together: dict[str, list[str]] = defaultdict(list)
    for suspect in suspects:
        together[suspect.format.name].append(suspect.name)
    parts = -(-jobs // JOBS_A_FORMAT)
    for fmt, names in sorted(together.items(), key=lambda item: -len(item[1])):
        yield from (_Group(tuple(names[i::parts]), seed, fmt, quick) for i in range(min(parts, len(names))))


def _examined(group: _Group, notify: Notify = _count) -> tuple[Trial, ...]:
    suite: tuple[Instance | Control, ...] = (*planted(group.seed), *controls())
    suspects_by_name = {suspect.name: suspect for suspect in suite}
    members = [suspects_by_name[name] for name in group.names]
    failures: dict[str, Verdict] = {}
    for effort, some in _by_effort(members, quick=group.quick):
        suspects = [_gated(member, quick=group.quick) for member in some]
        failures |= first_failures(suspects, FORMATS[group.format], effort=effort, settled=notify)
    notify(len(members) - len(failures))
    return tuple(_trial(member, failures.get(member.name), explain=group.explain) for member in members)


def _by_effort(
    members: Sequence[Instance | Control], *, quick: bool
) -> Iterator[tuple[Effort, Sequence[Instance | Control]]]:
    """Yield each effort with its suspects: the gate's for all, but BRIEF for controls of a quick suite."""
    honest = [member for member in members if quick and isinstance(member, Control)]
    for effort, some in ((GATE, [member for member in members if member not in honest]), (BRIEF, honest)):
        if some:
            yield effort, some


def _gated(suspect: Instance | Control, *, quick: bool = False) -> Suspect:
    planted_in = suspect.defect if isinstance(suspect, Instance) else None
    return Suspect(
        suspect.name,
        suspect.candidate,
        suspect.tiers,
        strict=planted_in is None,
        checks_first=planted_in is not None and planted_in.checks_first,
        near=quick and planted_in is not None and planted_in.mechanism not in OF_REACH,
    )


def _trial(suspect: Instance | Control, verdict: Verdict | None, *, explain: bool) -> Trial:
    noticed = {p.name: p.notices(suspect.candidate(), suspect.format) for p in PROTOCOLS}
    planted_in = suspect.defect if isinstance(suspect, Instance) else None
    return Trial(
        name=suspect.name,
        kind=planted_in.name if planted_in else suspect.title,  # type: ignore[union-attr]
        mechanism=planted_in.mechanism if planted_in else "",
        seen=planted_in.seen if planted_in else "",
        format=suspect.format.name,
        tiers=suspect.tiers,
        honest=planted_in is None,
        noticed={BY_THE_GATE: verdict is not None, **noticed},
        verdict=_line(verdict),
        named=named(suspect) if explain else None,
    )


def _line(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    where = f"{verdict.regime}, n={verdict.length}: " if verdict.regime else ""
    return f"{where}{verdict.metric} {verdict.status.replace('_', ' ')}: {verdict.message}"[:200]
