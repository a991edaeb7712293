"""`harness exhaust`: every row of a small format and length; a proof, not a sample."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness.commands.single import (
    AsJson,
    CandidateSpec,
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
    require_format,
    row_lines,
    single,
    tell_new_run,
)
from harness.terminal.console import notes, print_json, progress_bar, results
from harness.terminal.exceptions import Interrupted, NoVerdict, UsageError, choose, user_mistakes
from harness.terminal.kernels import EVALUATION, MEASURING, prepare_kernels
from reference.formats import FORMATS
from reference.ops import SOFTMAX, Op
from reference.tiers import TIERS
from reports.spelling import command

if TYPE_CHECKING:
    from harness.exhaust import Bracket, Exhaustion, Range, ShiftedPairs, ShiftedTuples
    from harness.subject.execution import Executor
    from reports.record.ledger import Ledger
    from reports.record.tally import Tally
    from reports.record.witness import CellKey, Witness

    Plan = Bracket | Exhaustion | ShiftedPairs | ShiftedTuples

__all__ = ["exhaust"]

LARGEST = 1 << 62
"""The most rows that can be numbered."""

FAULTY_SHOWN = 16
"""The most rows without outputs to print one by one."""

PAIR = 2

SELDOM_CALLED = 4
"""Entries from which on all rows of 8 bits, in all orders, take an hour: these go through the shift too."""

SMALL_BITS = 16
"""Formats with more bits have too many pairs to call each."""

SHIFTED_BITS = {2: 32, 3: 16, 4: 8, 5: 8}
"""Of each length that is proved through the shift: the most bits of a format; others have too many rows."""


def exhaust(
    candidate: CandidateSpec,
    *,
    format: Annotated[
        str | None,
        typer.Option("--format", help="Input format; by default float16 at length 1, else float8_e4m3fn."),
    ] = None,
    op: OpName = None,
    via: ViaLibrary = None,
    out_format: OutFormatName = None,
    length: Annotated[int, typer.Option(help="Entries of a row.")] = 2,
    all_orders: Annotated[
        bool, typer.Option("--all-orders", help="Assume no symmetry: every order, -0 and +0 apart.")
    ] = False,
    through_shift: Annotated[
        bool,
        typer.Option(
            "--through-shift",
            help="Prove rows of 2 to 5 entries by their rounded differences. This is the default where"
            " there are too many rows to call.",
        ),
    ] = False,
    bracket: Annotated[
        bool,
        typer.Option(
            "--bracket",
            help="Bracket the greatest error: a search finds the lower end, an a-priori bound gives the"
            " upper. This is the default where no proof is possible.",
        ),
    ] = False,
    tier: Annotated[
        str | None,
        typer.Option(
            help="The tier whose bound a bracket assumes; by default the declared algorithm's bound, else"
            " standard's."
        ),
    ] = None,
    policies: Policies = None,
    yes: Annotated[bool, typer.Option("--yes", help="Begin, however long it takes.")] = False,
    out: OutFolder = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Overwrite = False,
    jobs: Annotated[int | None, typer.Option(help="Processors to keep busy; by default all.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one call may take.")] = None,
    in_process: InProcessHere = False,
    as_json: AsJson = False,
) -> None:
    """Call a candidate on every row of a small format and length, and prove its exact maxima."""
    from harness.exhaust import Remembering

    given = {
        "op": op, "via": via, "out_format": out_format, "policies": policies, "jobs": jobs,
        "timeout": timeout, "in_process": in_process,
    }  # fmt: skip
    asked = single(candidate, format, length, given, _default_format(length), _is_small)
    way = _way(asked, through_shift, all_orders=all_orders, bracket=bracket, tier=tier)
    prepare_kernels(MEASURING, EVALUATION)
    with executor_for(asked.settings, every_row=True) as each, _refused_unless_it_shifts(asked):
        executor = Remembering(each)
        require_format(asked, executor)
        plan = _plan(asked, executor, way, tier, all_orders=all_orders)
        _estimate(plan, asked.settings.jobs, yes=yes)
        folder = _folder(out, resume=resume, overwrite=overwrite)
        with begin(folder, asked, plan.identity(), plan.cells) as ledger:
            _fill(plan, ledger, executor, asked.settings.jobs, folder)
            shrunk = finish(ledger, asked.candidate, each)
            tally, seconds = next(ledger.tallies())[1], ledger.seconds()
            faulty = _keep_faulty(plan, tally, ledger)
    confirmed = _confirmed(tally)
    _require_unrefuted(plan, tally, folder)
    _print_proof(_Proof(plan, tally, faulty, shrunk, folder, seconds, confirmed), as_json=as_json)


def _default_format(length: int) -> str:
    """Return the largest format whose rows are exhausted in a few seconds."""
    return "float16" if length == 1 else "float8_e4m3fn"


def _is_small(name: str) -> bool:
    """Return whether rows with more than one entry of a format can be exhausted at all."""
    return name not in FORMATS or FORMATS[name].storage_bits <= SMALL_BITS


def _way(
    asked: Single, through_shift: bool, *, all_orders: bool, bracket: bool, tier: str | None
) -> Literal["every row", "through the shift", "bracket"]:
    """Return how the question is answered: by the strongest proof that is possible, where none is asked for.

    Raises:
        UsageError: what is asked for cannot be proved.
    """
    from harness.exhaust import MOST_ROWS, Enumeration

    fmt, length, op = asked.fmt, asked.length, asked.candidate.op
    if tier is not None:
        choose("tier", tier, TIERS)
    if (bracket or tier) and (all_orders or through_shift):
        other = "--all-orders" if all_orders else "--through-shift"
        given = "--bracket" if bracket else "--tier"
        raise UsageError(f"{given} with {other}: a bracket is of all rows; leave one of the two options out")
    if bracket or tier:
        _require_bracketable(asked)
        return "bracket"
    if through_shift and not _proves(op, length):
        raise UsageError(
            f"--through-shift: it proves rows of {SOFTMAX}, and pairs of log_softmax; {asked.candidate.name}"
            f" computes {op}, length {length}; leave the option out"
        )
    rows = Enumeration(fmt, length, unordered=not all_orders, one_zero=not all_orders).rows
    if through_shift and (length not in SHIFTED_BITS or all_orders):
        given = "--all-orders" if all_orders else f"--length {length}"
        raise UsageError(
            f"--through-shift with {given}: it proves rows of 2 to {max(SHIFTED_BITS)} entries, in any order;"
            " leave one of the two options out"
        )
    is_possible = _proves(op, length) and not all_orders and fmt.storage_bits <= SHIFTED_BITS.get(length, 0)
    if is_possible and (through_shift or rows > MOST_ROWS or length >= SELDOM_CALLED):
        return "through the shift"
    if rows <= LARGEST and not through_shift:
        return "every row"
    if op is SOFTMAX and length > 1 and not all_orders and not through_shift:
        return "bracket"
    raise UsageError(
        f"{fmt}, length {length}: more than 2^{rows.bit_length() - 1} rows, beyond any"
        " machine; use search, or a smaller format or length"
    )


def _proves(op: Op, length: int) -> bool:
    """Return whether rows of a length are proved through the shift, in a format that is small enough."""
    return op.pairs is not None if length == PAIR else op is SOFTMAX


def _require_bracketable(asked: Single) -> None:
    """Refuse what has no bracket.

    Raises:
        UsageError: another op than softmax, or rows of one entry.
    """
    if asked.candidate.op is not SOFTMAX:
        name, op = asked.candidate.name, asked.candidate.op
        raise UsageError(f"--bracket: it is for {SOFTMAX}, and {name} computes {op}; use search")
    if asked.length < 2:
        raise UsageError("--bracket with --length 1: the softmax of one entry is 1; give 2 or more")


@contextmanager
def _refused_unless_it_shifts(asked: Single) -> Iterator[None]:
    """Turn two rows against the assumption into one line.

    Raises:
        NoVerdict: a result is too near a power of two for the proof.
        UsageError: outputs depend on more than rounded differences.
    """
    from harness.exhaust import NoBracket, NotByTheShift

    try:
        yield
    except NoBracket as error:
        raise UsageError(
            f"candidate {asked.candidate.name!r}, {asked.fmt}, length {asked.length}: no bracket: {error};"
            " name a --tier that has one, or use search"
        ) from None
    except ArithmeticError as error:
        raise NoVerdict(str(error)) from error
    except NotByTheShift as error:
        raise UsageError(
            f"candidate {asked.candidate.name!r}: its outputs depend on more than the differences rounded"
            f" to {asked.fmt}, so rows of {asked.length} are not proved through the shift: {error}; use"
            " search, or a format and length small enough to call every row"
        ) from None


def _plan(asked: Single, executor: Executor, way: str, tier: str | None, *, all_orders: bool) -> Plan:
    """Check what the candidate is assumed to do, and plan the rows that remain."""
    from harness.exhaust import NONE, Bracket, Exhaustion, ShiftedPairs, ShiftedTuples, check_symmetries

    subject = asked.subject(executor)
    if way == "bracket":
        return Bracket.checked(subject, asked.length, None if tier is None else TIERS[tier])
    if way == "through the shift":
        if asked.length == PAIR:
            return ShiftedPairs.checked(subject)
        return ShiftedTuples.checked(subject, asked.length)
    symmetries = NONE if all_orders else check_symmetries(subject, asked.length)
    return Exhaustion(subject, asked.length, symmetries)


def _estimate(plan: Plan, jobs: int, *, yes: bool) -> None:
    """Print the number of rows and the time they take; refuse too many without --yes."""
    from harness.exhaust import MOST_ROWS

    rows = plan.rows
    size = f"{rows} rows, {plan.scope}; about {_duration(plan.seconds() / jobs)}"
    if rows > MOST_ROWS and not yes:
        raise UsageError(
            f"{size}: too many; give --yes to begin all the same, --bracket for a bracket, or use search"
        )
    notes().print(size, soft_wrap=True)
    notes().print(plan.assumed, soft_wrap=True)


def _folder(out: Path | None, *, resume: bool, overwrite: bool) -> Path:
    from reports.record.run_folder import begun_with, prepare

    with user_mistakes():
        folder = prepare(out, seed=0, resume=resume, overwrite=overwrite)
        if resume and begun_with(folder) is None:
            tell_new_run(folder)
        return folder


def _fill(plan: Plan, ledger: Ledger, executor: Executor, jobs: int, folder: Path) -> None:
    """Count every shard that the ledger lacks."""
    from harness.campaign.deal import Record, Threads, deal
    from reports.record.ledger import LedgerError

    finished = ledger.finished()
    total = plan.shard_count
    ledger.put("shards", total)
    start = time.perf_counter()
    try:
        with _bar(total, len(finished)) as advance:
            deal(plan.shards(), Threads(plan.measure, executor, jobs), Record(ledger), advance)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {len(ledger.finished())} of {total} shards are kept in {folder}; "
            f"go on with the same command and --resume --out {command(str(folder))}"
        ) from None
    except LedgerError as error:
        raise NoVerdict(str(error)) from error
    if not finished:
        ledger.put("timing", {"run_seconds": time.perf_counter() - start, "jobs": jobs})


@contextmanager
def _bar(total: int, done: int) -> Iterator[Any]:
    with progress_bar(notes()) as bar:
        task = bar.add_task("every row", total=total, completed=done)

        def advance(_shard: Range, _tallies: Mapping[CellKey, Tally]) -> None:
            bar.update(task, advance=1)

        yield advance


def _keep_faulty(plan: Plan, tally: Tally, ledger: Ledger) -> tuple[Witness, ...]:
    """Return the witnesses of all rows without outputs, and record those that the tally lacks."""
    faulty = [w for w in ledger.shard_witnesses(plan.cell) if w.kind in tally.faults]
    ledger.put("faulty", [w.document() for w in faulty if w not in tally.witnesses])
    return tuple(faulty)


def _confirmed(tally: Tally) -> float | None:
    """Return the greatest ULP error as mpmath has it, None where no row shows one.

    Raises:
        NoVerdict: it is another than the certified path's.
    """
    from harness.witnesses.recipes import entries_of_hex
    from reference import ulp_errors
    from reference.model import RESIDUAL_TOLERANCE

    worst = next((w for w in tally.witnesses if w.kind == "max_ulp"), None)
    if worst is None:
        return None
    fmt, out = FORMATS[worst.cell.format], FORMATS[worst.cell.out_format]
    x = fmt.to_float64(fmt.from_bits(entries_of_hex(worst.x, fmt)))
    y = out.from_bits(entries_of_hex(worst.y, out))
    if worst.element is None:  # a row has one result
        error = float(ulp_errors(x, y[0], out, "mpmath", op=worst.cell.op))
    else:
        error = float(ulp_errors(x, y, out, "mpmath", op=worst.cell.op)[worst.element])
    if abs(error - worst.score) > max(RESIDUAL_TOLERANCE, 2.0**-51 * error):
        raise NoVerdict(
            f"row {worst.x}: its error is {_figure(worst.score)} ULP by the certified reference and"
            f" {_figure(error)} by mpmath; this is a fault of the program, please report it"
        )
    return error


def _require_unrefuted(plan: Plan, tally: Tally, folder: Path) -> None:
    """Refuse a bracket that a row tried refutes.

    Raises:
        NoVerdict: such a row.
    """
    from harness.exhaust import Bracket
    from reports.folder import write

    if not isinstance(plan, Bracket) or not (found := plan.refuted_by(tally)):
        return
    with user_mistakes():
        write(folder)
    why, witness = found
    row = "" if witness is None else "; ".join(text.strip() for text in row_lines(folder, witness, None))
    name = plan.cell.candidate
    raise NoVerdict(
        f"no bracket: {name} does not keep the bound of {plan.assumption.name}. Of a row tried, {why}: {row}"
    )


# Printing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Proof:
    """A finished proof.

    Attributes:
        faulty: the rows without outputs.
        shrunk: small rows by the ids of those that they stand for.
        confirmed: the greatest ULP error by mpmath.
    """

    plan: Plan
    tally: Tally
    faulty: tuple[Witness, ...]
    shrunk: Mapping[str, Witness]
    folder: Path
    seconds: float
    confirmed: float | None

    @property
    def witnesses(self) -> list[Witness]:
        """The witnesses that outputs show; those of sums only where all rows were called."""
        left_out = {*self.tally.faults, *(("row_sum",) if self.plan.through_shift else ())}
        return [w for w in self.tally.witnesses if w.kind not in left_out]

    @property
    def bracket(self) -> Bracket | None:
        """The plan, where it is of a bracket."""
        from harness.exhaust import Bracket

        return self.plan if isinstance(self.plan, Bracket) else None

    @property
    def statement(self) -> str:
        """A sentence on what is proved."""
        if self.bracket is not None:
            return self.bracket.statement(self.tally)
        lost = self.tally.rows - self.tally.completed
        rows = max(self.plan.rows, self.tally.rows)
        if not lost:
            return f"proved over {rows} rows: {self.plan.scope}"
        kinds = Counter(witness.kind for witness in self.faulty)
        counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds.items())
        return (
            f"not proved: {lost} of {rows} rows gave no output ({counts});"
            f" the figures are of all others; {self.plan.scope}"
        )

    def document(self) -> dict[str, Any]:
        """Return the proof as JSON."""
        from reports.record.cells import cell_row
        from reports.record.tally import plain
        from reports.record.witness import json_float

        every = dict.fromkeys((*self.tally.witnesses, *self.faulty))
        return {
            "proved": self.bracket is None and self.tally.completed == self.tally.rows,
            "bracket": None if self.bracket is None else self.bracket.document(self.tally),
            "statement": self.statement,
            "assumed": self.plan.assumed,
            "through_shift": self.plan.through_shift,
            "max_ulp_by_mpmath": None if self.confirmed is None else json_float(self.confirmed),
            "figures": plain(cell_row(self.plan.cells[0], self.tally)),
            "witnesses": [{"id": w.id, **w.document()} for w in every],
            "shrunk": {identity: w.document() for identity, w in self.shrunk.items()},
            "run": str(self.folder),
            "shard_seconds": self.seconds,
        }


def _print_proof(proof: _Proof, *, as_json: bool) -> None:
    from reports.folder import write

    with user_mistakes():
        write(proof.folder)
    if as_json:
        print_json(proof.document())
        return
    for line in _lines(proof):
        results().print(line, soft_wrap=True)


def _lines(proof: _Proof) -> Iterator[str]:
    cell, folder = proof.plan.cell, proof.folder
    yield f"{cell.candidate}, {cell.format} to {cell.out_format}, length {cell.length}"
    yield proof.statement
    yield proof.plan.assumed
    worst, figure = "greatest ULP error", proof.tally.max_ulp
    if proof.bracket is not None:
        yield proof.bracket.grounds(proof.tally)
        worst, figure = "worst ULP error found", proof.bracket.ends(proof.tally)[0]
    yield f"{worst}: {_figure(figure)}"
    yield from () if proof.plan.through_shift else _sum_and_share(proof.tally)
    if proof.confirmed is not None:
        yield f"the {worst} by mpmath: {_figure(proof.confirmed)}"
    yield from _counts(proof.tally, proof.plan.counted)
    for witness in proof.witnesses:
        yield f"{witness.kind.replace('_', ' ')}: {_meaning(witness)}"
        yield from row_lines(folder, witness, proof.shrunk.get(witness.id))
    for witness in proof.faulty[:FAULTY_SHOWN]:
        yield f"{witness.kind.replace('_', ' ')}: {witness.message}"
        yield from row_lines(folder, witness, None)
    if (more := len(proof.faulty) - FAULTY_SHOWN) > 0:
        yield f"and {more} more such rows in {folder / 'witnesses.jsonl'}"


def _meaning(witness: Witness) -> str:
    """Return what a row shows: in words, with its figure and its output."""
    from reports.record.witness_kinds import WITNESS_KINDS

    kind = WITNESS_KINDS[witness.kind]
    figure = f": {witness.score:.9g}" if kind.score else ""
    where = "" if witness.element is None else f", at output {witness.element}"
    return f"{kind.meaning}{figure}{where}"


def _sum_and_share(tally: Tally) -> Iterator[str]:
    """Yield the maxima that the greatest and the least gap do not prove."""
    yield f"greatest error of a row's sum: {_figure(tally.worst_row_sum_error)}"
    if tally.max_bound_ratio is not None:
        yield f"greatest error over the standard tier's bound for that row: {_figure(tally.max_bound_ratio)}"
    if tally.max_algorithm_ratio is not None:
        yield f"greatest error over the declared algorithm's bound: {_figure(tally.max_algorithm_ratio)}"


def _counts(tally: Tally, of: str) -> Iterator[str]:
    from reports.record.cells import FAILURES

    classes, outcomes = tally.classes, tally.outcomes
    yield f"{of}correctly rounded: {tally.correct} of {tally.elements} outputs; faithful: {tally.faithful}"
    failed = {name: outcomes[name] for name in FAILURES if outcomes.get(name)}
    kinds = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in failed.items())
    yield f"{of}rows failed: {sum(failed.values())}{f' ({kinds})' if kinds else ''}"
    yield (
        f"{of}underflow: {tally.spurious_rows} rows; outputs that are 0: {classes.get('flushed', 0)} where"
        f" the result is subnormal, {classes.get('lost', 0)} where it is normal,"
        f" {classes.get('unavoidable_zero', 0)} where it rounds to 0"
    )


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.9g}"


def _duration(seconds: float) -> str:
    for unit, size in (("years", 31_557_600.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
