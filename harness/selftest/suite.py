"""The whole suite on several processes: every defect, every control, every protocol beside the gate.

Work is cut into groups of one format, which share rows and their truth; what comes of a suspect depends on
the seed alone, and not on the groups or on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

from harness.campaign.settings import BRIEF, Effort
from harness.gate.measuring import GATE
from harness.selftest.controls import Control, controls
from harness.selftest.defects import DEFECTS
from harness.selftest.matrix import Matrix, Trial
from harness.selftest.planted import Instance
from harness.selftest.protocols import PROTOCOLS
from harness.selftest.trial import Suspect, first_failures
from reference.formats import FORMATS
from reports.record.verdicts import Verdict
from reports.selftest import GATE as BY_THE_GATE

__all__ = ["planted", "run_suite", "suspects_of"]

JOBS_A_FORMAT: Final = 2
"""Processes for which a group a format is enough: four formats have about equal shares."""

OF_REACH: Final = ("reach", "size")
"""Mechanisms of defects that only long rows, huge calls or many of them show."""

Notify = Callable[[int], None]


def planted(seed: int) -> tuple[Instance, ...]:
    """Return every instance of every defect, with constants of a seed."""
    return tuple(instance for defect in DEFECTS for instance in defect.instances(seed))


def suspects_of(seed: int, *, quick: bool = False) -> tuple[Instance | Control, ...]:
    """Return what is examined: everything, or one instance of each defect and the controls of float32."""
    instances, honest = planted(seed), controls()
    if not quick:
        return (*instances, *honest)
    first = {instance.defect.name: instance for instance in reversed(instances)}
    return (*reversed(first.values()), *(c for c in honest if c.format.name == "float32"))


def run_suite(
    suspects: Sequence[Instance | Control],
    seed: int = 0,
    jobs: int = 1,
    notify: Notify = lambda _: None,
    *,
    quick: bool = False,
) -> Matrix:
    """Return what the gate and the protocols make of suspects.

    Args:
        suspects: some of `suspects_of`.
        seed: what their constants were drawn from; the gate's rows are those of its own default, seed 0.
        jobs: processes; 1 for this one.
        notify: told how many more are done.
        quick: whether only defects of reach are shown all that the gate shows, and controls a brief part.
    """
    trials: dict[str, Trial] = {}
    groups = list(_groups(suspects, seed, jobs, quick=quick))
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
        running = {pool.submit(_examined, group) for group in groups}
        try:
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
"""How many suspects the processes are done with since it was last asked; None in a process of its own."""


def _count_in(done: Any) -> None:
    global _done  # noqa: PLW0603 - what a process is started with
    _done = done


def _count(more: int) -> None:
    with _done.get_lock():
        _done.value += more


@dataclass(frozen=True)
class _Group:
    """Suspects that share rows, by their names, as another process finds them again."""

    names: tuple[str, ...]
    seed: int
    format: str
    quick: bool


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
    found = {suspect.name: suspect for suspect in suite}
    members = [found[name] for name in group.names]
    failures: dict[str, Verdict] = {}
    for effort, some in _by_effort(members, quick=group.quick):
        suspects = [_gated(member, quick=group.quick) for member in some]
        failures |= first_failures(suspects, FORMATS[group.format], effort=effort, settled=notify)
    notify(len(members) - len(failures))
    return tuple(_trial(member, failures.get(member.name)) for member in members)


def _by_effort(
    members: Sequence[Instance | Control], *, quick: bool
) -> Iterator[tuple[Effort, Sequence[Instance | Control]]]:
    """Yield who is shown how much: all alike what the gate shows; of a quick suite, controls a brief part."""
    honest = [member for member in members if quick and isinstance(member, Control)]
    for effort, some in ((GATE, [member for member in members if member not in honest]), (BRIEF, honest)):
        if some:
            yield effort, some


def _gated(suspect: Instance | Control, *, quick: bool = False) -> Suspect:
    planted_in = suspect.defect if isinstance(suspect, Instance) else None
    return Suspect(
        suspect.name,
        suspect.candidate,
        suspect.tier,
        strict=planted_in is None,
        checks_first=planted_in is not None and planted_in.checks_first,
        near=quick and planted_in is not None and planted_in.mechanism not in OF_REACH,
    )


def _trial(suspect: Instance | Control, verdict: Verdict | None) -> Trial:
    noticed = {p.name: p.notices(suspect.candidate(), suspect.format) for p in PROTOCOLS}
    planted_in = suspect.defect if isinstance(suspect, Instance) else None
    return Trial(
        name=suspect.name,
        kind=planted_in.name if planted_in else suspect.title,  # type: ignore[union-attr]
        mechanism=planted_in.mechanism if planted_in else "",
        seen=planted_in.seen if planted_in else "",
        format=suspect.format.name,
        tier=suspect.tier,
        honest=planted_in is None,
        noticed={BY_THE_GATE: verdict is not None, **noticed},
        verdict=_told(verdict),
    )


def _told(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    where = f"{verdict.regime}, n={verdict.length}: " if verdict.regime else ""
    return f"{where}{verdict.metric} {verdict.status.replace('_', ' ')}: {verdict.message}"[:200]
