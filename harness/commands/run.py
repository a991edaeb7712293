"""`harness run`: fuzz candidates, write the run folder, print a summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.campaign.configuration import configured
from harness.campaign.notices import over_before_all, print_left_out, print_ops, print_range
from harness.campaign.settings import DEFAULT_CANDIDATES, Settings, resolve
from harness.commands.causes import NoExplain, are_whole, asked_of_run, causes_of, keep, seconds_left
from harness.commands.examination import examine, unchecked
from harness.commands.report import show
from harness.commands.single import OpName, Policies, Range, executor_for, tell_new_run
from harness.subject.execution.fork_server import begin
from harness.terminal.console import notes
from harness.terminal.deadline import Deadline, OutOfTime
from harness.terminal.exceptions import Interrupted, NoVerdict, UsageError, user_mistakes
from harness.terminal.kernels import MEASURING, prepare_kernels
from reports.spelling import command

if TYPE_CHECKING:
    from harness.campaign.plan import Plan
    from harness.campaign.schedule import Schedule
    from harness.subject.execution import Executor
    from reports.record.ledger import Ledger
    from reports.record.tally import Tally
    from reports.record.witness import CellKey
    from reports.rundata import RunData

__all__ = ["run"]

Many = list[str] | None


def run(
    candidates: Annotated[
        Many, typer.Argument(help="Built-in names, module:function or file.py:function.")
    ] = None,
    *,
    op: OpName = None,
    via: Annotated[
        str | None,
        typer.Option(help="Hand your candidates arrays of torch, jax or cupy; torch@cuda on a device."),
    ] = None,
    libraries: Annotated[
        bool, typer.Option("--libraries", help="Every installed library, in the six usual formats.")
    ] = False,
    formats: Annotated[Many, typer.Option("--format", help="Input format; repeat for several.")] = None,
    out_format: Annotated[str | None, typer.Option(help="Output format, where not the input's.")] = None,
    regimes: Annotated[Many, typer.Option("--regime", help="Regime or corpus; repeat for several.")] = None,
    lengths: Annotated[
        list[int] | None, typer.Option("--length", help="Row length; repeat for several.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Rows of each drawn cell.")] = None,
    effort: Annotated[
        str | None,
        typer.Option(help="brief, quick, standard or deep: how many rows, how long, how far checks look."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same summary.")] = None,
    input_file: Annotated[
        str | None, typer.Option("--input", help="Your logits: .npy .npz .csv .parquet.")
    ] = None,
    range: Range = None,
    policies: Policies = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; harness-out/... where not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    cluster: Annotated[
        str | None, typer.Option(help="tcp://host:8786 or local: the dask scheduler whose workers measure.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processors to keep busy; by default all.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="certified, or mpmath, which is slow: the source of exact results.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one call of a candidate may take.")
    ] = None,
    max_time: Annotated[
        float | None, typer.Option(help="Seconds that the run may take; it draws fewer rows to keep to that.")
    ] = None,
    max_memory: Annotated[int | None, typer.Option(help="MiB that a candidate may use.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Call candidates here, to debug them.")
    ] = False,
    no_explain: NoExplain = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Fuzz candidates against the exact softmax and write a report.

    No candidate: naive and max_shifted, in float16, float32 and float64.
    """
    given = {
        "candidates": candidates, "op": op, "via": via, "libraries": libraries, "formats": formats,
        "out_format": out_format, "regimes": regimes, "range": range,
        "lengths": lengths, "rows": rows, "effort": effort, "seed": seed, "input": input_file,
        "policies": policies, "jobs": jobs, "reference": reference, "timeout": timeout,
        "max_time": max_time, "max_memory": max_memory, "in_process": in_process, "cluster": cluster,
    }  # fmt: skip
    begun = time.monotonic()
    settings = _settings(given)
    plan, folder, known = _measure(settings, out, resume=resume, overwrite=overwrite)

    def causes(run: RunData) -> dict[str, Any]:
        if no_explain or are_whole(run.documents.get("explanations")):
            return {}
        found = causes_of(asked_of_run(run), plan.candidates, plan.settings, seconds_left(settings, begun))
        keep(folder, found)
        return {"explanations": found}

    try:
        show(folder, as_json=as_json, jobs=settings.jobs, known=known, more=causes)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: all is measured and kept in {folder}; "
            f"draw it with python -m harness report {folder}"
        ) from None


def _settings(given: Mapping[str, Any]) -> Settings:
    values, file = configured(Path.cwd())
    if file is not None:
        notes().print(f"configuration: {file}", soft_wrap=True)
    values.update({key: value for key, value in given.items() if not _is_missing(value)})
    return resolve(values)


def _is_missing(value: Any) -> bool:
    return value is None or value is False or value == []


