"""`harness replay`: call a candidate on one witness again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands.single import Policies
from harness.terminal.console import notes, print_json, read_input, results
from harness.terminal.exceptions import UsageError, user_mistakes
from reference.ops import op_named
from reports.figures import count, ulps
from reports.record.witness import Witness
from reports.spelling import command

if TYPE_CHECKING:
    from harness.replay import ElementReplay, Replay
    from harness.subject.candidates import Candidate
    from harness.witnesses.batches import Part

__all__ = ["replay"]

SHOWN = 12
"""The most elements of a long row to print: those with the greatest error."""

LONGEST_LINE = 1 << 30
"""The most characters of a witness; that of the longest row in its widest format is a third of it."""

SHOWN_CHARACTERS = 200


def replay(
    witness: Annotated[str, typer.Argument(help="RUN#ID, a line of witnesses.jsonl, or - for stdin.")],
    *,
    candidate: Annotated[str | None, typer.Option(help="Replay through this candidate instead.")] = None,
    expect: Annotated[bool, typer.Option("--expect", help="Exit 1 unless the row is sound now.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Print every element of a long row.")] = False,
    emit_test: Annotated[
        Path | None, typer.Option(help="Write a pytest file that holds the candidate to this row.")
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Call the candidate in this process.")
    ] = False,
    policies: Policies = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the candidate may take.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Run one witness again and print exact and computed values, hex and decimal."""
    from harness.campaign.settings import check_timeout
    from harness.replay import WITHIN_STANDARD, replay_witness
    from harness.subject.candidates import load
    from harness.subject.execution import InProcess, Isolated
    from harness.subject.subject import Subject
    from harness.witnesses.recipes import completed, completed_among

    check_timeout(timeout)
    recorded, run = _read(witness)
    with user_mistakes():
        known = _known(run, recorded) if run else _Known((), WITHIN_STANDARD)
        chosen = load(candidate or _imported_by(recorded, known), op=op_named(recorded.cell.op))
        _tell_import(chosen)
        chosen = chosen.under((*known.policies, *(policies or ())))
    with InProcess() if in_process else Isolated(jobs=1) as executor:
        subject = Subject.of(recorded.cell, chosen, executor, timeout)
        result = replay_witness(recorded, subject, known.limits)
        if emit_test is not None:
            part = None
            if result.among > 1:
                row, part = completed_among(recorded, subject)
            else:
                row = completed(recorded, subject)
            _emit(row, chosen, emit_test, part, is_sound=result.is_sound and result.same_bits)
    if as_json:
        print_json({**result.document(), "small": known.small})
    else:
        _print(result, sys.maxsize if show_all else SHOWN)
        if known.small is not None:
            from reports.record.run_folder import replay_command

            notes().print(f"its small row: {replay_command(run, known.small)}", soft_wrap=True)
    return int(expect and not result.is_sound)


def _emit(witness: Witness, candidate: Candidate, path: Path, part: Part | None, *, is_sound: bool) -> None:
    from harness.witnesses.shrinking import emit_test
    from reports.record.run_folder import write_atomically

    if path.exists():
        raise UsageError(f"{path}: there is a file already; give --emit-test a new name")
    with user_mistakes():
        write_atomically(path, emit_test(witness, candidate, part, is_sound=is_sound).encode())
    notes().print(f"test: {path}", soft_wrap=True)


def _read(text: str) -> tuple[Witness, str]:
    """Return the witness, and the name of its run; empty for a JSON line."""
    from reports.record.run_folder import find_witness
    from reports.record.schema import Malformed, parsed

    if text == "-":
        text = read_input(LONGEST_LINE)
    if text.lstrip().startswith("{"):
        try:
            return Witness.from_document(parsed(text)), ""
        except Malformed as error:
            raise UsageError(f"witness: {error}; give one line of witnesses.jsonl") from error
        except ValueError as error:
            raise UsageError(str(error)) from error
    run, separator, identity = text.rpartition("#")
    if not separator:
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
        raise UsageError(f"witness {shown!r}: write RUN#ID, such as latest#0123456789, or give its JSON line")
    with user_mistakes():
        return find_witness(run, identity), run


def _imported_by(witness: Witness, known: _Known) -> str:
    """Return the spec of the candidate: a built-in, or the one in a ledger of this machine.

    Raises:
        UsageError: the witness names code of somebody's own, and comes from elsewhere.
    """
    name = witness.cell.candidate
    if ":" not in name or known.is_local:
        return name
    raise UsageError(
        f"witness {witness.id}: it is not from a run of this machine, so {name!r} is not imported; "
        f"name what to import: --candidate {command(name)}"
    )


def _tell_import(candidate: Candidate) -> None:
    if ":" in candidate.spec and not candidate.version:
        notes().print(f"imports {candidate.spec.rpartition(':')[0]}", soft_wrap=True)


