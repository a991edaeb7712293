"""`harness claims`: claims that people make about softmax, each settled by rows."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.terminal.console import print_json, results
from harness.terminal.exceptions import UsageError
from harness.terminal.kernels import MEASURING, prepare_kernels

if TYPE_CHECKING:
    from harness.claims import ClaimResult

__all__ = ["claims"]

WIDTH: Final = 100
INDENT: Final = "    "


def claims(
    *,
    seed: Annotated[int, typer.Option(help="Draws the rows; the verdicts do not depend on it.")] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table in Markdown.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, with rows that `replay -` takes.")
    ] = False,
) -> None:
    """Settle twelve claims that people make about softmax, by rows whose exact result is known."""
    from harness.claims import evaluate

    if seed < 0:
        raise UsageError(f"--seed {seed}: at least 0")
    if markdown and as_json:
        raise UsageError("--markdown and --json: give one of them")
    prepare_kernels(MEASURING)
    settled = evaluate(seed)
    if as_json:
        print_json({"seed": seed, "claims": [claim.document() for claim in settled]})
        return
    text = _table(settled) if markdown else "\n\n".join(_paragraph(claim) for claim in settled)
    for line in text.split("\n"):
        results().print(line, soft_wrap=True)


def _paragraph(claim: ClaimResult) -> str:
    head = textwrap.fill(
        f"{claim.id:>2}. {claim.statement} ({claim.source})", WIDTH, subsequent_indent=INDENT
    )
    paragraph = textwrap.fill(
        f"{claim.verdict}: {claim.explanation}", WIDTH, initial_indent=INDENT, subsequent_indent=INDENT
    )
    return f"{head}\n{paragraph}"


def _table(settled: tuple[ClaimResult, ...]) -> str:
    rows = [f"| {c.id} | {c.statement} | {c.verdict} | {c.explanation} |" for c in settled]
    return "\n".join(["| # | claim | verdict | what the rows show |", "|--:|---|---|---|", *rows])