def _measure(
    settings: Settings, out: Path | None, *, resume: bool, overwrite: bool
) -> tuple[Plan, Path, Mapping[CellKey, Tally]]:
    """Run the campaign, and return its plan, its folder, and the tallies that need not be read from there."""
    if not settings.in_process:
        begin(settings.candidates)  # before the imports that take longest
    from harness.campaign.plan import Plan
    from harness.campaign.schedule import Schedule
    from harness.checks.samples import extent_of
    from reports.record.run_folder import begun_with, prepare

    deadline = Deadline.in_seconds(settings.max_time)
    with user_mistakes():
        try:
            plan = Plan.of(settings, deadline)
        except OutOfTime:
            raise NoVerdict(over_before_all(settings)) from None
        _report_changed_inputs(settings)
    with executor_for(settings, deadline=deadline) as executor:
        try:
            plan = plan.probed(executor)
            print_ops(plan.candidates, settings, executor)
            with user_mistakes():  # what is refused until here leaves no folder, and overwrites none
                folder = prepare(out, seed=settings.seed, resume=resume, overwrite=overwrite)
                begun = begun_with(folder)
            if resume and begun is None:
                tell_new_run(folder)
            checks = extent_of(settings.effort.extent).cost
            if begun is None:
                schedule = Schedule.rationed(plan, executor, checks)
            else:
                schedule = Schedule(plan.rationed_as(begun))
        except OutOfTime:
            raise NoVerdict(over_before_all(settings)) from None
        known = _keep(schedule, folder, executor, deadline)
    return schedule.plan, folder, known


def _keep(
    schedule: Schedule, folder: Path, executor: Executor, deadline: Deadline
) -> Mapping[CellKey, Tally]:
    """Measure the tasks that the folder's ledger lacks, and return tallies as `Ledger.held` does."""
    from harness.campaign.provenance import open_measured
    from reports.record.ledger import LedgerError

    plan = schedule.plan
    settings, cells = plan.settings, list(plan.cells())
    with user_mistakes():
        ledger = open_measured(folder, plan.identity(), cells, settings, plan.candidates)
    with ledger:
        if not cells and plan.rations:
            raise NoVerdict("nothing to run: one row takes longer than --max-time allows; give it longer")
        if not cells:
            raise NoVerdict("nothing to run: no regime has rows of these formats and lengths")
        print_left_out(schedule, notes())
        print_range(plan.workload, notes())
        try:
            _fill(schedule, ledger, executor, deadline)
        except OutOfTime:
            raise NoVerdict(
                f"--max-time {settings.max_time:g}: {_kept(plan, ledger)} are kept in {folder};"
                f" go on with the same command and --resume --out {command(str(folder))}"
            ) from None
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: {_kept(plan, ledger)} are kept in {folder}; "
                f"go on with the same command and --resume --out {command(str(folder))}"
            ) from None
        except LedgerError as error:
            raise NoVerdict(str(error)) from error
        return ledger.held()


def _kept(plan: Plan, ledger: Ledger) -> str:
    """Return a sentence on how much of a campaign is in the ledger."""
    kept, total = len(ledger.finished()), sum(1 for _ in plan.tasks())
    if kept < total:
        return f"{kept} of {total} shards"
    asked = len(plan.candidates) * len(plan.settings.formats)
    left = sum(1 for _ in unchecked(plan, ledger))
    return f"all {total} shards, and the checks of {asked - left} of {asked} candidates and formats,"


def _report_changed_inputs(settings: Settings) -> None:
    """Print how many of the user's values had to be rounded to a format."""
    if settings.inputs is None:
        return
    if settings.regimes in ((), ("input",)) and not any(
        settings.inputs.fixed_rows(f) for f in settings.formats
    ):
        names = ", ".join(f.name for f in settings.formats)
        raise UsageError(f"input: none of its rows fits {names}; give another --format, or smaller values")
    for fmt in settings.formats:
        if not settings.inputs.fixed_rows(fmt):
            continue
        changed = settings.inputs.changed(fmt)
        if changed:
            notes().print(f"input: {changed} values are not in {fmt} and were rounded to the nearest")


def _fill(schedule: Schedule, ledger: Ledger, executor: Executor, deadline: Deadline) -> None:
    """Measure the tasks that the ledger lacks, and record the documents about the whole run."""
    from harness.campaign.provenance import record_program
    from harness.claims import evaluate

    start = time.perf_counter()
    settings = schedule.plan.settings
    if settings.reference == "certified":
        with deadline.paused():
            prepare_kernels(MEASURING)
    _run_shards(schedule, ledger, executor, deadline)
    examine(schedule.plan, ledger, executor, notes(), deadline)
    record_program(ledger, executor)
    if settings.candidates == DEFAULT_CANDIDATES and ledger.get("claims") is None:
        ledger.put("claims", [claim.document() for claim in evaluate(settings.seed, settings.reference)])
    ledger.put("timing", {"run_seconds": time.perf_counter() - start, "jobs": settings.jobs})


def _run_shards(schedule: Schedule, ledger: Ledger, executor: Executor, deadline: Deadline) -> None:
    from harness.campaign.campaign import Campaign
    from harness.campaign.crews import crew_of
    from harness.campaign.progress import Progress
    from reports.machines import machines_line

    plan = schedule.plan
    ledger.put("shards", sum(1 for _ in plan.tasks()))
    ledger.put("pairs", len(plan.candidates) * len(plan.settings.formats))
    finished = ledger.finished()
    left = [task for task in plan.tasks() if task.id not in finished]
    with (
        crew_of(schedule, executor) as crew,
        Progress(notes(), left, schedule.seconds, _checking_seconds(schedule, ledger)) as progress,
    ):
        Campaign(plan).run(ledger, executor, progress, crew, deadline)
    if (machines := machines_line(ledger)) is not None:
        notes().print(machines, soft_wrap=True)


def _checking_seconds(schedule: Schedule, ledger: Ledger) -> float:
    from harness.checks.samples import extent_of

    checks = extent_of(schedule.plan.settings.effort.extent).cost
    return sum(schedule.checking_seconds(c, fmt, checks) for c, fmt in unchecked(schedule.plan, ledger))
