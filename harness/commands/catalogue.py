"""`harness list`: the names that other commands accept."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any, Final

import typer

from harness.terminal.console import print_json, results

__all__ = ["list_everything"]

DERIVATION_WIDTH: Final = 90


def list_everything(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
) -> None:
    """List ops, candidates, formats, regimes, tiers, the columns of a run's tables, and efforts."""
    catalogue = _catalogue()
    if as_json:
        print_json(catalogue)
        return
    console = results()
    for title, entries in catalogue.items():
        width = max(len(name) for name in entries)
        console.print(f"{title}")
        for name, entry in entries.items():
            console.print(f"  {name:{width}}  {entry['title']}", soft_wrap=True)
            for line in textwrap.wrap(entry.get("derivation", ""), DERIVATION_WIDTH):
                console.print(f"  {'':{width}}  {line}", soft_wrap=True)
        console.print()


def _catalogue() -> dict[str, dict[str, dict[str, Any]]]:
    from harness.campaign.settings import EFFORTS
    from harness.subject.candidates import BUILTINS
    from harness.subject.candidates.libraries import LIBRARIES
    from reference.formats import FORMATS
    from reference.ops import OPS
    from reference.tiers import TIERS
    from reports.record.cells import SEARCHED
    from reports.record.metrics import documented
    from strategies.corpora import CORPORA
    from strategies.regimes import REGIMES

    return {
        "ops": {op.name: {"title": op.formula} for op in OPS.values()},
        "candidates": {c.name: {"title": c.description} for c in BUILTINS.values()},
        "libraries": {
            name: {"title": f"{library.title} ({library.lacks() or library.version()})"}
            for name, library in LIBRARIES.items()
        },
        "formats": {
            f.name: {
                "title": f"p = {f.precision}, emin = {f.emin}, emax = {f.emax}, "
                f"{'with' if f.has_infinity else 'no'} infinity{'' if f.has_negative_zero else ', no -0'}",
                "precision": f.precision,
                "emin": f.emin,
                "emax": f.emax,
            }
            for f in FORMATS.values()
        },
        "corpora": {c.name: {"title": c.title} for c in CORPORA.values()},
        "regimes": {
            **{r.name: {"title": r.title} for r in REGIMES.values()},
            SEARCHED: {"title": "rows that a search for the worst one tries; part of every deep run"},
        },
        "tiers": {t.name: {"title": t.title, "derivation": t.derivation} for t in TIERS.values()},
        "columns": {name: {"title": title} for name, title in documented()},
        "efforts": {
            e.name: {"title": f"about {e.elements} elements a cell, {e.least_rows} to {e.most_rows} rows"}
            for e in EFFORTS.values()
        },
    }
