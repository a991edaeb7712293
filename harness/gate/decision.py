"""Decide a gate: measure, judge by budgets, and write verdicts with shrunk witnesses to a run folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.campaign.notices import over_before_all, print_left_out, print_ops, print_range, print_untried
from harness.campaign.settings import Settings
from harness.gate.baseline import Baseline, place, verdicts_against
from harness.gate.budgets import TIER, Budget
from harness.gate.far_out import far_out
from harness.gate.gate_campaign import GATE, Gated, gate_settings, measure_gated
from harness.gate.judgement import judge, with_policies
from harness.gate.ratchet import slack_verdicts
from harness.gate.statistics import Exactly, Fresh, Rule
from harness.subject.subject import Subject
from harness.terminal.console import notes
from harness.terminal.deadline import Deadline, OutOfTime
from harness.terminal.exceptions import Interrupted, NoVerdict, UsageError, user_mistakes
from harness.terminal.kernels import MEASURING, prepare_kernels
from reference.tiers import STANDARD
from reports.common import in_common
from reports.figures import plural
from reports.record.metrics import METRICS
from reports.record.run_folder import replay_command
from reports.record.verdicts import Verdict, exit_code, headline_name, worst_first
from reports.record.witness import Witness
from reports.rows import grouped_bits
from reports.spelling import command

if TYPE_CHECKING:
    from harness.campaign.plan import Plan
    from harness.campaign.schedule import Schedule
    from harness.subject.candidates import Candidate
    from harness.subject.execution import Executor
    from reports.record.ledger import Ledger

__all__ = ["SCHEMA_VERSION", "Decision", "decide", "draw", "with_witnesses"]

SCHEMA_VERSION: Final = 1

SHRUNK: Final = 6
"""The most witnesses to shrink: those that a terminal shows first."""

SHRINKING_ELEMENTS: Final = 1 << 20
"""The most elements to call for shrinking one of them: a second or two."""


@dataclass(frozen=True)
class Decision:
    """The decision of a gate.

    Attributes:
        folder: the run folder.
        gated: the measured cells and checks.
        verdicts: all of them, in the plan's order.
    """

    folder: Path
    gated: Gated
    verdicts: tuple[Verdict, ...]

    @property
    def exit_code(self) -> int:
        """0, 1 or 3."""
        return exit_code(self.verdicts)

    def document(self) -> dict[str, Any]:
        """Return the decision as JSON carries it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "outcome": headline_name(self.verdicts),
            "exit_code": self.exit_code,
            "seed": self.gated.settings.seed,
            "run": str(self.folder),
            "policies": {name: list(p) for name, p in self.gated.relaxations().items()},
            **({"range": within.document()} if (within := self.gated.settings.within) else {}),
            "in_common": in_common(self.verdicts),
            "verdicts": [verdict.document() for verdict in self.verdicts],
        }


def decide(
    settings: Settings,
    budgets: Sequence[Budget],
    out: Path | None,
    *,
    fresh: bool = False,
    rows: int | None = None,
    overwrite: bool = False,
    strict: bool = False,
    baseline: Baseline | None = None,
    pairs: frozenset[tuple[str, str]] | None = None,
) -> Decision:
    """Measure and judge, into a run folder that `draw` completes.

    Args:
        settings: candidates, formats, seed and policies.
        budgets: the limits.
        out: the run folder; a new one where None.
        fresh: whether rates are compared as those of independent rows.
        rows: the least rows of each drawn cell.
        overwrite: whether a run in `out` is replaced.
        strict: whether a limit far above its figure fails.
        baseline: an earlier run; no cell may be worse than there.
        pairs: of candidates and formats; each candidate in each format where None.

    Raises:
        UsageError: a candidate or the folder cannot be used.
        NoVerdict: the ledger cannot be written.
        Interrupted: the user stopped it.
    """
    from harness.campaign.plan import Plan
    from harness.campaign.provenance import open_measured
    from harness.campaign.schedule import Schedule
    from harness.checks.samples import extent_of
    from harness.subject.execution import Isolated
    from reports.record.ledger import LedgerError
    from reports.record.run_folder import prepare

    deadline = Deadline.in_seconds(settings.max_time)
    settings = gate_settings(_with_rows(settings, rows), _tiers(budgets), _lengths(budgets))
    with user_mistakes():
        try:
            plan = replace(Plan.of(settings, deadline), pairs=pairs)
        except OutOfTime:
            raise NoVerdict(over_before_all(settings)) from None
        _require_reach(plan, budgets)
        executor = Isolated(
            settings.jobs, settings.timeout, load_timeout=settings.import_timeout, deadline=deadline
        )
    with executor:
        try:
            plan = plan.probed(executor)
            print_ops(plan.candidates, settings, executor)
            with user_mistakes():  # what is refused until here leaves no folder, and overwrites none
                folder = prepare(out, seed=settings.seed, resume=None, overwrite=overwrite)
            schedule = Schedule.rationed(plan, executor, extent_of(settings.effort.extent).cost)
        except OutOfTime:
            raise NoVerdict(over_before_all(settings)) from None
        plan = schedule.plan
        print_left_out(schedule, notes())
        print_range(plan.workload, notes())
        cells = list(plan.cells())
        try:
            ledger = open_measured(folder, plan.identity(), cells, settings, plan.candidates)
        except LedgerError as error:
            raise UsageError(error.anew) from error
        asked = _Asked(budgets, baseline, fresh=fresh, strict=strict)
        with ledger, _mistakes(plan, ledger, folder):
            return _measured(schedule, ledger, folder, executor, asked, deadline)


