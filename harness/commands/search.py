"""`harness search`: look for the worst row within a number of evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    Range,
    Single,
    ViaLibrary,
    begin,
    executor_for,
    finish,
    replay_command,
    require_format,
    row_lines,
    single,
)
from harness.terminal.console import notes, print_json, progress_bar, results
from harness.terminal.exceptions import Interrupted, NoVerdict, UsageError, choose, user_mistakes
from harness.terminal.kernels import EVALUATION, MEASURING, prepare_kernels

if TYPE_CHECKING:
    from harness.subject.execution import Executor
    from harness.witnesses.search import SearchResult, Trial
    from reports.record.tally import Tally
    from reports.record.witness import Witness

__all__ = ["search"]

TIMEOUT = 10.0
"""Seconds: a search calls the candidate on small batches, thousands of times."""

LENGTHS = (5, 7, 8, 33, 128)
"""Where none is given: kernels that work in lanes of 4, 8 or 32 entries treat the rest apart."""

STEPS_SHOWN = 12


def search(
    candidate: CandidateSpec,
    *,
    format: FormatName = None,
    op: OpName = None,
    via: ViaLibrary = None,
    out_format: OutFormatName = None,
    length: Annotated[
        list[int] | None,
        typer.Option(help="Entries of a row; repeat for several. By default 5, 7, 8, 33 and 128."),
    ] = None,
    evaluations: Annotated[int, typer.Option("--evals", help="Rows to try, over all lengths.")] = 200_000,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same search.")] = None,
    objective: Annotated[str, typer.Option(help="ulp, bound_ratio, row_sum or underflow.")] = "ulp",
    range: Range = None,
    policies: Policies = None,
    out: OutFolder = None,
    overwrite: Overwrite = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one call may take.")] = TIMEOUT,
    in_process: InProcessHere = False,
    as_json: AsJson = False,
) -> None:
    """Look for the worst row of a format, over all its finite numbers or those in --range."""
    from harness.witnesses.search import INTERRUPTED, OBJECTIVES

    choose("objective", objective, OBJECTIVES)
    given = {
        "op": op, "via": via, "out_format": out_format, "seed": seed, "policies": policies,
        "timeout": timeout, "in_process": in_process, "jobs": 1, "range": range,
    }  # fmt: skip
    asked = single(candidate, format, length or LENGTHS, given, takes_range=True)
    if evaluations < 1:
        raise UsageError(f"evaluations {evaluations}: give an integer from 1 on")
    if evaluations < (count := len(asked.settings.lengths)):
        raise UsageError(f"evaluations {evaluations}: there are {count} lengths, and each takes one at least")
    finding = _search(asked, evaluations, objective, out, overwrite=overwrite)
    folder, result = finding.folder, finding.worst
    if as_json:
        print_json(finding.document())
    elif result.score is not None:
        for line in _lines(finding):
            results().print(line, soft_wrap=True)
    if any(each.stopped == INTERRUPTED for each in finding.results):
        spent = sum(each.evaluations for each in finding.results)
        raise Interrupted(f"interrupted: what {spent} of {evaluations} evaluations found is kept in {folder}")
    if result.score is None:
        raise NoVerdict(
            f"nothing was found: {result.stopped}; {_faults(result) or 'no faults'}; see {folder}"
        )


@dataclass(frozen=True)
class _Finding:
    """A finished search.

    Attributes:
        folder: the run folder.
        found: the result of each length, and the count of all its rows.
        shrunk: small rows by the ids of those that they stand for.
    """

    folder: Path
    found: Sequence[tuple[SearchResult, Tally]]
    shrunk: Mapping[str, Witness]

    @property
    def results(self) -> list[SearchResult]:
        """The result of each length."""
        return [result for result, _ in self.found]

    @property
    def worst(self) -> SearchResult:
        """The result of the length with the worst row."""
        return max(self.results, key=lambda r: -math.inf if r.score is None else r.score)

    @property
    def tally(self) -> Tally:
        """The count of the rows of that length."""
        return next(tally for result, tally in self.found if result is self.worst)

    @property
    def small(self) -> Witness | None:
        """The worst row shrunk, None where it cannot be made smaller."""
        witness = self.worst.witness
        return None if witness is None else self.shrunk.get(witness.id)

    @property
    def replay(self) -> str | None:
        """The command that replays the worst row."""
        witness = self.worst.witness
        return replay_command(self.folder, witness) if witness else None

    def document(self) -> dict[str, Any]:
        """Return the search as JSON: the length with the worst row, and in short each length."""
        shrunk = None if self.small is None else {"id": self.small.id, **self.small.document()}
        more = {
            "outcomes": dict(self.tally.outcomes),
            "shrunk": shrunk,
            "lengths": [result.document() for result in self.results],
        }
        return {**self.worst.document(), **more, "run": str(self.folder), "replay": self.replay}


def _search(
    asked: Single, evaluations: int, objective: str, out: Path | None, *, overwrite: bool
) -> _Finding:
    """Search, record the results in a run folder, and shrink the worst rows."""
    from harness.witnesses.search import INTERRUPTED, search_tally
    from reports.record.run_folder import prepare

    settings = asked.settings
    with executor_for(settings) as executor:
        require_format(asked, executor)
        with user_mistakes():
            folder = prepare(out, seed=settings.seed, resume=None, overwrite=overwrite)
        prepare_kernels(MEASURING, EVALUATION)
        found: list[tuple[SearchResult, Tally]] = []
        with user_mistakes(), _bar(evaluations) as advance:
            for length, share in zip(settings.lengths, _shares(evaluations, settings.lengths), strict=True):
                found.append(
                    search_tally(
                        asked.subject(executor),
                        length,
                        share,
                        settings.seed,
                        objective,
                        keep_interrupted=True,
                        observe=advance,
                    )
                )
                if found[-1][0].stopped == INTERRUPTED:
                    break
        return _Finding(folder, found, _keep(folder, asked, evaluations, objective, found, executor))


def _shares(evaluations: int, lengths: Sequence[int]) -> list[int]:
    """Return how many rows of each length may be tried; the first ones take what does not divide."""
    share, rest = divmod(evaluations, len(lengths))
    return [share + (place < rest) for place in range(len(lengths))]


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


def _keep(
    folder: Path,
    asked: Single,
    evaluations: int,
    objective: str,
    found: Sequence[tuple[SearchResult, Tally]],
    executor: Executor,
) -> Mapping[str, Witness]:
    """Write the run folder, and return small rows by id; none where time is short."""
    from harness.witnesses.search import INTERRUPTED
    from reports.folder import write
    from reports.record.ledger import CellInfo

    results = [result for result, _ in found]
    identity = {**asked.settings.identity(), "objective": objective, "evaluations": evaluations}
    cells = [CellInfo(result.cell, sampled=False) for result in results]
    with begin(folder, asked, identity, cells) as ledger:
        for result, tally in found:
            ledger.record(f"search {result.cell.length}", {result.cell: tally}, result.seconds)
        ledger.put("search", [result.document() for result in results])
        is_short = results[-1].stopped == INTERRUPTED
        shrunk = {} if is_short else finish(ledger, asked.candidate, executor, asked.settings.within)
    write(folder)
    return shrunk


# Printing ----------------------------------------------------------------------------------


def _lines(finding: _Finding) -> Iterator[str]:
    from harness.witnesses.search import OBJECTIVES

    result = finding.worst
    cell, goal = result.cell, OBJECTIVES[result.objective]
    if len(finding.found) > 1:
        yield from _by_length(finding)
    yield f"{cell.candidate}, {cell.format} to {cell.out_format}, length {cell.length}: {goal.title}"
    yield f"{_figure(result.score)} {goal.unit}; {result.sample}"
    if result.witness is None:
        yield "no row shows it"
    else:
        yield from _bounds(result)
        yield from row_lines(finding.folder, result.witness, finding.small)
    yield from (f"stopped early: {text}" for text in [result.stopped] if text)
    yield from (f"calls that failed: {text}" for text in [_faults(result)] if text)
    yield from (f"failed rows among those tried: {text}" for text in [_failed(finding.tally)] if text)
    yield f"tried around the worst row: {result.neighbourhood}{_polishing(result)}"
    yield f"worst so far: {', '.join(_curve(result.curve))} rows"
    seconds = sum(r.seconds for r in finding.results)
    evaluations = sum(r.evaluations for r in finding.results)
    yield f"{evaluations / seconds:.3g} evaluations a second, {seconds:.3g} s in all"


def _by_length(finding: _Finding) -> Iterator[str]:
    """Yield the worst of each length, if several were searched."""
    from harness.witnesses.search import OBJECTIVES

    for result in finding.results:
        unit = OBJECTIVES[result.objective].unit
        yield f"length {result.cell.length}: {_figure(result.score)} {unit}; {result.sample}"


def _polishing(result: SearchResult) -> str:
    return "; none is worse" if result.polished else "; the evaluations ended before all were tried"


def _bounds(result: SearchResult) -> Iterator[str]:
    bounds = {"standard tier": result.standard_bound, "declared algorithm": result.algorithm_bound}
    known = [f"{_figure(bound)} ULP ({name})" for name, bound in bounds.items() if bound is not None]
    if result.ulp is not None:
        bound = ", ".join(known) or "none"
        own = "" if result.objective == "ulp" else f"; its error is {_figure(result.ulp)} ULP"
        yield f"a-priori bound of that output: {bound}{own}"


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
        yield f"{score:.6g} after {evaluations}"
