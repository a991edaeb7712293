"""The campaign of the gate: deterministic cells, and the contract of each candidate.

The campaign holds every regime, the corpora and the known bugs at lengths that leave tails at every
vector width, and one beyond which float16 cannot count; a few rows of every regime at hundreds of
lengths more, and at hundreds that the seed draws, one of each residue modulo 512 among them; and one call
of more than 2^20 short rows. Its rows depend on the seed alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.campaign.crews import threads_of
from harness.campaign.deal import Done, Record, deal
from harness.campaign.settings import Effort, Settings
from harness.subject.rations import Rations
from harness.terminal.deadline import NEVER, Deadline
from strategies.lengths import SWEEP, Drawn

if TYPE_CHECKING:
    from harness.campaign.deal import Crew
    from harness.campaign.plan import Plan
    from harness.campaign.tasks import Task
    from harness.checks import CheckResult
    from harness.subject.candidates import Candidate
    from harness.subject.execution import Executor
    from reports.record.cells import Row
    from reports.record.ledger import Ledger
    from reports.record.tally import Tally
    from reports.record.witness import CellKey

__all__ = ["GATE", "Cell", "Gated", "gate_settings", "measure_gated", "temporary_ledger"]

GATE: Final = Effort(
    "gate",
    (1, 2, 3, 4, 7, 9, 17, 33, 65, 127, 257, 1023, 4096, 8193, 70_001),
    elements=1 << 14,
    least_rows=2,
    most_rows=1 << 11,
    sweep=SWEEP,
    drawn=Drawn(512, 16, 7),
    crowd=1 << 20,
)
"""One candidate in one format within a minute on two processors, start to exit."""

KEPT_WHOLE: Final = 4
"""The most pairs of candidate and format whose whole tallies stay in memory, a quarter of a gigabyte each;
with more, only their judged parts stay."""


@dataclass(frozen=True)
class Cell:
    """A cell of the campaign: its row in the table of cells, and its tally."""

    row: Row
    tally: Tally

    @property
    def key(self) -> CellKey:
        """The key of the cell."""
        from reports.record.witness import CellKey

        return CellKey(**{name: self.row[name] for name in CellKey.__dataclass_fields__})


@dataclass(frozen=True)
class Gated:
    """The measured cells and checks that the gate judges.

    Attributes:
        cells: in the plan's order.
        checks: of the contract.
        candidates: in order, each with the policy by which it was judged.
        settings: of the campaign.
        rations: of candidates that were not given all rows.
    """

    cells: tuple[Cell, ...]
    checks: tuple[CheckResult, ...]
    candidates: tuple[Candidate, ...]
    settings: Settings
    rations: Rations = field(default_factory=dict)

    def whole_tallies(self) -> dict[CellKey, Tally]:
        """Return the tallies by cell; none where parts were left out to save memory."""
        pairs = {(cell.row["candidate"], cell.row["format"]) for cell in self.cells}
        return {cell.key: cell.tally for cell in self.cells} if len(pairs) <= KEPT_WHOLE else {}

    def relaxations(self) -> dict[str, tuple[str, ...]]:
        """Return the policy settings that differ from the default, and the range if any, by candidate."""
        within = self.settings.within
        asked = () if within is None else (f"range={within}",)
        return {c.name: (*c.declaration.policy.relaxations(c.op.policy), *asked) for c in self.candidates}


def gate_settings(settings: Settings, tiers: tuple[str, ...], lengths: tuple[int, ...] = ()) -> Settings:
    """Return the settings of the gate's own campaign.

    Args:
        settings: candidates, formats, seed, policies and effort.
        tiers: the names of the tiers that budgets use.
        lengths: further lengths that budgets use.
    """
    from reference.tiers import TIERS

    effort = settings.effort
    return replace(
        settings,
        effort=replace(effort, lengths=tuple(sorted({*effort.lengths, *lengths}))),
        regimes=(),
        lengths=(),
        rows=None,
        tiers=tuple(TIERS[name] for name in TIERS if name in tiers),
    )


def measure_gated(
    plan: Plan,
    ledger: Ledger,
    executor: Executor,
    notify: Callable[..., None],
    crew: Crew[Task] | None = None,
    deadline: Deadline = NEVER,
) -> Gated:
    """Measure all cells into the ledger, and the contract of each candidate.

    Args:
        plan: of `gate_settings`.
        ledger: where to record the cells.
        executor: calls the candidates.
        notify: called with each shard, as by `Campaign.run`.
        crew: measures the shards, as in `Campaign.run`.
        deadline: when it must have ended.

    Raises:
        OutOfTime: the deadline passed first.
        LedgerError: the ledger does not hold the tallies that were written.
    """
    start = time.perf_counter()
    ledger.put("shards", sum(1 for _ in plan.tasks()))
    pairs = sum(len(list(plan.formats_of(c))) for c in plan.candidates)
    ledger.put("pairs", pairs)
    counted: dict[CellKey, list[Tally]] = {}

    def noted(task: Task, tallies: Mapping[CellKey, Tally]) -> None:
        for key, tally in tallies.items() if pairs <= KEPT_WHOLE else ():
            counted.setdefault(key, []).append(tally)
        notify(task, tallies)

    watched = _Watched(ledger)
    deal(plan.shards(), crew or threads_of(plan, executor), watched, noted, deadline)
    checks = tuple(_checked(plan, executor, deadline))
    ledger.put("timing", {"run_seconds": time.perf_counter() - start, "jobs": plan.settings.jobs})
    cells = tuple(_as_counted(plan, watched, counted))
    return Gated(cells, checks, plan.candidates, plan.settings, plan.rations)


class _Watched(Record[Any]):
    """A ledger, and the digests of the tallies written to it, by cell."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.written: dict[CellKey, list[bytes]] = {}

    def keep(self, done: Done[Any]) -> None:
        """See `Record.keep`."""
        super().keep(done)
        for key, tally in done.tallies.items():
            self.written.setdefault(key, []).append(_digest(tally))


