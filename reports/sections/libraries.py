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
        "Each line is one library's softmax in one format, the most accurate first; those with failed"
        " rows stand last. Errors are the worst found over all regimes and the search, and rates are those"
        " of the worst cell. A bound ratio above 1 is an error that the standard algorithm cannot make on"
        " that row. The columns about NaN, +inf and -inf say what came out for such rows, by number of"
        " rows. Findings and broken contracts stand in full further below."
    ),
    render=render,
)
