"""How the error grows as an entry falls below the largest of its row, and what the bound allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from markupsafe import Markup

from reference.formats import format_named
from reports.drawing import Plot, log2
from reports.figures import NOTHING, ulps
from reports.picture import Picture, Table, by_formats, csv_text, drawn, left_out, worst_curves
from reports.record.cells import upper_edge
from reports.record.profiles import GAPS
from reports.rundata import RunData, Standing
from reports.section import Section

LOWEST: Final = 2.0 ** (GAPS.least - 1)
"""The place of gaps in the first bin, which include ties and the largest entry itself."""

LEAST: Final = 2.0**-4
RANGES: Final = ((0.0, 1.0), (1.0, 8.0), (8.0, 64.0), (64.0, math.inf))
BOUND: Final = "bound, standard tier"

Peaks = Mapping[int, int]


def render(run: RunData) -> Markup:
    """Draw one picture a format."""
    return drawn(
        [_picture(f, s) for f, s in by_formats(run) if any(t.errors.gap_errors for t in s)], css="lines"
    )


def _picture(formats: str, standings: Sequence[Standing]) -> Picture:
    curves = worst_curves(standings)
    return Picture(
        formats, _image(formats, curves), _table(standings), _csv(standings), left_out(standings, curves)
    )


def _image(formats: str, curves: Sequence[Standing]) -> Markup:
    bounds = curves[0].errors.gap_bounds
    codes = [bounds, *(s.errors.gap_errors for s in curves)]
    errors = [e for peaks in codes for _, e in _finite(peaks)]
    plot = Plot(
        log2("gap to the largest logit, x_max - x_i", LOWEST, 2.0**GAPS.most),
        log2("greatest error, ULP", LEAST, 2 * max([*errors, 1.0])),
        height=340,
    )
    allowed = _finite(bounds)
    plot.boxes(((_left(k), LEAST, _right(k), error) for k, error in allowed), "allowed")
    if allowed:
        plot.label(allowed[-1][1], "bound", "allowed")
    fmt = format_named(curves[0].key.out_format)
    plot.mark(-fmt.emin * math.log(2), "subnormal from here")
    for number, standing in enumerate(curves):
        stretches = list(_stretches(_finite(standing.errors.gap_errors)))
        for stretch in stretches:
            plot.steps(stretch, f"line s{number}")
        if stretches:
            plot.label(stretches[-1][-1][1], standing.key.candidate, f"s{number}")
    names = ", ".join(s.key.candidate for s in curves)
    return plot.svg(
        f"Greatest error in ULP against the gap to the row's largest logit, {formats}: {names},"
        " with the a-priori bound of the standard tier. Numbers below."
    )


def _finite(peaks: Peaks) -> list[tuple[int, float]]:
    """Return bins with their greatest error, those of 2^1024 and more left out."""
    points = [(number, upper_edge(code)) for number, code in sorted(peaks.items())]
    return [(number, error) for number, error in points if math.isfinite(error)]


def _left(number: int) -> float:
    return max(GAPS.lower(number), LOWEST)


def _right(number: int) -> float:
    return min(GAPS.lower(number + 1), 2.0**GAPS.most)


def _stretches(peaks: Iterable[tuple[int, float]]) -> Iterator[list[tuple[float, float]]]:
    """Yield steps over bins that follow each other, each with its right end."""
    stretch: list[tuple[float, float]] = []
    last = -1
    for number, error in peaks:
        if stretch and number != last + 1:
            yield [*stretch, (_right(last), stretch[-1][1])]
            stretch = []
        stretch.append((_left(number), error))
        last = number
    if stretch:
        yield [*stretch, (_right(last), stretch[-1][1])]


def _table(standings: Sequence[Standing]) -> Table:
    named = [(s.key.candidate, s.errors.gap_errors) for s in standings]
    rows = [(name, *_worst(peaks)) for name, peaks in [*named, (BOUND, standings[0].errors.gap_bounds)]]
    headings = [f"gap {low:.0f} to {high:.0f}" for low, high in RANGES[:-1]]
    return Table(
        "Greatest error in ULP by the gap", ("candidate", *headings, f"gap from {RANGES[-1][0]:.0f}"), rows
    )


def _worst(peaks: Peaks) -> Iterator[str]:
    for low, high in RANGES:
        codes = [code for number, code in peaks.items() if low <= GAPS.lower(number) < high]
        yield ulps(upper_edge(max(codes))) if codes else NOTHING


def _csv(standings: Sequence[Standing]) -> str:
    curves = worst_curves(standings)
    peaks = [standings[0].errors.gap_bounds, *(s.errors.gap_errors for s in curves)]
    rows = (
        (GAPS.lower(k), *(upper_edge(p[k]) if k in p else "" for p in peaks))
        for k in range(GAPS.count)
        if any(k in p for p in peaks)
    )
    return csv_text(("gap_from", "bound", *(s.key.candidate for s in curves)), rows)


SECTION = Section(
    title="Error against gap",
    order=52,
    guide=(
        "The gap is the distance of an entry from the largest logit of its row. The error depends on it"
        " more than on anything else. The line is the greatest error found among entries of that gap, in"
        " all regimes. The shaded area is the greatest bound of the standard tier there; the bound of a"
        " single row may be lower. Beyond the dotted line results are subnormal, and an ULP is a fixed"
        " step. Errors are known to 1/256."
    ),
    render=render,
)
