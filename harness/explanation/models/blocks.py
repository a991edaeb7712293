"""Models that go through a row in blocks and join them wrongly, or leave some out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Floats, Model, Predict, summed_up, top
from harness.explanation.questions import Questions

__all__ = ["of_blocks"]

SCANNED: Final = 640
"""Entries of the row that shows where the first block ends."""

LONGEST: Final = 1100
"""Of longer rows the blocks are taken to be those of rows of so many entries."""

Merge = Callable[[Any, Any, Any, Any, int], Any]
"""The new sum, from the sum, the maximum, the new maximum, a block, and the number of the block."""


def of_blocks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield merges of blocks that rescale wrongly, and blocks that are passed over."""
    size = _first_block(questions, SCANNED)
    if size is not None:
        for sentence, merge in _merges():
            predict = _blocked(questions, work, merge, lambda n: _first_block(questions, n))
            yield Model("sum.not_rescaled", sentence.format(size), predict)
    yield from _of_skipped(questions, work)


def _first_block(questions: Questions, n: int) -> int | None:
    """Return the entries of the first block of rows of n, where a later maximum is joined wrongly."""
    if n < 2:
        return None
    n = min(n, LONGEST)
    x = np.full((n - 1, n), questions.off)
    each = np.arange(1, n)
    x[each - 1, each] = 0
    x[:, 0] = -2
    y = questions.ask(x)[each - 1, each]
    off = np.abs(y * (1 + math.exp(-2)) - 1) > 16 * 2.0**-questions.out.precision
    return None if not off.any() or off[0] else int(np.flatnonzero(off)[0]) + 1


def _merges() -> Iterator[tuple[str, Merge]]:
    yield (
        "blocks of {} are merged without rescaling the sum so far",
        lambda s, _m, new, b, _k: s + summed_up(np.exp(b - new)),
    )
    yield (
        "blocks of {} are merged with the rescaling inverted",
        lambda s, m, new, b, _k: s * np.exp(new - m) + summed_up(np.exp(b - new)),
    )
    yield (
        "blocks of {} are summed by their own maxima and not rescaled",
        lambda s, m, new, b, _k: s * np.exp(m - new) + summed_up(np.exp(b - top(b))),
    )
    yield (
        "of blocks of {} the first alone is rescaled",
        lambda s, m, new, b, k: (s * np.exp(m - new) if k == 1 else s) + summed_up(np.exp(b - new)),
    )


def _of_skipped(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield blocks that are left out where they are far below the maximum, as the first place shows it.

    One entry is at the maximum and all others at -g: where blocks are passed over, the sum falls to that of
    the first block.
    """
    gaps = questions.held(np.arange(1, 41) / 4)
    n = SCANNED
    x = np.repeat(-gaps[:, None], n, axis=1)
    x[:, 0] = 0
    with np.errstate(all="ignore"):
        terms = (1 / questions.ask(x)[:, 0] - 1) / np.exp(-gaps)
    few = np.flatnonzero(terms < 0.6 * (n - 1))
    if not few.size or not few[0] or not 0.9 < terms[few[0] - 1] / (n - 1) < 1.1:
        return
    gap = float(gaps[few[0] - 1])
    size = round(float(terms[few[0]])) + 1
    if size < 2 or not (np.abs(terms[few] + 1 - size) <= 0.1 * size).all():
        return

    def merge(s: Any, m: Any, new: Any, b: Any, _k: int) -> Any:
        return s * np.exp(m - new) + np.where(top(b) < m - gap, 0, summed_up(np.exp(b - new)))

    said = f"blocks of about {size} whose largest entry is more than {gap:g} below the maximum are left out"
    yield Model("sum.omits", said, _blocked(questions, work, merge, lambda _: size))


def _blocked(
    questions: Questions, work: np.dtype[Any], merge: Merge, size_of: Callable[[int], int | None]
) -> Predict:
    def predict(x: Floats) -> Floats:
        z = x.astype(work)
        size = size_of(z.shape[1]) or z.shape[1]
        largest = np.full_like(z[:, :1], -np.finfo(work).max)
        summed = np.zeros_like(largest)
        with np.errstate(all="ignore"):
            for number, start in enumerate(range(0, z.shape[1], size)):
                block = z[:, start : start + size]
                new = np.maximum(largest, block.max(axis=-1, keepdims=True))
                summed = merge(summed, largest, new, block, number)
                largest = new
            return questions.rounded((np.exp(z - largest) / summed).astype(np.float64))

    return predict
