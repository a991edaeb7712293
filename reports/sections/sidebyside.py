"""Two candidates beside each other: which of them does better, place by place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

from reports.drawing import Plot
from reports.figures import count
from reports.picture import Picture, Table, drawn
from reports.places import Place, by_place, logits_axis, matrix, spreads_axis
from reports.record.profiles import place_key, place_of
from reports.rundata import RunData, Standing
from reports.section import Section, fill

FAILURES: Final = ("overflow", "total_underflow", "inaccurate", "unexplained")
PAIR: Final = ("naive", "max_shifted")
"""The candidates to compare where both are in the run; else the first two."""

Better = Literal["a", "b", "tie"]


@dataclass(frozen=True)
class Comparison:
    """A place of two candidates: the failed rows and the bin of the worst error of each."""

    failed: tuple[int, int]
    errors: tuple[int, int]

    @property
    def better(self) -> Better:
        """The candidate with fewer failed rows there, or else the smaller worst error."""
        one, other = zip(self.failed, self.errors, strict=True)
        return "tie" if one == other else "a" if one < other else "b"

    @property
    def reason(self) -> str:
        """The figure that decided."""
        if self.better == "tie":
            return "equal"
        return "fewer failed rows" if self.failed[0] != self.failed[1] else "smaller worst error"


def render(run: RunData) -> Markup:
    """Draw one map a format; nothing where there are not two candidates."""
    pair = PAIR if set(PAIR) <= set(run.candidates) else run.candidates[:2]
    if len(pair) < 2:
        return Markup()
    pictures = [_picture(formats, a, b) for formats, a, b in _matched(run, *pair)]
    return fill("sidebyside.html", pair=pair, maps=drawn(pictures, css="maps")) if pictures else Markup()


def _matched(run: RunData, one: str, other: str) -> Iterator[tuple[str, Standing, Standing]]:
    measured = {(s.key.candidate, s.key.op, s.key.formats): s for s in run.standings if s.errors.places}
    for (candidate, op, formats), standing in measured.items():
        if candidate == one and (other, op, formats) in measured:
            yield formats, standing, measured[other, op, formats]


def compared(a: Standing, b: Standing) -> dict[Place, Comparison]:
    """Return the places where both were given the same number of rows."""
    counts = [by_place(s.errors.places) for s in (a, b)]
    errors = [_errors(s.errors.place_errors) for s in (a, b)]
    comparisons = {}
    for place, there in counts[0].items():
        here = counts[1].get(place)
        if here is not None and here["rows"] == there["rows"]:
            failed = (sum(there[kind] for kind in FAILURES), sum(here[kind] for kind in FAILURES))
            comparisons[place] = Comparison(failed, (errors[0].get(place, -1), errors[1].get(place, -1)))
    return comparisons


def _errors(peaks: Mapping[int, int]) -> dict[Place, int]:
    return {place_of(place_key(number, "rows"))[:2]: code for number, code in peaks.items()}


def _picture(formats: str, a: Standing, b: Standing) -> Picture:
    comparisons = compared(a, b)
    plot = Plot(logits_axis(), spreads_axis(), width=520, height=330, right=14)
    for better in ("a", "b", "tie"):
        plot.fields((place for place, c in comparisons.items() if c.better == better), f"k-{better}")
    wins = Counter(c.better for c in comparisons.values())
    image = plot.svg(
        f"Who does better where, {formats}: {a.key.candidate} in {wins['a']} places,"
        f" {b.key.candidate} in {wins['b']}, equal in {wins['tie']}. Numbers below."
    )
    return Picture(
        formats,
        image,
        _table(comparisons, a, b),
        matrix({place: c.better for place, c in comparisons.items()}),
    )


def _table(comparisons: Mapping[Place, Comparison], a: Standing, b: Standing) -> Table:
    wins = Counter((c.reason, c.better) for c in comparisons.values())
    rows = [
        (reason, count(wins[reason, "a"]), count(wins[reason, "b"]))
        for reason in ("fewer failed rows", "smaller worst error")
    ]
    caption = (
        f"Places where each does better; equal in {count(wins['equal', 'tie'])} of {count(len(comparisons))}"
    )
    return Table(caption, ("by", a.key.candidate, b.key.candidate), rows)


SECTION = Section(
    title="Side by side",
    order=34,
    guide=(
        "Both candidates had the same rows. A field takes the colour of the candidate with fewer failed"
        " rows there, or, where they are equal, with the smaller worst error, to 1/256. Subtracting the"
        " maximum costs one rounding: the shifted form may be worse where nothing overflows, and is better"
        " elsewhere. In the CSV, a is the first candidate and b the second."
    ),
    render=render,
)
