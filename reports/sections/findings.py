"""Faults, and defects of contract or claim."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from reports.rundata import RunData
from reports.section import Section, fill

MOST: Final = 100
"""Findings drawn, the gravest kinds first."""


def render(run: RunData) -> Markup:
    """Draw the findings, or say that there are none."""
    cells = [cell for cell in run.cells if cell["message"] or cell["status"] != "ok"]
    supported = [cell for cell in cells if cell["status"] != "unsupported"]
    unsupported = dict.fromkeys(
        (cell["candidate"], cell["format"], cell["message"])
        for cell in cells
        if cell["status"] == "unsupported"
    )
    return fill("findings.html", run=run, cells=supported, unsupported=list(unsupported), most=MOST)


SECTION = Section(
    title="Findings",
    order=20,
    guide=(
        "Defects apart from accuracy: crashes, time-outs, errors and wrong shapes; rows that failed for"
        " no reason that the candidate declares; masked entries that are not 0; outputs outside [0, 1];"
        " -0; policy rows (NaN, +inf, all -inf) that are not as declared; and errors above what the"
        " declared algorithm can make. One line gathers all cells of a candidate, format and kind."
    ),
    render=render,
    of_cells=True,
)
