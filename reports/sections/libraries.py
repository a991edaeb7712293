"""The softmax of installed libraries, side by side."""

from __future__ import annotations

from markupsafe import Markup

from reports.libraries import HEADINGS, library_lines
from reports.records import Record, records
from reports.rundata import RunData
from reports.section import Section


def render(run: RunData) -> Markup:
    """Draw one line a library and format; nothing where the run measured none."""
    lines = library_lines(run)
    if not lines:
        return Markup()
    drawn = [Record(line.texts, "good" if line.is_sound else "bad", command=line.command) for line in lines]
    return records("libraries", HEADINGS, drawn, more="libraries.csv")


SECTION = Section(
    title="Libraries",
    order=15,
    guide=(
        "Each line is one library's softmax in one format, the most accurate first; those that lose rows"
        " come last. Figures are the worst found over all regimes and the search, and the rates are those"
        " of the worst cell, as everywhere here. A bound ratio above 1 is beyond what the standard algorithm"
        " may do for that very row. What the rows without an exact result gave is counted in rows; findings"
        " and broken contracts are shown in full further below."
    ),
    render=render,
)