@dataclass(frozen=True)
class _Asked:
    """What the cells are judged by: the parameters of `decide` of these names."""

    budgets: Sequence[Budget]
    baseline: Baseline | None
    fresh: bool
    strict: bool


@contextmanager
def _mistakes(plan: Plan, ledger: Ledger, folder: Path) -> Iterator[None]:
    """Say in one line why there is no verdict."""
    from reports.record.ledger import LedgerError

    try:
        yield
    except OutOfTime:
        raise NoVerdict(_unfinished(plan, ledger, folder)) from None
    except LedgerError as error:
        raise NoVerdict(error.anew) from error
    except KeyboardInterrupt:
        drawing = command("python", "-m", "harness", "report", str(folder))
        raise Interrupted(
            f"interrupted: no verdict; what was measured lies in {folder}, "
            f"and {drawing} draws it; a gate begins anew"
        ) from None


def _measured(
    schedule: Schedule,
    ledger: Ledger,
    folder: Path,
    executor: Executor,
    asked: _Asked,
    deadline: Deadline,
) -> Decision:
    """Measure into an open ledger, and judge."""
    from harness.campaign.crews import crew_of
    from harness.campaign.progress import Progress
    from harness.campaign.provenance import record_program
    from harness.checks.samples import extent_of
    from reports.record.run_folder import reference_of

    with deadline.paused():
        prepare_kernels(MEASURING)
    plan = schedule.plan
    shards = list(plan.shards())
    checks = extent_of(plan.settings.effort.extent).cost
    checking = sum(
        schedule.checking_seconds(candidate, fmt, checks)
        for candidate in plan.candidates
        for fmt in plan.formats_of(candidate)
    )
    with (
        crew_of(schedule, executor) as crew,
        Progress(notes(), shards, schedule.seconds, checking) as progress,
    ):
        gated = measure_gated(plan, ledger, executor, progress, crew, deadline)
        verdicts = judge(gated, asked.budgets, _rule(gated, asked.budgets, fresh=asked.fresh))
        verdicts += with_policies(gated, _never_reached(schedule))
        verdicts += with_policies(gated, slack_verdicts(gated, asked.budgets)) if asked.strict else ()
        if asked.baseline is not None:
            verdicts = _with_baseline(asked.baseline, gated, verdicts, ledger, reference_of(folder))
        executor.grant()
        verdicts, shrunk = with_witnesses(gated, verdicts, executor, reference_of(folder))
        record_program(ledger, executor)
    print_untried(executor, notes())
    ledger.put("checks", [check.document() for check in gated.checks])
    ledger.put("shrunk", {identity: w.document() for identity, w in shrunk.items()})
    ledger.put("verdicts", [verdict.document() for verdict in verdicts])
    return Decision(folder, gated, tuple(verdicts))


def _unfinished(plan: Plan, ledger: Ledger, folder: Path) -> str:
    """Return a message on what a gate still had to do when its time was over."""
    finished = ledger.finished()
    left = sum(shard.id not in finished for shard in plan.shards())
    shards = f"{plural(left, 'shard')} of {len(finished) + left} and the checks" if left else "checks"
    drawing = command("python", "-m", "harness", "report", str(folder))
    return (
        f"no verdict: --max-time {plan.settings.max_time:g} was over, and {shards} remain;"
        f" give it longer, or fewer candidates and formats; {drawing} draws what was measured"
    )


