"""The whole suite on several processes: every defect, every control, every protocol beside the gate.

Work is cut into groups of one format and tier, which share rows and their truth; what comes of a suspect
depends on the seed alone, and not on the groups or on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

from harness.selftest.controls import Control, controls
from harness.selftest.defects import DEFECTS
from harness.selftest.matrix import GATE, Matrix, Trial
from harness.selftest.planted import Instance
from harness.selftest.protocols import PROTOCOLS
from harness.selftest.trial import Suspect, first_failures
from reference.formats import FORMATS
from reports.verdicts import Verdict

__all__ = ["planted", "run_suite", "suspects_of"]

SIZE: Final = 24
"""Suspects of a group: so few that the last groups keep all processes at work."""

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
    suspects: Sequence[Instance | Control], seed: int = 0, jobs: int = 1, notify: Notify = lambda _: None
) -> Matrix:
    """Return what the gate and the protocols make of suspects.

    Args:
        suspects: some of `suspects_of`.
        seed: what their constants were drawn from; the gate's rows are those of its own default, seed 0.
        jobs: processes; 1 for this one.
        notify: told how many more are done.
    """
    trials: dict[str, Trial] = {}
    for done in _each(list(_groups(suspects, seed)), jobs):
        trials |= {trial.name: trial for trial in done}
        notify(len(done))
    return Matrix(seed, tuple(trials[suspect.name] for suspect in suspects))


def _each(groups: Sequence[_Group], jobs: int) -> Iterator[tuple[Trial, ...]]:
    if jobs == 1:
        yield from map(_examined, groups)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_examined, group) for group in groups]
        try:
            for future in as_completed(running):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True)
class _Group:
    """Suspects that share rows, by their names, as another process finds them again."""

    names: tuple[str, ...]
    seed: int
    format: str
    tier: str
    honest: bool


def _groups(suspects: Sequence[Instance | Control], seed: int) -> Iterator[_Group]:
    """Yield the groups, those that take longest first: controls see everything."""
    together: dict[tuple[bool, str, str], list[str]] = defaultdict(list)
    for suspect in suspects:
        together[isinstance(suspect, Control), suspect.format.name, suspect.tier].append(suspect.name)
    for (honest, fmt, tier), names in sorted(together.items(), key=lambda item: not item[0][0]):
        parts = -(-len(names) // (SIZE // 3 if honest else SIZE))
        yield from (_Group(tuple(names[i::parts]), seed, fmt, tier, honest) for i in range(parts))


def _examined(group: _Group) -> tuple[Trial, ...]:
    found: dict[str, Instance | Control] = {}
    for suspect in controls() if group.honest else planted(group.seed):
        found[suspect.name] = suspect
    members = [found[name] for name in group.names]
    gated = [Suspect(m.name, m.candidate, isinstance(m, Instance) and m.defect.checks_first) for m in members]
    failures = first_failures(gated, FORMATS[group.format], group.tier, strict=group.honest)
    return tuple(_trial(member, failures.get(member.name)) for member in members)


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
        noticed={GATE: verdict is not None, **noticed},
        verdict=_told(verdict),
    )


def _told(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    where = f"{verdict.regime}, n={verdict.length}: " if verdict.regime else ""
    return f"{where}{verdict.metric} {verdict.status.replace('_', ' ')}: {verdict.message}"[:200]
