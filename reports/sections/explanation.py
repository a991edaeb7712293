"""What failing candidates are made of, and why they fail: parts, the error of exp, the order of additions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from reports.drawing import Plot, linear, log2
from reports.figures import ulps
from reports.picture import Picture, Table, csv_text, drawn
from reports.rundata import RunData
from reports.section import Section, fill
from reports.trees import depths, tree_of, tree_svg

LEAST: Final = 2.0**-4
MOST: Final = 2.0**40
"""Greater errors are drawn at the edge."""

Explanation = Mapping[str, Any]


@dataclass(frozen=True)
class _Opened:
    """One candidate in a format.

    Attributes:
        title: which.
        line: its cause.
        table: its parts.
        pictures: the error of exp, and the order of additions, where they are known.
    """

    title: str
    line: str
    table: Table
    pictures: Markup


def render(run: RunData) -> Markup:
    """Draw the parts of each candidate that was opened; nothing where none was."""
    opened = [_opened(e) for e in run.documents.get("explanations") or () if e.get("parts")]
    return fill("explanation.html", opened=opened) if opened else Markup()


def _opened(e: Explanation) -> _Opened:
    formats = e["format"] if e["format"] == e["out_format"] else f"{e['format']} to {e['out_format']}"
    title = f"{e['candidate']}, {formats}"
    parts = {str(p.get("part")): p for p in e["parts"] if isinstance(p, Mapping)}
    rows = [
        (name, str(p.get("state", "")), str(p.get("text", "")), str(p.get("rows", "")))
        for name, p in parts.items()
    ]
    table = Table("What was seen of each part", ("part", "state", "what was seen", "rows"), rows, words=3)
    pictures = [*_of_exp(title, parts.get("exp", {})), *_of_sum(title, parts.get("sum", {}))]
    return _Opened(title, str(e["line"]), table, drawn(pictures, css="explained"))


# The error of exp --------------------------------------------------------------------------


def _of_exp(title: str, part: Mapping[str, Any]) -> Iterator[Picture]:
    points = list(_points(part.get("curve")))
    finite = [(d, error) for d, error in points if math.isfinite(error)]
    if len(finite) < 2:
        return
    far = max(d for d, _ in points)
    high = min(MOST, 2 * max([1.0, *(error for _, error in finite)]))
    step = 10.0 ** math.floor(math.log10(far / 2))
    ticks = [(k * step, f"-{k * step:g}" if k else "0") for k in range(int(far / step) + 1)]
    plot = Plot(
        linear("argument of exp, x - max", 0.0, far, ticks[:: max(1, len(ticks) // 8)]),
        log2("error, ULP", LEAST, high),
        height=280,
        right=16,
    )
    plot.line([(d, max(error, LEAST)) for d, error in finite], "line s0")
    worst_at, worst = max(finite, key=lambda p: p[1])
    plot.mark(worst_at, f"{ulps(worst)} ULP at -{worst_at:.6g}")
    image = plot.svg(f"Error of exp in ULP against its argument, {title}. Numbers below.")
    table = Table(
        "The greatest errors of those drawn",
        ("argument", "error, ULP"),
        [(f"-{d:.6g}", ulps(error)) for d, error in sorted(finite, key=lambda p: -p[1])[:8]],
    )
    csv = csv_text(("argument", "error_ulp"), [(-d, error) for d, error in points])
    yield Picture("Error of exp over its range", image, table, csv)


def _points(curve: Any) -> Iterator[tuple[float, float]]:
    """Yield how far arguments lie below 0, with the errors; infinite where there is no number."""
    for point in curve if isinstance(curve, Sequence) else ():
        if isinstance(point, Sequence) and len(point) == 2 and _is_number(point[0]):
            yield -float(point[0]), float(point[1]) if _is_number(point[1]) else math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


# The order of additions --------------------------------------------------------------------


def _of_sum(title: str, part: Mapping[str, Any]) -> Iterator[Picture]:
    tree = tree_of(part.get("joins"))
    if tree is None:
        return
    by_place = depths(tree)
    name = str(part.get("order") or "an order that has no name here")
    image = tree_svg(
        tree, f"The order in which {len(by_place)} entries are added, {title}: {name}. Numbers below."
    )
    heights = part.get("heights")
    rows = [(str(n), str(h)) for n, h in (heights if isinstance(heights, Mapping) else {}).items()]
    table = Table("The most additions that an entry goes through", ("entries", "additions"), rows)
    csv = csv_text(("place", "additions"), sorted(by_place.items()))
    yield Picture(f"Order of additions of {len(by_place)} entries: {name}", image, table, csv)


SECTION = Section(
    title="Why it fails",
    order=14,
    guide=(
        "The program called each failing candidate with further rows. Each row answers a question about"
        " one part: what is subtracted, exp, the sum, the division, the rounding of outputs, and what else"
        " outputs depend on. A part is observed, not visible in its format, or contradictory. A cause is"
        " named only if it alone accounts for the failing rows; otherwise the answer is unexplained."
    ),
    render=render,
)
