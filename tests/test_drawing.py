"""Pictures: the words over two marks do not run into each other.

Independent evidence: the places that the SVG gives, read back, at the width of a letter that a browser draws.
"""

from __future__ import annotations

import re
import sys

import pytest

from reports.drawing import Plot, linear, log2

LETTER = 6.5


def spans(svg: str) -> list[tuple[float, float, float]]:
    """Return the line of the words over each mark, and where they begin and end, in pixels."""
    note = r'<text x="([\d.]+)" y="([\d.]+)"( text-anchor="end")? class="note">([^<]+)<'
    found = []
    for place, line, anchor, text in re.findall(note, svg):
        width = LETTER * len(text)
        left = float(place) - (width if anchor else 0)
        found.append((float(line), left, left + width))
    return found


@pytest.mark.parametrize("second", [3.5, 4.0, 4.6, 5.2, 6.0, 9.0])
@pytest.mark.parametrize("first", [2.0, 3.4])
def test_words_over_two_marks_stay_apart(first: float, second: float) -> None:
    axis = linear("x", 0.0, 10.0, [])
    plot = Plot(axis, axis, width=480, right=20)
    plot.mark(first, "exp underflows")
    plot.mark(second, "exp overflows")
    one, other = spans(plot.svg("two marks"))
    apart = one[0] != other[0] or one[2] <= other[1] or other[2] <= one[1]
    assert apart, f"{one} beside {other}"


def test_an_axis_reaches_to_the_largest_number() -> None:
    """Twice the greatest error of a float64 log_softmax is above it."""
    largest = sys.float_info.max
    axis = log2("error", 2.0**-10, 2 * largest)
    assert axis.high == largest
    assert all(2.0**-10 <= value <= largest for value, _ in axis.ticks)
    assert axis.ticks[-1][0] > 2.0**800
