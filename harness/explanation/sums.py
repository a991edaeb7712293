"""The sum: which entries count, in what significand, in what order.

One entry at the maximum has the exponential 1, and its output is 1 over the sum. A term of 0.75 u is
absorbed by 1, and two of them that are added first are not: a row of three entries answers one question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.orders import Clades, Order, clades, height, known_orders, met
from harness.explanation.questions import Questions

__all__ = ["LONG_LENGTHS", "SHORT_LENGTHS", "Count", "Seen", "accumulator", "counted", "order_of", "tree_of"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

SHORT_LENGTHS: Final = range(2, 131)
LONG_LENGTHS: Final = (255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2049, 4097, 16_385, 70_001)
TREE_LENGTHS: Final = (2, 3, 5, 7, 8, 13, 16, 20, 33, 64, 100)
FRESH_LENGTHS: Final = (11, 47, 129, 200)
"""Those on which a pattern is checked that others suggested."""

WIDTHS: Final = (8, 11, 24, 53)
EDGE: Final = 40
"""Places at the beginning and the end of a long row that are asked one by one."""
LONG: Final = 5000
EDGE_OF_LONG: Final = 12
"""And of rows that are longer than that."""


@dataclass(frozen=True)
class Count:
    """How often the places of rows of one length are counted in the sum: NaN where that cannot be told."""

    length: int
    places: Places
    times: Floats

    @property
    def odd(self) -> Places:
        """The places that are not counted once, as far as it can be told."""
        told = ~np.isnan(self.times)
        odd: Places = self.places[told & (self.times != 1)]
        return odd


def counted(questions: Questions, lengths: Iterable[int], *, every: bool = False) -> tuple[Count, ...]:
    """Return how often each place counts, of long rows the ends and some between; all if every is set."""
    return tuple(
        _counted(questions, length, np.arange(length) if every else _asked(length)) for length in lengths
    )


def _counted(questions: Questions, length: int, places: Places) -> Count:
    """Ask each place beside the first one, and the first one alone: an output is 1 over the sum."""
    y = questions.ask(questions.pairs(length, places, np.zeros_like(places)))
    with np.errstate(all="ignore"):
        sums = np.where(y[np.arange(len(places)), places] == y[:, 0], 1 / y[:, 0], np.nan)
        sums[0] = 1 / y[0, 0]  # 0 where the first is left out: a sum of nothing, and 1 / 0
        sums[1:] -= sums[0]
        whole = np.rint(sums)
        near = np.abs(sums - whole) <= 8 * 2.0**-questions.out.precision * (1 + np.abs(whole))
    return Count(length, places, np.where(near & (whole >= 0), whole, np.nan))


def _asked(length: int) -> Places:
    if length <= 4 * EDGE:
        return np.arange(length)
    edge = EDGE if length <= LONG else EDGE_OF_LONG
    between = np.linspace(edge, length - edge, edge, dtype=np.intp)
    every: Places = np.unique(np.concatenate([np.arange(edge), between, np.arange(length - edge, length)]))
    return every


def accumulator(questions: Questions) -> int | None:
    """Return the bits of the significand in which terms are added; None where it is more than can be seen.

    Of the three places at which the maximum of three may stand, it meets a small term first at two.
    """
    for bits in WIDTHS:
        if bits > questions.out.precision:
            return None
        absorbed = _triplets(questions, bits, 3, [(0, 1, 2), (0, 2, 1), (1, 2, 0)])
        if sum(not seen for seen in absorbed) == 2:
            return bits
    return None


def _triplets(
    questions: Questions, bits: int, length: int, asked: Sequence[tuple[int, int, int]]
) -> list[bool]:
    """Return of each (j, k, i) whether j and k are added to each other before either meets i."""
    if not asked:
        return []
    places = np.asarray(asked, dtype=np.intp)
    each = np.arange(len(places))
    x = np.full((len(places), length), questions.off)
    x[each, places[:, 0]] = x[each, places[:, 1]] = questions.logit(0.75 * 2.0**-bits)
    x[each, places[:, 2]] = 0
    return [bool(v) for v in questions.ask(x)[each, places[:, 2]] < 1]


# The tree ----------------------------------------------------------------------------------


def tree_of(questions: Questions, bits: int, length: int) -> Clades | None:
    """Return the tree of rows of a length; None where the answers fit no tree.

    The places are put in the order in which they meet the first of them; those that meet it together are a
    tree of their own.
    """
    found: set[int] = set()
    open_sets = [tuple(range(length))]
    while open_sets:
        ordered = _in_order(questions, bits, length, open_sets)
        open_sets = []
        for first, classes in ordered:
            joined = 1 << first
            for each in classes:
                own = sum(1 << i for i in each)
                if len(each) > 1:
                    found.add(own)
                    open_sets.append(each)
                joined |= own
                found.add(joined)
    return frozenset(found) if len(found) == length - 1 else None


def _in_order(
    questions: Questions, bits: int, length: int, sets: Sequence[tuple[int, ...]]
) -> list[tuple[int, list[tuple[int, ...]]]]:
    """Return of each set its first place and the classes that meet it, in turn: quicksorts in step."""
    runs: list[list[_Run]] = [[_Run(s[1:], settled=False)] for s in sets]
    while any(not run.settled for some in runs for run in some):
        asked = [
            triplet
            for s, some in zip(sets, runs, strict=True)
            for run in some
            if not run.settled
            for other in run.others
            for triplet in ((s[0], other, run.pivot), (s[0], run.pivot, other))
        ]
        answers = iter(_triplets(questions, bits, length, asked))
        runs = [
            [new for run in some for new in ([run] if run.settled else run.divided(answers))] for some in runs
        ]
    return [(s[0], [run.places for run in some]) for s, some in zip(sets, runs, strict=True)]


@dataclass(frozen=True)
class _Run:
    """Places that meet the first one at about the same time; settled where at the same time."""

    places: tuple[int, ...]
    settled: bool

    @property
    def pivot(self) -> int:
        return self.places[len(self.places) // 2]

    @property
    def others(self) -> list[int]:
        return [place for place in self.places if place != self.pivot]

    def divided(self, answers: Iterator[bool]) -> list[_Run]:
        """Return those before, with and after the pivot, from two answers on each other place."""
        before: list[int] = []
        same, after = [self.pivot], list[int]()
        for other in self.others:
            sooner, later = next(answers), next(answers)
            (before if sooner else after if later else same).append(other)
        runs = (_Run(tuple(before), False), _Run(tuple(same), True), _Run(tuple(after), False))
        return [run for run in runs if run.places]


@dataclass(frozen=True)
class Seen:
    """The order of additions, as far as it was seen.

    Attributes:
        trees: by length, those that were read off.
        order: what all of them follow, checked on lengths that did not suggest it; None where none is known.
        agreed, asked: questions on longer rows that the order was held to.
    """

    trees: dict[int, Clades]
    order: Order | None
    agreed: int = 0
    asked: int = 0

    def heights(self) -> dict[int, int]:
        """Return the height by length."""
        return {length: height(tree, length) for length, tree in self.trees.items()}


def order_of(questions: Questions, bits: int, more: Sequence[int] = (), seed: int = 0) -> Seen | None:
    """Return the order of additions; None where the answers fit no tree."""
    trees: dict[int, Clades] = {}
    for length in (*TREE_LENGTHS, *more):
        tree = tree_of(questions, bits, length)
        if tree is None:
            return None
        trees[length] = tree
    suggested = [o for o in known_orders() if all(clades(o, n) == tree for n, tree in trees.items())]
    for length in FRESH_LENGTHS if suggested else ():
        tree = tree_of(questions, bits, length)
        if tree is None:
            return None
        trees[length] = tree
        suggested = [o for o in suggested if clades(o, length) == tree]
    if not suggested:
        return Seen(trees, None)
    order, agreed, asked = _held(questions, bits, suggested, seed)
    return Seen(trees, order if agreed == asked else None, agreed, asked)


def _held(questions: Questions, bits: int, suggested: Sequence[Order], seed: int) -> tuple[Order, int, int]:
    """Return the order that answers most questions on longer rows as the candidate does, and both numbers."""
    generator = np.random.default_rng(seed)
    agreed = dict.fromkeys(range(len(suggested)), 0)
    asked = 0
    for length in (257, 777, 1500):
        drawn = [tuple(generator.choice(length, 3, replace=False).tolist()) for _ in range(60)]
        near = [
            (i, i + 1, int(generator.integers(length)))
            for i in generator.integers(length - 1, size=60).tolist()
        ]
        triplets = [t for t in (*drawn, *near) if len(set(t)) == 3]
        seen = _triplets(questions, bits, length, triplets)
        asked += len(triplets)
        for i, order in enumerate(suggested):
            tree = clades(order, length)
            agreed[i] += sum(met(tree, *t) == answer for t, answer in zip(triplets, seen, strict=True))
    best = max(agreed, key=agreed.__getitem__)
    return suggested[best], agreed[best], asked
