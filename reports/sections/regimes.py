"""Failures, rates and errors by regime, candidates side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from reports.record.cells import Row
from reports.rundata import RunData, Standing, worst_of
from reports.section import Section, fill

MOST: Final = 120
"""Lines drawn of one format."""


@dataclass(frozen=True)
class Share:
    """One candidate in one regime and format: the worst of its lengths, column by column."""

    cells: tuple[Row, ...]

    def worst(self, column: str) -> Row | None:
        """Return the cell with the greatest figure, None where all are null."""
        return worst_of(self.cells, column)

    @property
    def is_judged(self) -> bool:
        """Whether any row had an exact result and came back."""
        return any(cell["judged_rows"] for cell in self.cells)


def by_regime(standing: Standing) -> dict[str, Share]:
    """Return the cells of a standing by regime, in the plan's order."""
    cells: dict[str, list[Row]] = {}
    for cell in standing.cells:
        cells.setdefault(cell["regime"], []).append(cell)
    return {regime: Share(tuple(group)) for regime, group in cells.items()}


def render(run: RunData) -> Markup:
    """Draw one table a format."""
    groups = []
    for formats in run.formats:
        standings = [s for s in run.standings if s.key.formats == formats and not s.is_unsupported]
        shares = {s.key: by_regime(s) for s in standings}
        regimes = dict.fromkeys(regime for share in shares.values() for regime in share)
        lines = [
            (regime, s, share)
            for regime in regimes
            for s in standings
            if (share := shares[s.key].get(regime)) and share.is_judged
        ]
        groups.append((formats, _gravest(lines), len(lines)))
    return fill("regimes.html", groups=[group for group in groups if group[1]])


Line = tuple[str, Standing, Share]


def _gravest(lines: list[Line]) -> list[Line]:
    """Return the lines as they are, or of more than `MOST` those that failed most, then erred most."""
    ranked = sorted(lines, key=lambda line: _badness(line[2]), reverse=True)[:MOST]
    kept = {id(line) for line in ranked}
    return [line for line in lines if id(line) in kept]


def _badness(share: Share) -> tuple[float, float]:
    failed, erred = share.worst("failed_rate"), share.worst("max_ulp")
    return failed["failed_rate"] if failed else 0.0, erred["max_ulp"] if erred else -math.inf


SECTION = Section(
    title="Regimes",
    order=30,
    guide=(
        "A regime is a named family of rows. Each figure is that of the worst length, which is named. The"
        " interval beside a rate is the 95 % Clopper-Pearson interval: the rates of this generator that"
        " agree with the count. Corpora, and other rows that are not drawn independently, have none."
        " Underflow is the share of zeros among elements whose nearest number is not zero; its interval"
        " counts rows, since zeros of one row are not independent. Overflow, total underflow and"
        " inaccurate rows are kinds of failed rows."
    ),
    render=render,
    of_cells=True,
)