def _never_reached(schedule: Schedule) -> Iterator[Verdict]:
    """Yield a verdict for each candidate and format that is too slow for one row of each cell."""
    plan = schedule.plan
    for candidate in plan.candidates:
        for fmt in plan.measured_formats(candidate):
            left_out = schedule.left_out(candidate, fmt)
            if left_out is None or not left_out.missing:
                continue
            out = (plan.settings.out_format or fmt).name
            message = (
                f"{plural(left_out.missing, 'cell')} of rows of {left_out.shortest_missing} entries or more"
                f" were not measured: one row takes too long; {left_out.line()}"
            )
            yield Verdict(
                candidate.name, fmt.name, out, None, None, "rows", ">=", 1.0, 0.0, "not_run", message
            )


def _with_baseline(
    baseline: Baseline, gated: Gated, verdicts: Sequence[Verdict], ledger: Ledger, run: str
) -> list[Verdict]:
    """Return all verdicts; a cell in the baseline counts as one with a budget."""
    against, comparison = verdicts_against(baseline, gated, run, ledger.get("environment") or {})
    ledger.put("comparison", comparison.document())
    known = {place(v) for v in against}
    kept = [v for v in verdicts if v.status != "no_budget" or place(v) not in known]
    return [*kept, *with_policies(gated, against)]


def draw(decision: Decision) -> tuple[str, ...]:
    """Complete the run folder; return the sections that could not be drawn, which change no verdict.

    Raises:
        NoVerdict: a file cannot be written.
    """
    from harness.campaign.processes import meanwhile
    from reports.files import FileError
    from reports.folder import write
    from reports.gate_text import markdown
    from reports.junit import junit
    from reports.record.ledger import LedgerError
    from reports.record.run_folder import write_atomically
    from reports.section import undrawn

    known = decision.gated.whole_tallies()
    text = markdown(decision.verdicts, decision.gated.relaxations(), decision.folder.as_posix())
    try:
        write_atomically(decision.folder / "junit.xml", junit(decision.verdicts))
        write_atomically(decision.folder / "gate.md", text.encode())
        beside = partial(meanwhile, jobs=decision.gated.settings.jobs)
        return write(decision.folder, known, meanwhile=beside).failed_sections
    except (LedgerError, FileError, OSError) as error:  # a full disk, or a run that was taken away
        raise NoVerdict(f"{error} (after all was measured)") from error
    except Exception as error:  # noqa: BLE001  the verdict stands, whatever the report's fault
        undrawn("report", error)
        return (f"report ({type(error).__name__}: {error})",)


def _with_rows(settings: Settings, rows: int | None) -> Settings:
    if rows is None:
        return replace(settings, effort=GATE)
    most = max(rows, GATE.most_rows)
    least = max(rows, GATE.least_rows)
    return replace(
        settings, effort=replace(GATE, name=f"gate, {rows} rows", least_rows=least, most_rows=most)
    )


def _tiers(budgets: Sequence[Budget]) -> tuple[str, ...]:
    """Return the tiers that are asked for; a bound ratio is that of `standard`, see `judgement`."""
    asked = tuple(str(b.limit) for b in budgets if b.metric == TIER)
    return (*asked, STANDARD.name) if any(b.metric == "bound_ratio" for b in budgets) else asked


def _lengths(budgets: Sequence[Budget]) -> tuple[int, ...]:
    return tuple(b.length for b in budgets if b.length is not None)


def _require_reach(plan: Plan, budgets: Sequence[Budget]) -> None:
    """Refuse limits on counts that no cell has enough rows or elements to exceed.

    Raises:
        UsageError: there are such limits; the message lists all.
    """
    counted = [b for b in budgets if b.metric in METRICS and METRICS[b.metric].dtype == "int64"]
    most = dict.fromkeys(counted, 0)
    for shard in plan.shards() if counted else ():
        for candidate in plan.candidates:
            cell = asdict(plan.cell_of(candidate, shard.format, shard.regime, shard.length))
            for budget in counted:
                if budget.applies_to(cell):
                    size = shard.rows * (shard.length if METRICS[budget.metric].unit == "elements" else 1)
                    most[budget] = max(most[budget], size)
    beyond = [
        f"budget[{b.number}].limit {b.limit}: no cell that it applies to has more than {size}; give less"
        for b, size in most.items()
        if size and not isinstance(b.limit, str) and b.limit >= size
    ]
    if beyond:
        raise UsageError("; ".join(beyond))


