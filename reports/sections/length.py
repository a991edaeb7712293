"""How the worst error grows with the length of the row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from reports.drawing import Plot, log2
from reports.figures import count, ulps
from reports.picture import Picture, Table, by_formats, csv_text, drawn, left_out, worst_curves
from reports.record.cells import SEARCHED, Row
from reports.rundata import RunData, Standing, worst_of
from reports.section import Section

LEAST: Final = 2.0**-4


def render(run: RunData) -> Markup:
    """Draw one picture a format that was measured at two lengths or more."""
    return drawn([_picture(f, s) for f, s in by_formats(run) if len(_lengths(s)) > 1], css="lines")


def _lengths(standings: Sequence[Standing]) -> list[int]:
    return sorted({cell["length"] for s in standings for cell in _cells(s)})


def _cells(standing: Standing) -> list[Row]:
    """Return the cells with an error; of drawn and searched rows where there are any, else of corpora."""
    measured = [cell for cell in standing.cells if cell["max_ulp"] is not None]
    return [cell for cell in measured if cell["sampled"] or cell["regime"] == SEARCHED] or measured


def _picture(formats: str, standings: Sequence[Standing]) -> Picture:
    curves = worst_curves(standings)
    image = _image(formats, curves)
    return Picture(formats, image, _table(curves), _csv(standings), left_out(standings, curves))


def worst_by_length(standing: Standing) -> dict[int, tuple[float, str]]:
    """Return the greatest error of each length, and the regime of that error."""
    by_length: dict[int, list[Row]] = {}
    for cell in _cells(standing):
        by_length.setdefault(cell["length"], []).append(cell)
    worst = ((length, worst_of(cells, "max_ulp")) for length, cells in sorted(by_length.items()))
    return {length: (cell["max_ulp"], cell["regime"]) for length, cell in worst if cell is not None}


def _image(formats: str, curves: Sequence[Standing]) -> Markup:
    lengths, errors = _lengths(curves), [s.errors.max_ulp or 0.0 for s in curves]
    top = max([*(e for e in errors if math.isfinite(e)), 1.0])
    plot = Plot(
        log2("length of the row, entries", lengths[0], lengths[-1]),
        log2("worst error, ULP", LEAST, 2 * top),
    )
    for number, standing in enumerate(curves):
        worst = worst_by_length(standing)
        points = [(n, max(error, LEAST)) for n, (error, _) in worst.items() if math.isfinite(error)]
        if points:
            plot.line(points, f"line s{number}", dots=True)
            plot.label(points[-1][1], standing.key.candidate, f"s{number}")
    names = ", ".join(s.key.candidate for s in curves)
    return plot.svg(
        f"Worst error in ULP of a finite output against the length, {formats}: {names}. Numbers below."
    )


def _table(curves: Sequence[Standing]) -> Table:
    by_candidate = [worst_by_length(s) for s in curves]
    rows = [(count(n), *(_spelled(worst.get(n)) for worst in by_candidate)) for n in _lengths(curves)]
    return Table(
        "Worst error in ULP, and where it was found", ("length", *(s.key.candidate for s in curves)), rows
    )


def _spelled(worst: tuple[float, str] | None) -> str:
    return ulps(None) if worst is None else f"{ulps(worst[0])} ({worst[1]})"


def _csv(standings: Sequence[Standing]) -> str:
    rows = (
        (s.key.candidate, length, error, regime)
        for s in standings
        for length, (error, regime) in worst_by_length(s).items()
    )
    return csv_text(("candidate", "length", "worst_ulp", "regime"), rows)


SECTION = Section(
    title="Error against length",
    order=13,
    guide=(
        "The greatest error of a finite output over all regimes, by the length of the row. A sum that"
        " adds one by one in the format itself loses more in longer rows; a pairwise sum hardly does."
        " Corpora are left out, because their few rows have lengths of their own."
    ),
    render=render,
)
