"""Models that go through a row in blocks and join them wrongly, or leave some out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Floats, Model, Predict, summed_up, top
from harness.explanation.questions import Questions

__all__ = ["of_blocks"]

PROBED: Final = 330
"""Entries of the rows to which every size of a block is fitted."""

ROWS: Final = 8
SCANNED: Final = 640
"""Entries of the rows that show from what gap on blocks are passed over, and how long the first is."""

BLOCKS: Final = 64
"""Of longer rows there are so many blocks, where these are not of the size that is seen in shorter ones."""

Merge = Callable[[Any, Any, Any, Any, int], Any]
"""The new sum, from the sum, the maximum, the new maximum, a block, and the number of the block."""


def of_blocks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield merges of blocks that rescale wrongly, and blocks that are passed over."""
    x, y = _probe(questions, PROBED)
    if not np.isnan(y).all() and not _alike(
        questions, y, _blocked(questions, work, _rescaled, lambda n: n)(x)
    ):
        for sentence, merge in _merges():
            sizes = (s for s in range(2, PROBED) if _fits(questions, work, merge, s, (x, y)))
            if (size := next(sizes, None)) is not None:
                predict = _blocked(questions, work, merge, _Sizes(questions, work, merge, size))
                yield Model("sum.not_rescaled", sentence.format(size), predict)
    yield from _of_skipped(questions, work)


def _probe(questions: Questions, length: int) -> tuple[Floats, Floats]:
    """Return rows whose maxima rise and fall from block to block, with their outputs."""
    generator = np.random.default_rng(length)
    x = questions.held(generator.normal(0, 2, (ROWS, length)))
    return x, questions.ask(x)


def _fits(
    questions: Questions, work: np.dtype[Any], merge: Merge, size: int, probe: tuple[Floats, Floats]
) -> bool:
    x, y = probe
    first = _blocked(questions, work, merge, lambda _: size)(x[:1])
    if not _alike(questions, y[:1], first):
        return False
    return _alike(questions, y, _blocked(questions, work, merge, lambda _: size)(x))


def _alike(questions: Questions, y: Floats, other: Floats) -> bool:
    loose = 64 * 2.0**-questions.out.precision
    least = float(questions.out.smallest_normal)
    return bool((np.abs(y - other) <= loose * np.abs(other) + least).all())


class _Sizes:
    """The entries of a block by the length of rows: as seen, or a share of long rows where these show it."""

    def __init__(self, questions: Questions, work: np.dtype[Any], merge: Merge, size: int) -> None:
        self._asked = questions, work, merge
        self._size = size
        self._known: dict[int, int] = {}

    def __call__(self, length: int) -> int:
        """Return the entries of a block."""
        share = length // BLOCKS
        if length <= PROBED or share <= self._size:
            return self._size
        if length not in self._known:
            fits = _fits(*self._asked, share, _probe(self._asked[0], length))
            self._known[length] = share if fits else self._size
        return self._known[length]


def _rescaled(s: Any, m: Any, new: Any, b: Any, _number: int) -> Any:
    """Return the right sum."""
    return s * np.exp(m - new) + summed_up(np.exp(b - new))


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
    questions: Questions, work: np.dtype[Any], merge: Merge, size_of: Callable[[int], int]
) -> Predict:
    def predict(x: Floats) -> Floats:
        z = x.astype(work)
        size = size_of(z.shape[1])
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
