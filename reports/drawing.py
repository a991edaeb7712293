"""Pictures as SVG that stands in the page: no style attributes, colours from the page's style sheet.

Drawn here rather than by a plotting library: a picture is some kilobytes instead of thirty, the same bytes
whatever is installed, and its colours, light and dark, are the page's affair. Points are in pixels of a
viewBox that scales, to a tenth of one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from markupsafe import Markup, escape

__all__ = ["MOST_CURVES", "Axis", "Plot", "linear", "log2", "power", "powers"]

MOST_CURVES: Final = 6
"""Curves that a picture tells apart; the style sheet has as many colours and dashes."""

_LEFT, _TOP, _BOTTOM = 62, 36, 44
_LINE: Final = 13
"""The least distance of two labels, in pixels."""

_LETTER: Final = 7
"""The most that a letter of a note is wide on average, in pixels."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis of a picture.

    Attributes:
        title: its quantity and unit.
        low, high: its ends.
        ticks: values with their labels.
        scale: carries values to where they are drawn, on a line; ends too.
    """

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    scale: Callable[[float], float] = float

    def part(self, value: float) -> float:
        """Return where a value lies between the ends: 0 to 1, cut off there."""
        low, high = self.scale(self.low), self.scale(self.high)
        inside = self.scale(min(max(value, self.low), self.high))
        return (inside - low) / (high - low)


def power(value: float) -> str:
    """Return a power of two as short as it goes: 1/16, 512, 2^20."""
    if value < 1:
        return f"1/{1 / value:.0f}" if value > 2**-11 else f"2^{math.log2(value):.0f}"
    return f"{value:.0f}" if value < 2**14 else f"2^{math.log2(value):.0f}"


def powers(low: float, high: float, most: int = 9) -> list[tuple[float, str]]:
    """Return powers of two from low to high, evenly apart, at most so many."""
    first, last = math.ceil(math.log2(low)), min(math.floor(math.log2(high)), sys.float_info.max_exp - 1)
    step = max(1, -(-(last - first) // (most - 1)))
    return [(2.0**e, power(2.0**e)) for e in range(first, last + 1, step)]


def log2(title: str, low: float, high: float) -> Axis:
    """Return an axis of positive values, in powers of two; it ends with the largest number, if above that."""
    high = min(high, sys.float_info.max)
    return Axis(title, low, high, powers(low, high), math.log2)


def linear(title: str, low: float, high: float, ticks: Sequence[tuple[float, str]]) -> Axis:
    """Return an axis whose values lie evenly."""
    return Axis(title, low, high, ticks)


@dataclass
class Plot:
    """A picture that is being drawn; `right` is the room for labels beside it, in pixels."""

    x: Axis
    y: Axis
    width: int = 640
    height: int = 300
    right: int = 120
    _parts: list[str] = field(default_factory=list)
    _labels: list[tuple[float, str, str]] = field(default_factory=list)
    _notes: list[tuple[int, float, float]] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """Return where a pair of values lies, in pixels."""
        across = self.width - _LEFT - self.right
        up = self.height - _TOP - _BOTTOM
        return _LEFT + across * self.x.part(x), self.height - _BOTTOM - up * self.y.part(y)

    def line(self, points: Iterable[tuple[float, float]], css: str, *, dots: bool = False) -> None:
        """Draw a line through pairs of values."""
        places = [self.at(*point) for point in points]
        self._parts.append(f'<path class="{css}" d="{_path(places)}"/>')
        if dots:
            marks = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in places)
            self._parts.append(f'<path class="{css} dots" d="{marks}"/>')

    def steps(self, points: Iterable[tuple[float, float]], css: str) -> None:
        """Draw a line that keeps each value until the next one begins."""
        corners: list[Point] = []
        for x, y in points:
            if corners:
                corners.append((x, corners[-1][1]))
            corners.append((x, y))
        self.line(corners, css)

    def boxes(self, boxes: Iterable[tuple[float, float, float, float]], css: str) -> None:
        """Fill rectangles, each given by two pairs of values: left, bottom, right, top."""
        shapes = []
        for left, bottom, right, top in boxes:
            (x0, y0), (x1, y1) = self.at(left, bottom), self.at(right, top)
            shapes.append(f"M{_n(x0)} {_n(y1)}H{_n(x1)}V{_n(y0)}H{_n(x0)}z")
        if shapes:
            self._parts.append(f'<path class="{css}" d="{"".join(shapes)}"/>')

    def fields(self, fields: Iterable[tuple[int, int]], css: str) -> None:
        """Fill squares of one unit, given by their lower left corners, on axes whose values lie evenly.

        Those of a line are one stroke of the line's height, in units: a map is thousands of them.
        """
        (x0, y0), (x1, y1) = self.at(0, 0), self.at(1, 1)
        placed = f"matrix({x1 - x0:.4g} 0 0 {y1 - y0:.4g} {_n(x0)} {_n((y0 + y1) / 2)})"
        strokes = "".join(f"M{x} {y}h{length}" for x, y, length in _runs(fields))
        self._parts.append(f'<path class="{css}" transform="{placed}" d="{strokes}"/>')

    def mark(self, x: float, text: str = "") -> None:
        """Draw a dotted line across at a value of the x axis, with what it means above it.

        The words lie where there is more room, or where others lie there, on the other side or a line below.
        """
        place, _ = self.at(x, self.y.low)
        self._parts.append(f'<path class="mark" d="M{_n(place)} {_TOP}V{self.height - _BOTTOM}"/>')
        if text:
            top, anchor = self._room(place, _LETTER * len(text))
            self._parts.append(_text(place, top, text, anchor, "note"))

    def _room(self, place: float, width: float) -> tuple[int, str]:
        """Take the first free place for a note of that width, and return its line and anchor."""
        sides = [("start", place, place + width), ("end", place - width, place)]
        ranked = sides if place <= self.width / 2 else sides[::-1]
        places = ((top, *side) for top in count(_TOP - 6, _LINE + 3) for side in ranked)
        top, anchor, left, right = next(p for p in places if not self._is_taken(p[0], p[2], p[3]))
        self._notes.append((top, left, right))
        return top, anchor

    def _is_taken(self, top: int, left: float, right: float) -> bool:
        return any(top == line and left < end and start < right for line, start, end in self._notes)

    def label(self, y: float, text: str, css: str) -> None:
        """Write a label beside the right edge, level with a value; labels make room for each other."""
        self._labels.append((self.at(self.x.high, y)[1], text, css))

    def svg(self, description: str) -> Markup:
        """Return the picture, with a text alternative."""
        body = "".join([*self._frame(), *self._parts, *self._placed()])
        frame = f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(description)}"'
        return Markup(f"<svg {frame}>{body}</svg>")  # noqa: S704  escaped here and by `_text`

    def _frame(self) -> Iterable[str]:
        left, right = _LEFT, self.width - self.right
        top, bottom = _TOP, self.height - _BOTTOM
        xs = [(self.at(value, self.y.low)[0], text) for value, text in self.x.ticks]
        ys = [(self.at(self.x.low, value)[1], text) for value, text in self.y.ticks]
        upright = [f"M{_n(x)} {top}V{bottom}" for x, _ in xs]
        grid = "".join([*upright, *(f"M{left} {_n(y)}H{right}" for y, _ in ys)])
        yield f'<path class="grid" d="{grid}"/><path class="axis" d="M{left} {top}V{bottom}H{right}"/>'
        yield from (_text(x, bottom + 16, text, "middle") for x, text in xs)
        yield from (_text(left - 6, y + 4, text, "end") for y, text in ys)
        yield _text((left + right) / 2, self.height - 8, self.x.title, "middle", "title")
        yield _text(4, 12, self.y.title, "start", "title")

    def _placed(self) -> Iterable[str]:
        x = self.width - self.right + 6
        above = -math.inf
        floor = self.height - _BOTTOM - _LINE * (len(self._labels) - 1)
        for number, (y, text, css) in enumerate(sorted(self._labels, key=lambda label: label[0])):
            above = max(min(y, floor + _LINE * number), above + _LINE)
            shown = _shortened(text, (self.right - 8) // 6)
            most = self.right - 8 if len(shown) > (self.right - 8) // 8 else None
            yield _text(x, above + 4, shown, "start", f"label {css}", most)


def _path(points: Sequence[Point]) -> str:
    """Return a path through points, in steps relative to the last, which is shorter."""
    text, held = "", (0.0, 0.0)
    for number, (x, y) in enumerate((round(x, 1), round(y, 1)) for x, y in points):
        dx, dy = round(x - held[0], 1), round(y - held[1], 1)
        if number == 0:
            text = f"M{_n(x)} {_n(y)}"
        elif dy == 0:
            text += f"h{_n(dx)}" if dx else ""
        else:
            text += f"l{_n(dx)} {_n(dy)}" if dx else f"v{_n(dy)}"
        held = (x, y)
    return text


def _runs(fields: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield where stretches of neighbours in a line begin, and their length."""
    start: tuple[int, int] | None = None
    length = 0
    for x, y in sorted(fields, key=lambda field: (field[1], field[0])):
        if start is not None and (x, y) == (start[0] + length, start[1]):
            length += 1
            continue
        if start is not None:
            yield *start, length
        start, length = (x, y), 1
    if start is not None:
        yield *start, length


def _text(x: float, y: float, text: str, anchor: str, css: str = "", width: int | None = None) -> str:
    """Return a text; one of a given width keeps it on small screens too, where letters are larger."""
    named = f' class="{css}"' if css else ""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    fitted = "" if width is None else f' textLength="{width}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{_n(x)}" y="{_n(y)}"{placed}{named}{fitted}>{escape(text)}</text>'


def _n(value: float) -> str:
    """Return a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0").replace("-0.", "-.")


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
