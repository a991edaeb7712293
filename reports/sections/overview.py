"""The first screen: the verdict, and where each candidate stands in each format."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

from markupsafe import Markup

from reference.formats import format_named
from reports.causes import cause_lines
from reports.figures import count, plural, ulps
from reports.rundata import WRONGS, RunData, Standing
from reports.section import Section, fill
from reports.sections.witnesses import instance
from reports.verdict import sentences

STEPS: Final = (0.5, 1.0, 4.0, 16.0, 64.0, 1e3, 1e6)
"""Worst errors up to these share a colour; 1/2 and 1 are the ends of correct and faithful rounding."""

MOST_LOOKS: Final = 5

MOST_ROOMY: Final = 8
"""Candidates up to which the cells of the matrix have room for the place of each figure."""

MOST_FORMATS: Final = 5
"""Formats up to which they have."""


def level(standing: Standing) -> int:
    """Return the colour of a standing: how many of STEPS its worst error exceeds."""
    worst = standing.greatest("max_ulp")
    return len(STEPS) if worst is None or math.isinf(worst) else bisect_left(STEPS, worst)


def relative(standing: Standing) -> str:
    """Return what the worst error is of a normal result, at most; empty where there is none.

    A normal r has at least 2^(p-1) of its own ULP.
    """
    worst = standing.greatest("max_ulp")
    if worst is None or not math.isfinite(worst):
        return ""
    return ulps(math.ldexp(worst, 1 - format_named(standing.key.out_format).precision))


def wrong(run: RunData, standing: Standing) -> list[str]:
    """Return what is wrong with a standing that its failed rows and its errors do not show."""
    clauses = [f"{count(number)} {WRONGS[column]}" for column, number in standing.wrongs.items()]
    if beyond := run.violations.get((standing.key.candidate, standing.key.formats)):
        clauses.insert(0, f"beyond {plural(beyond, 'limit')} of the gate")
    return clauses


def render(run: RunData) -> Markup:
    """Draw the verdict, the matrix, and what to look at first."""
    standings = {(s.key.candidate, s.key.op, s.key.formats): s for s in run.standings}
    subjects = dict.fromkeys((s.key.candidate, s.key.op) for s in run.standings)
    verdict, *more = sentences(run)
    return fill(
        "overview.html",
        run=run,
        verdict=verdict,
        more=more,
        causes=list(cause_lines(run.documents.get("explanations") or ())),
        relative=relative,
        standings=standings,
        subjects=list(subjects),
        ops=dict.fromkeys(op for _, op in subjects),
        level=level,
        wrong=wrong,
        dense=len(subjects) > MOST_ROOMY or len(run.formats) > MOST_FORMATS,
        steps=STEPS,
        looks=[(w, instance(w)) for w in run.telling_witnesses(MOST_LOOKS)],
    )


SECTION = Section(
    title="Summary",
    order=10,
    guide=(
        "Each line is one candidate in one format, at its worst. Read the failed share of rows first: an"
        " error in ULP says nothing about outputs that are NaN or all zero. Then read the greatest error"
        " of a finite output: below 0.5 ULP it is correctly rounded, and below 1 about as good as a"
        " faithful result. ULP of different formats do not compare; the relative error does. It is the"
        " greatest that so many ULP of a normal result can be: ULP times 2^(1 - p), p being the precision"
        " of the format. Error / bound is the greatest error over the bound of the standard tier for that"
        " row; up to 1, rounding alone explains it, however many ULP it is. Every rate is that of one"
        " cell, named beside it; rates of different regimes are never averaged, because no input mixes"
        " them as this run does."
    ),
    render=render,
)