def _rule(gated: Gated, budgets: Sequence[Budget], *, fresh: bool) -> Rule:
    if not fresh:
        return Exactly()
    rates = [b for b in budgets if b.is_of_rate]
    return Fresh(sum(b.applies_to(cell.row) for cell in gated.cells for b in rates))


# Witnesses ---------------------------------------------------------------------------------


def with_witnesses(
    gated: Gated, verdicts: Sequence[Verdict], executor: Executor, run: str
) -> tuple[list[Verdict], dict[str, Witness]]:
    """Return the verdicts with replay commands, and shrunk witnesses by the id of the original.

    Args:
        gated: the cells and checks of the verdicts.
        verdicts: in any order, which is kept.
        executor: calls the candidates, to shrink the first witnesses.
        run: the RUN in RUN#ID.
    """
    of_checks = {w.id: w for check in gated.checks if (w := check.witness) is not None}
    of_cells = {w.id: w for cell in gated.cells for w in cell.tally.witnesses}
    shrunk: dict[str, Witness] = {}
    with suppress(OutOfTime):  # the verdict stands; a witness not yet shrunk is shown as it was
        shrunk.update(_shrunk(gated, verdicts, of_cells, executor))
    replayable = [_with_replay(v, {**of_checks, **of_cells}, shrunk, run) for v in verdicts]
    if gated.settings.within is None:
        shown = {**of_cells, **{w.id: w for w in shrunk.values()}}
        named = {candidate.name: candidate for candidate in gated.candidates}
        replayable = [_with_far_out(v, shown.get(v.witness or ""), named) for v in replayable]
    return replayable, shrunk


def _with_far_out(verdict: Verdict, witness: Witness | None, named: Mapping[str, Candidate]) -> Verdict:
    if witness is None or not verdict.stops:
        return verdict
    return replace(verdict, far=far_out(witness, named[verdict.candidate]))


def _shrunk(
    gated: Gated, verdicts: Sequence[Verdict], witnesses: Mapping[str, Witness], executor: Executor
) -> Iterator[tuple[str, Witness]]:
    """Yield the id and the shrunk form of the witnesses that show most, one of each kind and candidate."""
    from harness.witnesses.shrinking import Budget as Spending
    from harness.witnesses.shrinking import shrink

    candidates = {candidate.name: candidate for candidate in gated.candidates}
    seen: set[tuple[str, ...]] = set()
    for verdict in worst_first(verdicts):
        witness = witnesses.get(verdict.witness or "")
        if witness is None or len(seen) >= SHRUNK:
            continue
        group = (witness.cell.candidate, witness.cell.format, witness.kind)
        if group not in seen:
            seen.add(group)
            ration = gated.rations.get(group[:2])
            spending = Spending(elements=SHRINKING_ELEMENTS).within(ration)
            candidate = candidates[witness.cell.candidate]
            settings = gated.settings
            subject = Subject.of(witness.cell, candidate, executor, settings.timeout, settings.within)
            yield witness.id, shrink(witness, subject, spending, _least(verdict, witness))


def _least(verdict: Verdict, witness: Witness) -> float:
    """Return the least score by which a witness still shows that a limit is exceeded."""
    metric = METRICS.get(verdict.metric)
    if isinstance(verdict.limit, str) or verdict.limit is None or metric is None or not metric.greatest:
        return 0.0
    if metric.shown_by != witness.kind:
        return 0.0
    return math.nextafter(verdict.limit, math.inf)


def _with_replay(
    verdict: Verdict, witnesses: Mapping[str, Witness], shrunk: Mapping[str, Witness], run: str
) -> Verdict:
    if verdict.witness is None:
        return verdict
    witness = shrunk.get(verdict.witness) or witnesses[verdict.witness]
    replay = replay_command(run, witness.id)
    message = witness.message if verdict.metric == "policy" else verdict.message
    return replace(verdict, witness=witness.id, replay=replay, bits=grouped_bits(witness), message=message)
