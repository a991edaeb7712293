"""Models that go through a row in blocks and join them wrongly, or leave some out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Floats, Model, Predict, summed_up, top
from harness.explanation.questions import Questions

__all__ = ["of_blocks"]

PROBED: Final = (((330, 257, 119), range(1, 330)), ((1030, 777), range(100, 777)))
"""Lengths of the rows to which sizes of a block are fitted, and the sizes; the longer where no shorter shows.

At the second and third lengths blocks end elsewhere than at the first.
"""

ROWS: Final = 24
LOOSE: Final = 64
"""Units of the last place that outputs may be off those of the right blocks, by other orders of additions."""

GROSS: Final = 1 / 8
"""The least share by which outputs are off where blocks are merged wrongly, in the worst row."""

SCANNED: Final = 640
"""Entries of the rows that show from what gap on blocks are passed over, and how long the first is."""

BLOCKS: Final = 64
"""Of longer rows there are so many blocks, where these are not of the size that is seen in shorter ones."""


@dataclass(frozen=True)
class Block:
    """A block of a row, where it is merged into what is known of those before it.

    Attributes:
        entries: of the block, of each row.
        before, now: the maximum before it, and with it.
        number, last: its number, from 0 on, and that of the last one.
    """

    entries: Any
    before: Any
    now: Any
    number: int
    last: int

    @property
    def shift(self) -> Any:
        """What the sum so far is to be multiplied by."""
        return np.exp(self.before - self.now)

    @property
    def share(self) -> Any:
        """What the block is to add."""
        return summed_up(np.exp(self.entries - self.now))


@dataclass(frozen=True)
class Way:
    """A wrong way to go through a row in blocks.

    Attributes:
        code, sentence: of the cause; the sentence takes the entries of a block.
        merge: the new sum, from the sum and a block.
        subtracted: what is subtracted in the numerators of a block; None for the maximum of the row.
    """

    code: str
    sentence: str
    merge: Callable[[Any, Block], Any]
    subtracted: Callable[[Block], Any] | None = None


def of_blocks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield merges of blocks that rescale wrongly, and blocks that are passed over."""
    for lengths, sizes in PROBED:
        probes = [_probe(questions, n) for n in lengths]
        x, y = probes[0]
        if not np.isfinite(y).any():
            break
        right = _blocked(questions, work, RIGHT, lambda n: n)(x)
        off = np.abs(y - right) / (right + 64 * float(questions.out.smallest_normal))
        off = np.nan_to_num(off, nan=np.inf).max(axis=1)
        if off.max() > max(GROSS, 4 * 2.0**-questions.out.precision):
            if _is_the_same_in_another_order(questions, x, y):
                break
            first = off.argsort()[::-1]  # the row that is off most refutes most sizes
            yield from _of_ways(questions, work, [(x[first], y[first]), *probes[1:]], sizes)
            break
    yield from _of_skipped(questions, work)


def _is_the_same_in_another_order(questions: Questions, x: Floats, y: Floats) -> bool:
    """Tell whether the outputs of rows do not depend on the order of their entries, as those of blocks do."""
    order = np.random.default_rng(0).permutation(x.shape[1])
    return _alike(questions, y[:, order], questions.ask(x[:, order]))


def _of_ways(
    questions: Questions, work: np.dtype[Any], probes: Sequence[tuple[Floats, Floats]], sizes: range
) -> Iterator[Model]:
    for way in _ways():
        misfits = {s: _misfit(questions, work, way, s, probes) for s in sizes}
        size = min(misfits, key=misfits.__getitem__)
        if misfits[size] < 1:
            size_of = _Sizes(questions, work, way, size)
            for lowest in (None, -np.inf):
                predict = _blocked(questions, work, way, size_of, lowest)
                yield Model(way.code, way.sentence.format(size), predict)


def _probe(questions: Questions, length: int) -> tuple[Floats, Floats]:
    """Return rows whose maxima rise and fall from block to block, with their outputs."""
    generator = np.random.default_rng(length)
    x = questions.held(generator.normal(0, 2, (ROWS, length)))
    return x, questions.ask(x)


def _misfit(
    questions: Questions,
    work: np.dtype[Any],
    way: Way,
    size: int,
    probes: Sequence[tuple[Floats, Floats]],
) -> float:
    """Return by how much outputs are off what blocks of a size give, at most 1 where it may be those."""
    predict = _blocked(questions, work, way, lambda _: size)
    x, y = probes[0]
    if not _alike(questions, y[:1], predict(x[:1])):  # most sizes need no more rows
        return np.inf
    return max(_apart(questions, y, predict(x)) for x, y in probes)


def _alike(questions: Questions, y: Floats, other: Floats) -> bool:
    return _apart(questions, y, other) < 1


