"""Maps of failed rows over the largest logit and the spread, which show the end of the safe region."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from markupsafe import Markup

from reference.formats import FloatFormat, format_named
from reports.drawing import Plot
from reports.figures import count, percent, ulps
from reports.picture import Picture, Table, drawn
from reports.places import Place, Places, by_place, ends, logits_axis, matrix, position, spreads_axis
from reports.record.profiles import LOGITS, PLACE_COUNTS, SPREADS
from reports.rundata import RunData, Standing
from reports.section import Section, fill

MOST: Final = 12
"""Maps drawn."""

FAILURES: Final = ("overflow", "total_underflow", "inaccurate", "unexplained")
CLEAR: Final = 0.5
"""The share of a place's rows from which it is drawn in full colour."""


def render(run: RunData) -> Markup:
    """Draw a map for each candidate and format, those with most failures first."""
    standings = [s for s in run.standings if s.errors.places]
    chosen = sorted(standings, key=lambda s: -s.total("failed_rows"))[:MOST]
    maps = [_picture(s) for s in standings if s in chosen]
    if not maps:
        return Markup()
    return fill("regions.html", maps=drawn(maps, css="maps"), shown=len(maps), count_of_all=len(standings))


def _picture(standing: Standing) -> Picture:
    places = by_place(standing.errors.places)
    key = standing.key
    return Picture(f"{key.candidate}, {key.formats}", _image(standing, places), _table(places), _csv(places))


def _image(standing: Standing, places: Places) -> Markup:
    plot = Plot(logits_axis(), spreads_axis(), width=520, height=330, right=14)
    shown: dict[str, list[Place]] = {}
    for place, counts in places.items():
        shown.setdefault(_shade(counts), []).append(place)
    for css, there in sorted(shown.items()):
        plot.fields(there, css)
    for value, name in _thresholds(format_named(standing.key.out_format)):
        plot.mark(position(value), name)
    worst = {kind: sum(c[kind] for c in places.values()) for kind in (*FAILURES, "underflow")}
    said = ", ".join(f"{count(n)} rows with {kind.replace('_', ' ')}" for kind, n in worst.items() if n)
    return plot.svg(
        f"Map of rows over largest logit and spread, {standing.key.candidate}, {standing.key.formats}:"
        f" {said or 'no row failed'}. Numbers below."
    )


def _shade(counts: Mapping[str, int]) -> str:
    """Return the class of a place: how most of its failures came about, and pale where most rows are well."""
    failed = {kind: counts[kind] for kind in FAILURES if counts[kind]}
    kind = (
        max(failed, key=lambda name: failed[name])
        if failed
        else "underflow"
        if counts["underflow"]
        else "safe"
    )
    share = (sum(failed.values()) or counts["underflow"]) / counts["rows"]
    return f"k-{kind}{' pale' if kind != 'safe' and share < CLEAR else ''}"


def _thresholds(fmt: FloatFormat) -> Iterator[tuple[float, str]]:
    """Yield the logits beyond which exp leaves the format."""
    yield fmt.emin * math.log(2), "exp underflows"
    yield math.log(fmt.largest), "exp overflows"


def _table(places: Places) -> Table:
    rows = [_line(kind, places) for kind in PLACE_COUNTS]
    headings = ("rows that", "rows", "share", "largest logit from", "to", "spread from", "to")
    return Table("Where rows of each kind were found", headings, [row for row in rows if row])


def _line(kind: str, places: Places) -> Sequence[str]:
    there = [place for place, counts in places.items() if counts[kind]]
    if not there:
        return ()
    number, whole = (sum(counts[name] for counts in places.values()) for name in (kind, "rows"))
    columns, lines = map(set, zip(*there, strict=True))
    logits = [end for column in columns for end in ends(LOGITS, column)]
    spreads = [end for line in lines for end in ends(SPREADS, line)]
    said = "were tried" if kind == "rows" else f"show {kind.replace('_', ' ')}"
    spans = (min(logits), max(logits), min(spreads), max(spreads))
    return (said, count(number), percent(number / whole), *map(_spelled, spans))


def _spelled(value: float) -> str:
    return f"-{ulps(-value)}" if value < 0 else ulps(value)


def _csv(places: Places) -> str:
    return matrix({place: _counted(counts) for place, counts in places.items()})


def _counted(counts: Mapping[str, int]) -> str:
    """Return the counts of a place: failed/rows, or failed+underflow/rows."""
    underflow = f"+{counts['underflow']}" if counts["underflow"] else ""
    return f"{sum(counts[kind] for kind in FAILURES)}{underflow}/{counts['rows']}"


SECTION = Section(
    title="Where rows fail",
    order=32,
    guide=(
        "Each field holds the rows with that largest logit and that spread, on logarithmic scales; a"
        " field without colour had no row. Its colour is the most frequent failure; underflow, if no row"
        " failed but an entry was wrongly 0; or safe. The dotted lines show where exp itself leaves the"
        " format; they do not matter to an implementation that subtracts the maximum. The map mixes all"
        " regimes of this run, so its shares are about this run only. The CSV has failed rows/rows, or"
        " failed+underflown/rows."
    ),
    render=render,
)