@dataclass(frozen=True)
class _Known:
    """What a run records about a witness.

    Attributes:
        policies: of the run's judgement.
        limits: of its gate that the witness exceeds, by columns of the table of cells.
        small: the id of the shrunk witness; None where there is none.
        is_local: whether the run was made on this machine, in this place.
    """

    policies: Sequence[str]
    limits: Mapping[str, Any]
    small: str | None = None
    is_local: bool = False


def _known(run: str, witness: Witness) -> _Known:
    from harness.replay import WITHIN_STANDARD
    from reports.record.ledger import Ledger
    from reports.record.run_folder import LEDGER, find_run

    with Ledger.open(find_run(run) / LEDGER) as ledger:
        policies, verdicts = ledger.settings().get("policies", ()), ledger.get("verdicts") or ()
        shrunk = ledger.shrunk().get(witness.id)
        small = shrunk.id if shrunk is not None else ledger.small().get(witness.id)
        is_local = ledger.is_local()
    own = (v for v in verdicts if v["witness"] == witness.id and _is_figure_of_a_row(v["metric"]))
    limits = {v["metric"]: v["limit"] for v in own} or WITHIN_STANDARD
    return _Known(policies, limits, None if small == witness.id else small, is_local)


def _is_figure_of_a_row(metric: str) -> bool:
    from reports.record.metrics import METRICS

    return metric in METRICS and METRICS[metric].greatest


def _print(result: Replay, most: int) -> None:
    console = results()
    cell = result.witness.cell
    console.print(
        f"{cell.candidate}, {cell.format} to {cell.out_format}, {cell.regime}, length {cell.length}, "
        f"{result.witness.origin}: {result.witness.kind}",
        soft_wrap=True,
    )
    if result.message:
        console.print(result.message, soft_wrap=True)
        return
    alike = _alike(result.elements) if most < len(result.elements) else [(e,) for e in result.elements]
    for group in _worst(alike, most):
        for line in _lines(*group):
            console.print(line, soft_wrap=True)
    if most < len(result.elements):
        which = "all" if len(alike) <= most else f"the worst {most} of {len(alike)} kinds among"
        console.print(f"... {which} {len(result.elements)} elements; --all prints every one")
    _print_row(result)


def _lines(e: ElementReplay, *alike: ElementReplay) -> Iterator[str]:
    """Yield the lines of an element in full: name, decimal and hexadecimal."""
    others = f" and {count(len(alike))} alike:" if alike else ""
    judged = f" {e.element_class}, {ulps(e.ulp, 6)} ULP" if e.element_class else ""
    yield f"[{e.index}]{others}{judged}"
    width = max(len(text) for text in (e.x, e.y, e.nearest))
    for name, decimal, bits in (
        ("x", e.x, e.x_bits),
        ("computed", e.y, e.y_bits),
        ("nearest", e.nearest, e.nearest_bits),
    ):
        if decimal:
            yield f"    {name:9}{decimal:{width}}  {bits}"
    if e.exact:
        yield f"    exact    {e.exact}"


def _alike(elements: Sequence[ElementReplay]) -> list[tuple[ElementReplay, ...]]:
    """Group elements with the same logit and output, in the order of their first."""
    groups: dict[tuple[str, str], list[ElementReplay]] = {}
    for e in elements:
        groups.setdefault((e.x_bits, e.y_bits), []).append(e)
    return [tuple(group) for group in groups.values()]


def _worst(groups: Sequence[tuple[ElementReplay, ...]], most: int) -> list[tuple[ElementReplay, ...]]:
    def badness(group: tuple[ElementReplay, ...]) -> float:
        return float("inf") if group[0].ulp != group[0].ulp else group[0].ulp

    chosen = sorted(groups, key=badness, reverse=True)[:most]
    return sorted(chosen, key=lambda group: group[0].index)


def _print_row(result: Replay) -> None:
    t = result.tally
    outcome = ", ".join("did not fail" if name == "ok" else name for name in t.outcomes)
    bits = (
        "the recorded bits"
        if result.same_bits
        else "other bits than recorded: the candidate has changed, or the row needs its batch"
    )
    if result.among > 1:
        results().print(
            f"called in the batch of {count(result.among)} rows that showed the fault;"
            " the row alone has other outputs, and no fault",
            soft_wrap=True,
        )
    results().print(
        f"row: {outcome}; row sum error {ulps(t.worst_row_sum_error, 6)}; "
        f"bound ratio {ulps(t.max_bound_ratio, 6)}; {bits}",
        soft_wrap=True,
    )
    for message in (w.message for w in t.witnesses if w.kind in t.outcomes and w.message):
        results().print(message, soft_wrap=True)
    if result.broken:
        results().print(f"not sound: {result.broken}", soft_wrap=True)
