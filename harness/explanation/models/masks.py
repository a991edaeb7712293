"""Models in which masked entries are not what they should be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Floats, Model, near, softmax_of, top
from harness.explanation.questions import Questions

__all__ = ["of_masks"]

SCANNED: Final = 320
"""Entries of the rows that show of how many masked ones in turn a block is made."""


def of_masks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield models of masks; none where the format has no infinity."""
    if not questions.format.has_infinity:
        return
    sound = softmax_of(questions, work)
    yield from _of_sentinels(questions, work)
    leak = float(questions.ask(np.asarray([[-np.inf, 0.0, 0.0]]))[0, 0])
    if 0 < leak < 1:
        said = f"a masked entry comes out as {leak:.3g}"
        yield Model("mask.leaks", said, lambda x: np.where(np.isneginf(x), leak, sound(x)))
    if math.isnan(leak):
        yield Model(
            "mask.poisons",
            "a masked entry makes the whole row NaN",
            lambda x: np.where(np.isneginf(x).any(axis=1, keepdims=True), np.nan, sound(x)),
        )
    yield Model(
        "mask.counted",
        "a masked entry counts as a logit of 0, and its output alone is made 0",
        lambda x: np.where(np.isneginf(x), 0, sound(np.where(np.isneginf(x), 0, x))),
    )
    for width in (1, 4, 8, 16, 32, 64, 128):
        said = f"the mask is applied by whole vectors of {width}: in the last n mod {width} entries it is not"
        yield Model(
            "mask.ignored",
            said if width > 1 else "masked entries are taken for logits of 0",
            softmax_of(questions, work, begin=lambda z, width=width: _unmasked(z, width)),
        )
    yield Model(
        "mask.leaks",
        "where one entry is not masked, all outputs are 1 / n",
        lambda x: np.where(
            (~np.isneginf(x)).sum(axis=1, keepdims=True) == 1,
            questions.rounded(np.full((1, 1), 1 / x.shape[1])),
            sound(x),
        ),
    )
    yield from _of_blocks(questions, work)


def _unmasked(z: Any, width: int) -> Any:
    n = z.shape[-1]
    tail = np.arange(n) >= (n // width * width if width > 1 else 0)
    return np.where(np.isneginf(z) & tail, 0, z)


def _of_sentinels(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    largest = float(questions.format.largest)
    grid = np.unique(questions.held(-np.append(np.geomspace(100, largest / 2, 400), largest)))[::-1]
    y = questions.ask(np.column_stack([np.full_like(grid, -np.inf), grid]))
    wins = y[:, 0] >= 0.5
    if not wins.any():
        return
    at = int(np.flatnonzero(wins)[0])
    if at == len(grid) - 1:
        sentinel, named = -float(np.finfo(work).max), "the lowest number"
    else:
        fine = questions.held(-np.geomspace(-grid[max(at - 1, 0)], -grid[at], 400))
        loses = questions.ask(np.column_stack([np.full_like(fine, -np.inf), fine]))[:, 0] <= 0.5
        sentinel = near(float(fine[loses].min()) if loses.any() else float(grid[at]))
        named = f"about {sentinel:g}"
    yield Model(
        "mask.sentinel",
        f"{named} stands for -inf",
        softmax_of(questions, work, begin=lambda z: np.where(np.isneginf(z), z.dtype.type(sentinel), z)),
    )


def _of_blocks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield rows that are NaN where a whole block is masked, of the size that rows masked from 0 on show."""
    sound = softmax_of(questions, work)
    sizes: dict[int, int | None] = {}

    def size_of(length: int) -> int | None:
        if length not in sizes:
            most = min(length, SCANNED) - 1
            x = np.where(np.arange(length) < np.arange(1, most + 1)[:, None], -np.inf, 0.0)
            lost = np.isnan(questions.ask(x)).any(axis=1) if most > 0 else np.zeros(0, dtype=np.bool_)
            sizes[length] = int(np.flatnonzero(lost)[0]) + 1 if lost.any() else None
        return sizes[length]

    size = size_of(SCANNED)
    if size is None or size == 1:
        return

    def predict(x: Floats) -> Floats:
        own = size_of(x.shape[1]) or size
        hidden = np.isneginf(x)
        blocks = [hidden[:, i : i + own].all(axis=1) for i in range(0, x.shape[1], own)]
        return np.where(np.logical_or.reduce(blocks)[:, None], np.nan, sound(x))

    said = f"a block of {size} that is masked as a whole makes the row NaN"
    yield Model("mask.poisons", said, predict)
    alone = softmax_of(questions, work, shift=top)
    first = _first_block_alone(size)
    yield Model(
        "mask.poisons",
        f"the first block of {size}, masked as a whole, makes the row NaN",
        lambda x: np.where(first(x), np.nan, alone(x)),
    )


def _first_block_alone(size: int) -> Any:
    return lambda x: np.isneginf(x[:, :size]).all(axis=1, keepdims=True) & (x.shape[1] > size)