def _apart(questions: Questions, y: Floats, other: Floats) -> float:
    """Return the largest difference as a share of what roundings may make; infinite where one is NaN."""
    loose = LOOSE * 2.0**-questions.out.precision
    apart = np.abs(y - other) / (loose * np.abs(other) + float(questions.out.smallest_normal))
    return float(np.nan_to_num(apart, nan=np.inf).max())


class _Sizes:
    """The entries of a block by the length of rows: as seen, or a share of long rows where these show it."""

    def __init__(self, questions: Questions, work: np.dtype[Any], way: Way, size: int) -> None:
        self._asked = questions, work, way
        self._size = size
        self._known: dict[int, int] = {}

    def __call__(self, length: int) -> int:
        """Return the entries of a block."""
        share = length // BLOCKS
        if share <= self._size:
            return self._size
        if length not in self._known:
            fits = _misfit(*self._asked, share, [_probe(self._asked[0], length)]) < 1
            self._known[length] = share if fits else self._size
        return self._known[length]


def _rescaled(s: Any, block: Block) -> Any:
    """Return the right sum."""
    return s * block.shift + block.share


def _stale(block: Block) -> Any:
    """Return the maximum before a block; its own of the first one, which has none before it."""
    return block.before if block.number else block.now


RIGHT: Final = Way("", "", _rescaled)


def _ways() -> Iterator[Way]:
    for said, merge in (
        ("without rescaling the sum so far", lambda s, b: s + b.share),
        ("with the rescaling inverted", lambda s, b: (s / b.shift if b.number else 0) + b.share),
        ("with the rescaling twice", lambda s, b: s * b.shift**2 + b.share),
        (
            "by their own maxima, and are not rescaled",
            lambda s, b: s * b.shift + summed_up(np.exp(b.entries - top(b.entries))),
        ),
        (
            "by the maximum before them",
            lambda s, b: s * b.shift + summed_up(np.exp(b.entries - _stale(b))),
        ),
        (
            "by the maximum before them, and then rescaled together with the sum so far",
            lambda s, b: (s + summed_up(np.exp(b.entries - _stale(b)))) * (b.shift if b.number else 1),
        ),
        (
            "without rescaling the sum so far, except after the first",
            lambda s, b: (s * b.shift if b.number == 1 else s) + b.share,
        ),
        (
            "without rescaling the sum so far when the last one is added",
            lambda s, b: (s if 0 < b.number == b.last else s * b.shift) + b.share,
        ),
    ):
        yield Way("sum.not_rescaled", f"blocks of {{}} are added {said}", merge)
    for said, subtracted in (
        ("the maximum so far", lambda b: b.now),
        ("their own maximum", lambda b: top(b.entries)),
    ):
        sentence = f"blocks of {{}} subtract {said} from their numerators, not that of the row"
        yield Way("max.stale", sentence, _rescaled, subtracted)


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
    unsure = 2 * 2.0**-questions.out.precision * np.exp(gaps)
    size = _size_near(float(terms[few[0]]) + 1, float(unsure[few[0]]))
    if size < 2 or not (np.abs(terms[few] + 1 - size) <= 0.1 * size + unsure[few]).all():
        return

    def merge(s: Any, b: Block) -> Any:
        return s * b.shift + np.where(top(b.entries) < b.before - gap, 0, b.share)

    said = f"blocks of about {size} whose largest entry is more than {gap:g} below the maximum are left out"
    way = Way("sum.omits", said, merge)
    yield Model(way.code, said, _blocked(questions, work, way, lambda _: size))


def _size_near(value: float, within: float) -> int:
    """Return the power of two that is near enough; else the nearest whole number."""
    power = 1 << round(math.log2(max(value, 1)))
    return power if abs(power - value) <= within else round(value)


def _blocked(
    questions: Questions,
    work: np.dtype[Any],
    way: Way,
    size_of: Callable[[int], int],
    lowest: float | None = None,
) -> Predict:
    """Return what goes through rows in blocks; the maximum starts at the lowest number, or at another."""

    def predict(x: Floats) -> Floats:
        z = x.astype(work)
        size = size_of(z.shape[1])
        largest = np.full_like(z[:, :1], -np.finfo(work).max if lowest is None else lowest)
        summed = np.zeros_like(largest)
        numerators = []
        with np.errstate(all="ignore"):
            starts = range(0, z.shape[1], size)
            for number, start in enumerate(starts):
                entries = z[:, start : start + size]
                block = Block(entries, largest, np.maximum(largest, top(entries)), number, len(starts) - 1)
                summed, largest = way.merge(summed, block), block.now
                if way.subtracted is not None:
                    numerators.append(np.exp(entries - way.subtracted(block)))
            e = np.concatenate(numerators, axis=1) if numerators else np.exp(z - largest)
            return questions.rounded((e / summed).astype(np.float64))

    return predict
