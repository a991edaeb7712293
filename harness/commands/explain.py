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
    OutFormatName,
    Policies,
    Single,
    ViaLibrary,
    executor_for,
    require_format,
    single,
)
from harness.terminal.console import print_json, print_lines, results
from harness.terminal.exceptions import NoVerdict, UsageError

if TYPE_CHECKING:
    from harness.explanation import Anatomy

__all__ = ["explain"]

LONGEST = 1 << 20
DRAWN = 64
"""The length whose order is drawn, where none is given."""


def explain(
    candidate: CandidateSpec,
    *,
    format: FormatName = None,
    via: ViaLibrary = None,
    out_format: OutFormatName = None,
    length: Annotated[
        int | None, typer.Option(help="A length to look at as well; up to 256 its tree.")
    ] = None,
    policies: Policies = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one call may take.")] = None,
    in_process: InProcessHere = False,
    as_json: AsJson = False,
) -> None:
    """Say what a softmax is made of, by rows made for the purpose and never by its code."""
    if length is not None and not 2 <= length <= LONGEST:
        raise UsageError(f"--length {length}: from 2 to {LONGEST}; give one of these")
    given = {
        "via": via, "out_format": out_format, "policies": policies, "timeout": timeout,
        "in_process": in_process,
    }  # fmt: skip
    asked = single(candidate, format, length or DRAWN, given)
    with executor_for(asked.settings, every_row=True) as executor:
        require_format(asked, executor)
        from harness.explanation import Questions, anatomy_of

        anatomy = anatomy_of(Questions(asked.subject(executor)), length)
        if given_up := executor.given_up():
            raise NoVerdict(f"candidate {candidate!r}: {next(iter(given_up.values()))}")
    if as_json:
        print_json(_document(asked, anatomy))
    else:
        print_lines(results(), "\n".join(_lines(asked, anatomy, length or DRAWN)))


def _document(asked: Single, anatomy: Anatomy) -> dict[str, Any]:
    return {
        "candidate": asked.candidate.name,
        "format": asked.fmt.name,
        "out_format": asked.out_format.name,
        **anatomy.document(),
    }


def _lines(asked: Single, anatomy: Anatomy, length: int) -> Iterator[str]:
    formats = f"{asked.fmt}" if asked.fmt == asked.out_format else f"{asked.fmt} to {asked.out_format}"
    yield f"{asked.candidate.name} in {formats}, opened by {anatomy.rows} rows"
    for part in anatomy.parts:
        state = "" if part.state == "observed" else f"{part.state}: "
        yield f"{part.name:11} {state}{part.text} [{part.rows} rows]"
    if (drawing := anatomy.drawing(length)) is not None:
        yield ""
        yield f"the order of additions of {length} entries, by place; each line below a + is a term of it:"
        yield drawing
