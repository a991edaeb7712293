"""`harness explain`: what a softmax is made of, found from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands.single import (
    AsJson,
    CandidateSpec,
    FormatName,
    InProcessHere,
    OpName,
    OutFormatName,
    Policies,
    Single,
    ViaLibrary,
    executor_for,
    require_format,
    require_softmax,
    single,
)
from harness.terminal.console import notes, print_json, print_lines, results
from harness.terminal.exceptions import NoVerdict, UsageError, choose
from reference.tiers import TIERS
from reports.figures import plural

if TYPE_CHECKING:
    from harness.explanation import Declared, Explanation
    from harness.subject.execution import Executor

__all__ = ["explain"]

LONGEST = 1 << 20
FRESH_ROWS = 200
MOST_FRESH = 100_000
DRAWN = 64
"""The length whose order is drawn, where none is given."""


def explain(
    candidate: CandidateSpec,
    *,
    format: FormatName = None,
    op: OpName = None,
    via: ViaLibrary = None,
    out_format: OutFormatName = None,
    length: Annotated[
        int | None, typer.Option(help="A further length to look at; up to 256, its tree of additions.")
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option(
            help="The tier that rows must meet; by default fast, or wide where fast does not apply."
        ),
    ] = None,
    fresh: Annotated[
        int, typer.Option(help="Fresh rows whose bits are predicted from the parts; 0 for none.")
    ] = FRESH_ROWS,
    policies: Policies = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one call may take.")] = None,
    in_process: InProcessHere = False,
    declare: Annotated[
        bool,
        typer.Option("--declare", help="Print only the declaration that the parts support."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say why a softmax is wrong and what it is made of, by rows made for the purpose."""
    if length is not None and not 2 <= length <= LONGEST:
        raise UsageError(f"--length {length}: give a number from 2 to {LONGEST}")
    if not 0 <= fresh <= MOST_FRESH:
        raise UsageError(f"--fresh {fresh}: give a number from 0 to {MOST_FRESH}")
    if tier is not None:
        choose("tier", tier, TIERS)
    given = {
        "op": op, "via": via, "out_format": out_format, "policies": policies, "timeout": timeout,
        "in_process": in_process,
    }  # fmt: skip
    asked = single(candidate, format, length or DRAWN, given)
    require_softmax(asked, "explain opens", "run and gate measure it")
    if tier is not None and not TIERS[tier].takes(asked.out_format):
        fitting = ", ".join(name for name in TIERS if TIERS[name].takes(asked.out_format))
        raise UsageError(f"--tier {tier}: it says nothing of {asked.out_format}; give one of {fitting}")
    with executor_for(asked.settings, every_row=True) as executor:
        require_format(asked, executor)
        from harness.explanation import anatomy_of, declared_of, explanation_of
        from harness.explanation.questions import Questions

        if declare:
            questions = Questions(asked.subject(executor))
            declared = declared_of(questions, anatomy_of(questions, length))
            _require_outputs(candidate, executor, questions.fault)
            _print_declared(candidate, declared, as_json=as_json)
            return
        explanation = explanation_of(
            asked.subject(executor), length, tier, fresh=fresh, notify=lambda line: notes().print(line)
        )
        _require_outputs(candidate, executor, explanation.fault)
    if as_json:
        print_json(_document(asked, explanation))
    else:
        print_lines(results(), "\n".join(_lines(asked, explanation, length or DRAWN)))


def _require_outputs(candidate: str, executor: Executor, fault: str) -> None:
    if given_up := executor.given_up():
        raise NoVerdict(f"candidate {candidate!r}: {fault}; {next(iter(given_up.values()))}")


def _print_declared(candidate: str, declared: Declared, *, as_json: bool) -> None:
    """Print what may be declared.

    Raises:
        NoVerdict: the anatomy supports nothing.
    """
    if declared.why:
        raise NoVerdict(f"candidate {candidate!r}: nothing can be declared: {declared.why}")
    if as_json:
        print_json(declared.declares)
    else:
        print_lines(results(), declared.text())


def _document(asked: Single, explanation: Explanation) -> dict[str, Any]:
    return {
        "candidate": asked.candidate.name,
        "format": asked.fmt.name,
        "out_format": asked.out_format.name,
        **explanation.document(),
    }


def _lines(asked: Single, explanation: Explanation, length: int) -> Iterator[str]:
    anatomy = explanation.anatomy
    formats = f"{asked.fmt}" if asked.fmt == asked.out_format else f"{asked.fmt} to {asked.out_format}"
    yield f"{asked.candidate.name} in {formats}, opened by {plural(anatomy.rows, 'row')}"
    yield explanation.line()
    if explanation.prediction is not None:
        yield explanation.prediction.line()
    if explanation.common and explanation.cause is not None:
        yield explanation.common
    if explanation.left_out:
        yield explanation.left_out
    for part in anatomy.parts:
        state = "" if part.state == "observed" else f"{part.state}: "
        yield f"{part.name:11} {state}{part.text} [{part.rows} rows]"
    if (drawing := anatomy.drawing(length)) is not None:
        yield ""
        yield f"the order of additions of {length} entries, by place; each line below a + is a term of it:"
        yield drawing
