"""Whether the same call gives the same outputs: chance, and what is left of earlier calls.

Asked before anything else, as a candidate that remembers is in its first state only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.cause import Cause
from harness.explanation.questions import Questions

__all__ = ["Beginning", "beginning_of", "of_calls", "of_many_calls"]

Floats = NDArray[np.float64]

LENGTHS: Final = (7, 64)
ROWS: Final = 8
LONG: Final = (1030, 4999)
"""Lengths of the few rows that are called a hundred times."""

MANY: Final = 200
"""Times a hundred calls of a short row."""

TURNS: Final = 8
HUNDREDS: Final = 3
"""Times a hundred calls in which outputs that have changed for good are the same."""

GROSS: Final = 2.0**-5
"""An error that no honest order of additions makes."""


@dataclass(frozen=True)
class Beginning:
    """The first outputs of a few rows, and those of others of the same shape after them.

    Attributes:
        first: by length, the rows and their outputs in the first call of that shape.
        repeated: rows that were answered with what an earlier call of another row had given.
        asked: rows that were asked so.
    """

    first: dict[int, tuple[Floats, Floats]]
    repeated: int
    asked: int


def beginning_of(questions: Questions) -> Beginning:
    """Call rows of two shapes, then others of the same shapes, which begin alike or not."""
    first: dict[int, tuple[Floats, Floats]] = {}
    repeated = asked = 0
    for n in LENGTHS:
        x = _rows(questions, n)
        y = questions.ask(x)
        first[n] = (x, y)
        if not _right(x, y).all():
            continue
        tail = np.concatenate([x[:, : n // 2], x[:, n // 2 :][:, ::-1] - 1], axis=1)
        for other in (x[::-1, ::-1] + 1, questions.held(tail)):
            again = questions.ask(other)
            repeated += int((_same(again, y) & ~_right(other, again)).sum())
            asked += len(other)
    return Beginning(first, repeated, asked)


def of_calls(questions: Questions, begun: Beginning) -> Cause | None:
    """Return that outputs depend on earlier calls or on chance, where the same rows had different outputs."""
    if begun.repeated >= ROWS / 2:
        said = "the answer to an earlier call of the same shape is given again"
        return Cause("depends.history", said, begun.repeated, begun.repeated)
    if (changed := _no_longer_right(questions, begun)) is not None:
        return changed
    for n in LENGTHS if questions.is_slow else (*LENGTHS, *LONG):
        x = _rows(questions, n)[: ROWS if n <= LENGTHS[-1] else 2]
        first = questions.ask(x)
        different = ~_same(first, _often(questions, x))
        if different.any():
            return (
                _of_history(questions, n)
                or _of_a_turn(questions, x, first)
                or _of_chance(questions, n, int(different.sum()))
            )
    return None


def of_many_calls(questions: Questions) -> Cause | None:
    """Return that outputs change after thousands of calls."""
    x = _rows(questions, 3)[:1]
    y = questions.ask(x)
    for turn in range(MANY):
        if not _same(_often(questions, x), y).all():
            said = f"after about {100 * (turn + 1)} calls the same row has other outputs"
            return Cause("depends.history", said, 1, 1)
    return None


def _no_longer_right(questions: Questions, begun: Beginning) -> Cause | None:
    """Return that rows that were right at first are wrong now, and the same each time."""
    changed = asked = 0
    for x, y in begun.first.values():
        if not _right(x, y).all():
            continue
        now, again = questions.ask(x), questions.ask(x)
        changed += int((_same(now, again) & ~_right(x, now)).sum())
        asked += len(x)
    if not asked or changed < asked / 2:
        return None
    return Cause(
        "depends.history", "rows that were right in the first calls are wrong in later ones", changed, changed
    )


def _of_a_turn(questions: Questions, x: Floats, first: Floats) -> Cause | None:
    """Return that outputs changed once, among a hundred calls, and are the same ever since."""
    now = questions.ask(x)
    changed = int((~_same(first, now)).sum())
    if not changed:
        return None
    again = [questions.ask(x) for _ in range(TURNS)] + [_often(questions, x) for _ in range(HUNDREDS)]
    if not all(_same(now, y).all() for y in again):
        return None
    said = "after some call, the same rows have other outputs"
    return Cause("depends.history", said, changed, changed)


def _of_history(questions: Questions, n: int) -> Cause | None:
    """Return that the call before decides the outputs: they drift, or differ by what was called before."""
    x = _rows(questions, n)[:1]
    sums = np.asarray([questions.ask(x).sum() for _ in range(TURNS)])
    steps = np.diff(sums)
    if ((steps > 0).all() or (steps < 0).all()) and abs(sums[-1] / sums[0] - 1) > GROSS:
        said = "each call leaves something for the next: the outputs of the same row drift"
        return Cause("depends.history", said, TURNS, TURNS)
    lone = np.full_like(x, questions.off)
    lone[:, 0] = 0
    after: list[list[Floats]] = [[], []]
    for _ in range(TURNS):
        for which, before in enumerate((lone, np.zeros_like(x))):
            questions.ask(before)
            after[which].append(questions.ask(x)[0])
    one, other = (np.asarray(each) for each in after)
    between = np.abs(one.mean(axis=0) - other.mean(axis=0)).max()
    within = max(float(np.ptp(one[2:], axis=0).max()), float(np.ptp(other[2:], axis=0).max()))
    if between > 8 * within and between > GROSS * np.abs(one).max() / 16:
        said = "the outputs of a row depend on the row that was called before it"
        return Cause("depends.history", said, 2 * TURNS, 2 * TURNS)
    return None


def _of_chance(questions: Questions, n: int, different: int) -> Cause:
    x = _rows(questions, n)[:2]
    y = np.asarray([questions.ask(x) for _ in range(TURNS)])
    kinds = len({row.tobytes() for row in y})
    often = f"{kinds} kinds of outputs in {TURNS} calls" if kinds > 1 else "seldom"
    said = f"the same rows of {n} entries have other outputs when they are called again ({often})"
    return Cause("depends.run", said, different, different)


def _often(questions: Questions, x: Floats) -> Floats:
    """Return the outputs of a hundred calls that are not those of the first; else those."""
    outcome = questions.subject.run(questions.format.from_float64(x), "often")
    if outcome.outputs is None or not outcome.completed.all():
        return np.full(x.shape, np.nan)
    return questions.out.to_float64(outcome.outputs)


def _rows(questions: Questions, n: int) -> Floats:
    generator = np.random.default_rng(n)
    return questions.held(generator.normal(0, 2, (ROWS, n)))


def _same(y: Floats, other: Floats) -> NDArray[np.bool_]:
    """Tell which rows are alike, entry by entry."""
    same: NDArray[np.bool_] = ((y == other) | (np.isnan(y) & np.isnan(other))).all(axis=1)
    return same


def _right(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Tell which rows are near enough to a softmax that they are not the answer to another row."""
    e: Any = np.exp(x - x.max(axis=1, keepdims=True))
    right: NDArray[np.bool_] = (np.abs(y - e / e.sum(axis=1, keepdims=True)) <= GROSS / 2).all(axis=1)
    return right
