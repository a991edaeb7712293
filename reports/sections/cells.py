"""The cells: every figure of the worst ones, and where all of them are."""

from __future__ import annotations

import math
from typing import Final

from markupsafe import Markup

from reports.record.cells import Row
from reports.rundata import RunData
from reports.section import Section, fill

MOST: Final = 100


def _badness(cell: Row) -> tuple[bool, float, float]:
    """Rank cells: those that did not finish, then by failed share, then by error."""
    failed, worst = cell["failed_rate"], cell["max_ulp"]
    return cell["status"] in ("crashed", "timed_out"), failed or 0.0, -math.inf if worst is None else worst


def render(run: RunData) -> Markup:
    """Draw the table of the worst cells."""
    cells = [cell for cell in run.cells if cell["status"] != "unsupported"]
    worst = sorted(cells, key=_badness, reverse=True)[:MOST]
    return fill("cells.html", run=run, cells=worst, count_of_all=len(cells))


SECTION = Section(
    title="Cells",
    order=70,
    guide=(
        "A cell is one candidate, format, regime and length. Every figure belongs to a cell. The worst"
        " cells stand first. A heading sorts the table, and the field above filters it. The bound column"
        " is the greatest error over the bound of the standard tier for that row; above 1, the error is"
        " greater than that algorithm can make. cells.csv and cells.parquet hold all columns."
    ),
    render=render,
    of_cells=True,
)
