"""The progress of the search for the worst row, evaluation by evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from reports.drawing import MOST_CURVES, Plot, log2
from reports.figures import searched, ulps
from reports.picture import Picture, Table, csv_text, drawn
from reports.record.witness import parse_float
from reports.rundata import RunData
from reports.section import Section

LEAST: Final = 2.0**-4

PIXELS_A_CHARACTER: Final = 8
"""The most characters of a label; names of searches are printed beside the curves."""

Search = Mapping[str, Any]


def render(run: RunData) -> Markup:
    """Draw one picture an objective; nothing where the run did not search."""
    searches: Sequence[Search] = [s for s in run.documents.get("search") or () if s.get("curve")]
    objectives = dict.fromkeys(str(s.get("objective", "max_ulp")) for s in searches)
    return drawn(
        [_picture(name, [s for s in searches if _objective(s) == name]) for name in objectives], css="lines"
    )


def _objective(search: Search) -> str:
    return str(search.get("objective", "max_ulp"))


def _name(search: Search) -> str:
    return f"{search.get('candidate')} {search.get('format')} n={search.get('length')}"


def _points(search: Search) -> Iterator[tuple[float, float]]:
    for evaluations, best in search["curve"]:
        value = parse_float(best)
        if value is not None and math.isfinite(value):
            yield float(evaluations), value


def _picture(objective: str, searches: Sequence[Search]) -> Picture:
    shown = sorted(searches, key=lambda s: -max((best for _, best in _points(s)), default=0.0))[:MOST_CURVES]
    note = f"Drawn: {len(shown)} of {len(searches)}; the CSV has all." if len(shown) < len(searches) else ""
    title = "ULP" if objective in ("ulp", "max_ulp") else objective.replace("_", " ")
    return Picture(title, _image(title, shown), _table(searches), _csv(searches), note)


def _image(title: str, searches: Sequence[Search]) -> Markup:
    ends = [_evaluations(s) for s in searches]
    bests = [best for s in searches for _, best in _points(s)]
    plot = Plot(
        log2("evaluations", 1.0, max([*ends, 2.0])),
        log2(f"best so far, {title}", LEAST, 2 * max([*bests, 1.0])),
        right=min(320, max(190, 12 + PIXELS_A_CHARACTER * max(len(_name(s)) for s in searches))),
    )
    for number, search in enumerate(searches):
        points = list(_points(search))
        if points:
            plot.steps([*points, (_evaluations(search), points[-1][1])], f"line s{number}")
            plot.label(points[-1][1], _name(search), f"s{number}")
    names = ", ".join(_name(s) for s in searches)
    return plot.svg(f"Best found so far against evaluations, {title}: {names}. Numbers below.")


def _evaluations(search: Search) -> float:
    return float(search.get("evaluations") or search["curve"][-1][0])


def _table(searches: Sequence[Search]) -> Table:
    rows = [
        (
            _name(s),
            ulps(max((best for _, best in _points(s)), default=None)),
            searched(int(_evaluations(s)), s.get("seed")),
        )
        for s in searches
    ]
    return Table("Worst found", ("search", "worst", "of what"), rows)


def _csv(searches: Sequence[Search]) -> str:
    rows = ((_name(s), int(n), best) for s in searches for n, best in _points(s))
    return csv_text(("search", "evaluations", "best_so_far"), rows)


SECTION = Section(
    title="Search",
    order=56,
    guide=(
        "The worst figure found so far, by the number of rows tried. If a curve still rises at its end,"
        " more rows would find more. The last figure is the worst that this search found with its seed,"
        " and not a proven maximum."
    ),
    render=render,
)