def _as_counted(plan: Plan, watched: _Watched, counted: Mapping[CellKey, Sequence[Tally]]) -> Iterator[Cell]:
    """Yield the cells, each compared with its record in the ledger.

    A candidate can write to the ledger, as to any file of its user.
    """
    from reports.record.cells import cell_row
    from reports.record.ledger import LedgerError
    from reports.record.tally import merge

    path = watched.ledger.path
    held = []
    for info, recorded in watched.ledger.recorded():
        held.append(info.key)
        if [_digest(value) for value in recorded] != watched.written.get(info.key, []):
            raise LedgerError(f"{path}: {info.key} is not as it was counted; something wrote to it")
        parts = counted.get(info.key) or [watched.ledger.unpacked(value, info.key) for value in recorded]
        tally = parts[0] if len(parts) == 1 else merge(parts)
        yield Cell(cell_row(info, tally), tally if counted else _without_profiles(tally))
    if held != [info.key for info in plan.cells()]:
        raise LedgerError(f"{path}: its cells are not those planned; something wrote to it")


def _digest(value: Any) -> bytes:
    """Return the digest of a blob; for any other value in a ledger, one that no blob has."""
    return sha256(value).digest() if isinstance(value, bytes) else b""


def _without_profiles(tally: Tally) -> Tally:
    """Return the judged part of a tally, without counts by bins, which take nearly all of its memory."""
    return replace(tally, histogram={}, places={}, place_errors={}, gap_errors={}, gap_bounds={})


def _checked(plan: Plan, executor: Executor, deadline: Deadline) -> Iterator[CheckResult]:
    from harness.checks import each_check
    from harness.checks.contract import CONTRACT
    from harness.checks.running import FLOORS
    from reference.tiers import TIERS

    settings = plan.settings
    executor.grant()
    for candidate in plan.candidates:
        for fmt in plan.formats_of(candidate):
            for result in each_check(
                plan.subject(candidate, fmt, executor),
                settings.seed,
                settings.effort.extent,
                checks=CONTRACT,
                floors=[floor for floor in FLOORS if TIERS[floor] in settings.tiers],
                ration=plan.rations.get((candidate.name, fmt.name)),
                jobs=settings.jobs,
            ):
                deadline.check()
                yield result


@contextmanager
def temporary_ledger(plan: Plan) -> Iterator[Ledger]:
    """Open a ledger in a folder that is removed afterwards."""
    import tempfile

    from reports.record.run_folder import open_ledger

    with (
        tempfile.TemporaryDirectory() as folder,
        open_ledger(Path(folder), plan.settings.identity(), list(plan.cells())) as ledger,
    ):
        yield ledger
