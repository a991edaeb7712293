"""How errors are distributed: the picture, and the numbers behind it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Final

from markupsafe import Markup

from reports.drawing import Plot, linear, log2
from reports.figures import count, ulps
from reports.picture import Picture, Table, by_formats, csv_text, drawn, left_out, worst_curves
from reports.record.bins import Bins
from reports.record.cells import quantiles, upper_edges
from reports.record.tally import Tally
from reports.rundata import RunData, Standing
from reports.section import Section

SHARES: Final = {
    "median": Fraction(1, 2),
    "90 %": Fraction(9, 10),
    "99 %": Fraction(99, 100),
    "99.9 %": Fraction(999, 1000),
}
LEAST: Final = 2.0**-8
"""Errors below this are drawn at the left end: no one needs to tell them apart."""

VISIBLE: Final = 0.005
APART: Final = 1.02
"""The least difference of shares and ratio of errors that the eye sees in the picture."""

QUARTERS: Final = [(k / 4, f"{25 * k} %") for k in range(5)]

Steps = Sequence[tuple[float, float]]
"""What `_steps` yields."""


def render(run: RunData) -> Markup:
    """Draw one picture and one table a format."""
    return drawn([_picture(formats, standings) for formats, standings in by_formats(run)], css="lines")


def _picture(formats: str, standings: Sequence[Standing]) -> Picture:
    curves = worst_curves(standings)
    steps = [list(_steps(s.errors)) for s in curves]
    image = _image(formats, curves, steps)
    return Picture(formats, image, _table(standings), _csv(curves, steps), left_out(standings, curves))


def _image(formats: str, curves: Sequence[Standing], steps: Sequence[Steps]) -> Markup:
    greatest = max(_finite(s.errors.max_ulp) for s in curves)
    plot = Plot(
        log2("error in ULP, at most", LEAST, max(2.0, greatest)), linear("share of elements", 0, 1, QUARTERS)
    )
    for ulp, name in ((0.5, "1/2"), (1.0, "1 ULP")):
        plot.mark(ulp, "" if ulp < 1 else name)
    for number, (standing, points) in enumerate(zip(curves, steps, strict=True)):
        plot.steps(points, f"line s{number}")
        plot.label(points[-1][1], standing.key.candidate, f"s{number}")
    names = ", ".join(s.key.candidate for s in curves)
    return plot.svg(
        f"Share of elements with at most a given error in ULP, {formats}: {names}. Numbers below."
    )


def _finite(error: float | None) -> float:
    return 0.0 if error is None or math.isinf(error) else error


def _steps(errors: Tally) -> Iterator[tuple[float, float]]:
    """Yield upper edges of bins with the share of errors up to there, the picture's left end first.

    Of bins that the picture cannot tell apart, the last stands for all; so does the very last.
    """
    last, shown = 0.0, 0.0
    yield LEAST, 0.0
    histogram = Bins.of(errors.histogram)
    edges = [edge for edge in upper_edges(histogram.sorted_keys).tolist() if edge < math.inf]
    counts = histogram.numbers.tolist()[: len(edges)]
    shares = [below / errors.representable for below in accumulate(counts)]
    place = 0
    while place < len(edges):
        told_apart = bisect_left(edges, True, place, key=lambda edge: edge >= last * APART)
        place = bisect_left(shares, True, told_apart, key=lambda share: share - shown > VISIBLE)
        if place < len(edges):
            last, shown = max(edges[place], LEAST), shares[place]
            yield last, shown
        place += 1
    if errors.max_ulp is not None and math.isfinite(errors.max_ulp):
        yield max(errors.max_ulp, LEAST), shares[-1] if shares else 0.0


def _table(standings: Sequence[Standing]) -> Table:
    rows = [
        (
            s.key.candidate,
            *map(ulps, quantiles(s.errors, SHARES.values())),
            ulps(s.errors.max_ulp),
            count(s.errors.representable),
            count(s.errors.nonfinite_representable),
        )
        for s in standings
    ]
    caption = "Error in ULP that this share of elements does not exceed"
    return Table(caption, ("candidate", *SHARES, "worst", "elements", "nonfinite"), rows)


def _csv(curves: Sequence[Standing], steps: Sequence[Steps]) -> str:
    rows = (
        (s.key.candidate, error, share)
        for s, points in zip(curves, steps, strict=True)
        for error, share in points
    )
    return csv_text(("candidate", "ulp_at_most", "share_of_elements"), rows)


SECTION = Section(
    title="Distribution of errors",
    order=50,
    guide=(
        "The curve at x is the share of elements with an error of at most x ULP; further left is better."
        " The dotted lines are 1/2 and 1 ULP. Nonfinite outputs are not drawn, so a curve may end below"
        " 100 %; the table counts them as infinite errors. The curve mixes all regimes of this run, so its"
        " shares are about this run only."
    ),
    render=render,
)
