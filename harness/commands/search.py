"""`harness search`: look for the worst row within a number of evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands.single import (
    AsJson,
    CandidateSpec,
    FormatName,
    InProcessHere,
    OpName,
    OutFolder,
    OutFormatName,
    Overwrite,
    Policies,
    Single,
    ViaLibrary,
    begin,
    executor_for,
    finish,
    replay_command,
    require_format,
    single,
)
from harness.terminal.console import notes, print_json, progress_bar, results
from harness.terminal.exceptions import Interrupted, NoVerdict, UsageError, choose, user_mistakes
from harness.terminal.kernels import EVALUATION, MEASURING, prepare_kernels

if TYPE_CHECKING:
    from harness.witnesses.search import SearchResult, Trial
    from reports.record.tally import Tally
    from reports.record.witness import Witness

__all__ = ["search"]

TIMEOUT = 10.0
"""Seconds: a search calls the candidate on small batches, thousands of times."""

STEPS_SHOWN = 12


def search(
    candidate: CandidateSpec,
    *,
    format: FormatName = None,
    op: OpName = None,
    via: ViaLibrary = None,
    out_format: OutFormatName = None,
    length: Annotated[int, typer.Option(help="Entries of a row.")] = 8,
    evaluations: Annotated[int, typer.Option("--evals", help="Rows that may be tried.")] = 200_000,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same search.")] = None,
    objective: Annotated[str, typer.Option(help="ulp, bound_ratio, row_sum or underflow.")] = "ulp",
    policies: Policies = None,
    out: OutFolder = None,
    overwrite: Overwrite = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one call may take.")] = TIMEOUT,
    in_process: InProcessHere = False,
    as_json: AsJson = False,
) -> None:
    """Look for the worst row of a format and length, over its whole finite range."""
    from harness.witnesses.search import INTERRUPTED, OBJECTIVES

    choose("objective", objective, OBJECTIVES)
    given = {
        "op": op, "via": via, "out_format": out_format, "seed": seed, "policies": policies,
        "timeout": timeout, "in_process": in_process, "jobs": 1,
    }  # fmt: skip
    asked = single(candidate, format, length, given)
    if evaluations < 1:
        raise UsageError(f"evaluations {evaluations}: give an integer from 1 on")
    finding = _search(asked, evaluations, objective, out, overwrite=overwrite)
    folder, result = finding.folder, finding.result
    if as_json:
        print_json(finding.document())
    elif result.score is not None:
        for line in _lines(finding):
            results().print(line, soft_wrap=True)
    if result.stopped == INTERRUPTED:
        raise Interrupted(
            f"interrupted: what {result.evaluations} of {result.asked} evaluations found is kept in {folder}"
        )
    if result.score is None:
        raise NoVerdict(
            f"nothing was found: {result.stopped}; {_faults(result) or 'no faults'}; see {folder}"
        )


@dataclass(frozen=True)
class _Finding:
    """A finished search; `shrunk` is the worst row shrunk, None where it cannot be made smaller."""

    folder: Path
    result: SearchResult
    tally: Tally
    shrunk: Witness | None

    @property
    def replay(self) -> str | None:
        """The command that replays the worst row."""
        witness = self.result.witness
        return replay_command(self.folder, witness) if witness else None

    def document(self) -> dict[str, Any]:
        """Return the search as JSON."""
        shrunk = None if self.shrunk is None else {"id": self.shrunk.id, **self.shrunk.document()}
        outcomes = {"outcomes": dict(self.tally.outcomes), "shrunk": shrunk}
        return {**self.result.document(), **outcomes, "run": str(self.folder), "replay": self.replay}


def _search(
    asked: Single, evaluations: int, objective: str, out: Path | None, *, overwrite: bool
) -> _Finding:
    """Search, record the result in a run folder, and shrink the worst row."""
    from harness.witnesses.search import search_tally
    from reports.record.run_folder import prepare

    settings = asked.settings
    with executor_for(settings) as executor:
        require_format(asked, executor)
        with user_mistakes():
            folder = prepare(out, seed=settings.seed, resume=None, overwrite=overwrite)
        prepare_kernels(MEASURING, EVALUATION)
        with user_mistakes(), _bar(evaluations) as advance:
            result, tally = search_tally(
                asked.subject(executor),
                asked.length,
                evaluations,
                settings.seed,
                objective,
                keep_interrupted=True,
                observe=advance,
            )
            return _Finding(folder, result, tally, _keep(folder, asked, result, tally, executor))


@contextmanager
def _bar(evaluations: int) -> Iterator[Callable[[Trial], None]]:
    """Show the progress of the search on a terminal, and its worst figure so far."""
    best = -math.inf
    with progress_bar(notes()) as bar:
        task = bar.add_task("searching", total=evaluations)

        def advance(trial: Trial) -> None:
            nonlocal best
            best = max(best, float(trial.scores.max()))
            bar.update(task, advance=len(trial.scores), description=f"best so far {best:.6g}")

        yield advance


def _keep(folder: Path, asked: Single, result: SearchResult, tally: Tally, executor: Any) -> Witness | None:
    """Write the run folder, and return the worst row shrunk; None where it cannot be, or time is short."""
    from harness.witnesses.search import INTERRUPTED
    from reports.folder import write
    from reports.record.ledger import CellInfo

    identity = {**asked.settings.identity(), "objective": result.objective, "evaluations": result.asked}
    with begin(folder, asked, identity, [CellInfo(result.cell, sampled=False)]) as ledger:
        ledger.record("search", {result.cell: tally}, result.seconds)
        ledger.put("search", [result.document()])
        shrunk = {} if result.stopped == INTERRUPTED else finish(ledger, asked.candidate, executor)
    write(folder)
    return shrunk.get(result.witness.id) if result.witness else None


# Printing ----------------------------------------------------------------------------------


def _lines(finding: _Finding) -> Iterator[str]:
    from harness.witnesses.search import OBJECTIVES

    result = finding.result
    cell, goal = result.cell, OBJECTIVES[result.objective]
    yield f"{cell.candidate}  {cell.format} -> {cell.out_format}, length {cell.length}: {goal.title}"
    yield f"{_figure(result.score)} {goal.unit}; {result.sample}"
    yield from _bounds(result)
    yield f"{result.rate:.3g} evaluations a second, {result.seconds:.3g} s in all"
    yield from (f"stopped early: {text}" for text in [result.stopped] if text)
    yield from (f"faults met: {text}" for text in [_faults(result)] if text)
    yield from (f"rows failed: {text}" for text in [_failed(finding.tally)] if text)
    yield f"best so far, by evaluations: {'  '.join(_curve(result.curve))}"
    yield f"polished: {result.neighbourhood}{_polishing(result)}"
    if result.witness is None:
        yield "no row shows any of it"
        return
    yield f"witness: {result.witness.line()}"
    if finding.shrunk is not None:
        yield f"shrunk: {finding.shrunk.line()}"
    yield f"replay: {finding.replay}"


def _polishing(result: SearchResult) -> str:
    return "; none is worse" if result.polished else "; not finished"


def _bounds(result: SearchResult) -> Iterator[str]:
    bounds = {"standard tier": result.standard_bound, "declared algorithm": result.algorithm_bound}
    known = [f"{_figure(bound)} ULP ({name})" for name, bound in bounds.items() if bound is not None]
    if result.ulp is not None:
        bound = ", ".join(known) or "none"
        yield f"a-priori bound of that element: {bound}; its error: {_figure(result.ulp)} ULP"


def _figure(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"


def _faults(result: SearchResult) -> str:
    return ", ".join(f"{kind} {count} times: {result.told[kind]}" for kind, count in result.faults.items())


def _failed(tally: Tally) -> str:
    from reports.record.cells import FAILURES

    counts = {name: tally.outcomes.get(name, 0) for name in FAILURES}
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count)


def _curve(curve: Sequence[tuple[int, float]]) -> Iterator[str]:
    """Yield the last step of each doubling of the evaluations, and of these the last few."""
    last = {evaluations.bit_length(): (evaluations, score) for evaluations, score in curve}
    for evaluations, score in list(last.values())[-STEPS_SHOWN:]:
        yield f"{evaluations}: {score:.6g}"
