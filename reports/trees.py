"""An order of additions, drawn: entries below, a joint for each addition, the sum on top.

A tree is nested lists of entries: `[[0, 1], 2]` adds the first two, and then the third.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape

__all__ = ["MOST_LEAVES", "depths", "tree_of", "tree_svg"]

MOST_LEAVES: Final = 64
"""Entries that a picture has room for."""

_WIDTH: Final = 640
_SIDE: Final = 16
_TOP: Final = 24
_LEVEL: Final = 26
_MOST_HIGH: Final = 300
_NAMES: Final = 26

Tree = Any


def tree_of(joins: Any) -> Tree | None:
    """Return the tree of additions, each of two terms; None where a document says no such thing.

    Entries are numbered from 0, and additions from the number of entries on, in an order in which they can be
    done.
    """
    if not isinstance(joins, Sequence) or not 0 < len(joins) < MOST_LEAVES:
        return None
    parts: dict[int, Tree] = {i: i for i in range(len(joins) + 1)}
    for number, pair in enumerate(joins, len(joins) + 1):
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(type(i) is int for i in pair):
            return None
        if pair[0] == pair[1] or not all(i in parts for i in pair):
            return None
        parts[number] = [parts.pop(i) for i in pair]
    return next(iter(parts.values()))


def depths(tree: Tree, depth: int = 0) -> dict[int, int]:
    """Return how many additions each entry goes through, by its place."""
    if isinstance(tree, int):
        return {tree: depth}
    found: dict[int, int] = {}
    for child in tree:
        found |= depths(child, depth + 1)
    return found


def tree_svg(tree: Tree, description: str) -> Markup:
    """Return the picture of a tree, with a text alternative."""
    leaves = list(_leaves(tree))
    high = max(depths(tree).values())
    level = min(_LEVEL, _MOST_HIGH / high)
    floor = _TOP + level * high
    step = (_WIDTH - 2 * _SIDE) / max(len(leaves) - 1, 1)
    places = {leaf: _SIDE + step * number for number, leaf in enumerate(leaves)}
    lines: list[str] = []
    root = _joined(tree, places, floor, level, lines)
    names = "".join(
        f'<text transform="translate({x + 3:.1f} {floor + 6:.1f})rotate(-90)" text-anchor="end">{leaf}</text>'
        for leaf, x in places.items()
    )
    height = floor + _NAMES
    top = f'<text x="{_WIDTH / 2:.1f}" y="12" text-anchor="middle" class="title">the sum</text>'
    stem = f"M{root[0]:.1f} {root[1]:.1f}V{_TOP - 6}"
    frame = f'viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(description)}"'
    path = f'<path class="line s0" d="{"".join(lines)}{stem}"/>'
    return Markup(f"<svg {frame}>{path}{names}{top}</svg>")  # noqa: S704  escaped here, the rest are numbers


@dataclass(frozen=True)
class _Joint:
    """Where a part of a tree ends above: its place, and how many additions are below it."""

    x: float
    additions: int


def _joined(
    tree: Tree, places: dict[int, float], floor: float, level: float, lines: list[str]
) -> tuple[float, float]:
    """Draw a tree; return where it ends above."""
    joint = _joint(tree, places, floor, level, lines)
    return joint.x, floor - level * joint.additions


def _joint(tree: Tree, places: dict[int, float], floor: float, level: float, lines: list[str]) -> _Joint:
    if isinstance(tree, int):
        return _Joint(places[tree], 0)
    children = [_joint(child, places, floor, level, lines) for child in tree]
    additions = 1 + max(child.additions for child in children)
    y = floor - level * additions
    lines += [f"M{c.x:.1f} {floor - level * c.additions:.1f}V{y:.1f}" for c in children]
    lines.append(f"M{min(c.x for c in children):.1f} {y:.1f}H{max(c.x for c in children):.1f}")
    return _Joint(sum(c.x for c in children) / len(children), additions)


def _leaves(tree: Tree) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
        return
    for child in tree:
        yield from _leaves(child)
