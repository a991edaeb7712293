"""How errors are distributed: the picture, and the numbers behind it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from reports.cells import quantiles
from reports.drawing import axes, svg
from reports.rundata import RunData, Standing
from reports.section import Section, fill
from reports.tally import HISTOGRAM_SHIFT, Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES: Final = {
    "median": Fraction(1, 2),
    "90 %": Fraction(9, 10),
    "99 %": Fraction(99, 100),
    "99.9 %": Fraction(999, 1000),
}
LEAST: Final = 2.0**-8
"""Errors below this are drawn at the left end: no one needs to tell them apart."""

VISIBLE: Final = 0.002
APART: Final = 1.02
"""What the eye can tell apart in the picture: shares by their difference, errors by their ratio."""

MOST_CURVES: Final = 6


def render(run: RunData) -> Markup:
    """Draw one picture and one table a format."""
    groups = []
    for number, formats in enumerate(run.formats):
        standings = [s for s in run.standings if s.key.formats == formats and s.errors.representable]
        if standings:
            drawn = sorted(standings, key=_rank, reverse=True)[:MOST_CURVES]
            curves = [s for s in standings if s in drawn]
            groups.append((formats, _picture(curves, formats, f"ecdf{number}"), _numbers(standings), curves))
    return fill("distribution.html", groups=groups, shares=SHARES)


def _rank(standing: Standing) -> float:
    return standing.errors.max_ulp or 0.0


def _numbers(standings: list[Standing]) -> list[tuple[Standing, list[float | None]]]:
    return [(s, quantiles(s.errors, SHARES.values())) for s in standings]


def _picture(standings: list[Standing], formats: str, name: str) -> Markup:
    with axes() as (figure, plot):
        _frame(plot)
        for number, standing in enumerate(standings):
            errors, shares = zip(*_steps(standing.errors), strict=True)
            plot.step(errors, shares, where="post", gid=f"c-series series-{number}", linewidth=1.6)
        names = ", ".join(s.key.candidate for s in standings)
        description = f"Share of elements with at most a given error in ULP, {formats}: {names}."
        return svg(figure, name, f"{description} The table beside it has the numbers.")


def _frame(plot: Axes) -> None:
    plot.set_xscale("log", base=2)
    plot.set_ylim(0, 1.02)
    plot.set_xlabel("error in ULP, at most")
    plot.set_ylabel("share of elements")
    plot.grid(visible=True)
    plot.minorticks_off()
    plot.xaxis.set_major_formatter(lambda value, _: _power(value))
    for ulps in (0.5, 1.0):
        plot.axvline(ulps, linewidth=0.8, linestyle=(0, (2, 3)), gid="c-mark")


def _power(value: float) -> str:
    """Spell a power of two as short as it goes: 1/16, 512, 2^20."""
    if value < 1:
        return f"1/{1 / value:.0f}"
    return f"{value:.0f}" if value < 2**12 else f"2^{math.log2(value):.0f}"


def _steps(errors: Tally) -> Iterator[tuple[float, float]]:
    """Yield upper edges of bins with the share of errors up to there, the picture's left end first.

    Of bins that the picture cannot tell apart, the last stands for all; so does the very last.
    """
    below, last, drawn = 0, 0.0, 0.0
    yield LEAST, 0.0
    for number, amount in sorted(errors.histogram.items()):
        (edge,) = struct.unpack("<d", struct.pack("<Q", (number + 1) << HISTOGRAM_SHIFT))
        if not math.isfinite(edge):
            break
        below += amount
        share = below / errors.representable
        if edge >= last * APART and share - drawn > VISIBLE:
            last, drawn = max(edge, LEAST), share
            yield last, drawn
    if errors.max_ulp is not None and math.isfinite(errors.max_ulp):
        yield max(errors.max_ulp, LEAST), below / errors.representable


SECTION = Section(
    title="Distribution of errors",
    order=50,
    guide=(
        "The curve at x is the share of elements with an error of at most x ULP; further left is better. The"
        " dotted lines are 1/2 and 1 ULP. A curve that ends below 1 leaves the nonfinite outputs out, which"
        " the table counts as infinite errors. All regimes of the run are in it, in the proportions of this"
        " run: it tells where errors lie, and is no rate of anything else."
    ),
    render=render,
)
