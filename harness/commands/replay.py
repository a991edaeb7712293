"""`harness replay`: run one witness again."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from harness.candidates import load
from harness.console import print_json, results
from harness.errors import UsageError, user_mistakes
from harness.execution import InProcess, Isolated
from harness.replaying import ElementReplay, Replay, replay_witness
from reports.runs import find_witness
from reports.tally import Witness

__all__ = ["replay"]

SHOWN = 12
"""Elements printed of a long row: those with the greatest error."""


def replay(
    witness: Annotated[str, typer.Argument(help="RUN#ID, a line of witnesses.jsonl, or - for stdin.")],
    *,
    candidate: Annotated[str | None, typer.Option(help="Replay through this candidate instead.")] = None,
    expect: Annotated[bool, typer.Option("--expect", help="Exit 1 unless the row is sound now.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Print every element of a long row.")] = False,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Call the candidate in this process.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that the candidate may take.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Run one witness again and print exact and computed values, hex and decimal."""
    found = _read(witness)
    with user_mistakes():
        chosen = load(candidate or found.cell.candidate)
    with InProcess() if in_process else Isolated(jobs=1) as executor:
        result = replay_witness(found, chosen, executor, timeout)
    if as_json:
        print_json(result.document())
    else:
        _print(result, sys.maxsize if show_all else SHOWN)
    return int(expect and not result.is_sound)


def _read(text: str) -> Witness:
    text = sys.stdin.read() if text == "-" else text
    if text.lstrip().startswith("{"):
        try:
            return Witness.from_document(json.loads(text))
        except ValueError as error:
            raise UsageError(f"witness: {error}; give one line of witnesses.jsonl") from error
    run, separator, identity = text.rpartition("#")
    if not separator:
        raise UsageError(f"witness {text!r}: write RUN#ID, such as latest#0123456789, or give its JSON line")
    with user_mistakes():
        return find_witness(run, identity)


def _print(result: Replay, most: int) -> None:
    from rich.table import Table

    console = results()
    cell = result.witness.cell
    console.print(
        f"{cell.candidate}  {cell.format} -> {cell.out_format}  {cell.regime}, length {cell.length}, "
        f"{result.witness.origin}: {result.witness.kind}"
    )
    if result.message:
        console.print(result.message)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("i", "x", "x bits", "computed", "bits", "nearest", "bits", "exact", "ULP error", "class"):
        table.add_column(title, no_wrap=True)
    for e in _worst(result.elements, most):
        figures = (e.x, e.x_bits, e.y, e.y_bits, e.nearest, e.nearest_bits, e.exact)
        table.add_row(str(e.index), *figures, f"{e.ulp:.6g}", e.element_class)
    console.print(table)
    if len(result.elements) > most:
        console.print(f"... the worst {most} of {len(result.elements)} elements; --all prints every one")
    _print_row(result)


def _worst(elements: tuple[ElementReplay, ...], most: int) -> list[ElementReplay]:
    def badness(e: ElementReplay) -> float:
        return float("inf") if e.ulp != e.ulp else e.ulp

    chosen = sorted(elements, key=badness, reverse=True)[:most]
    return sorted(chosen, key=lambda e: e.index)


def _print_row(result: Replay) -> None:
    t = result.tally
    outcome = ", ".join(t.outcomes)
    ratio = "none" if t.max_bound_ratio is None else f"{t.max_bound_ratio:.6g}"
    error = "none" if t.worst_row_sum_error is None else f"{t.worst_row_sum_error:.6g}"
    bits = "the recorded bits" if result.same_bits else "other bits than recorded"
    results().print(f"row: {outcome}; row sum error {error}; bound ratio {ratio}; {bits}")
