"""Choices drawn through Hypothesis, so that rows of a regime shrink.

A smaller choice is a simpler row: zeros, equal entries, short significands. An array is one
value throughout, or drawn entry by entry while it is short. That would exhaust Hypothesis's
buffer for a long one, and the fill of `extra.numpy.arrays` leaves it about a dozen distinct
values; so a long one is a few drawn values laid out by a seed, or drawn in bulk from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from reference.formats import FloatFormat
from strategies.source import F64, I64, Shape, Source
from strategies.words import Words

__all__ = ["Examples", "example_rows"]

Array = NDArray[Any]
Strategy = st.SearchStrategy[Any]
DrawFn = Callable[[Strategy], Any]

_ENTRY_BY_ENTRY: Final = 32
"""The longest array that is drawn entry by entry."""

_FEW: Final = 6
"""How many distinct values a laid-out array has at most."""

_NORMAL_REACH: Final = 6.0

_CONSTANT, _FEW_VALUES, _BULK = range(3)
_KINDS: Final = st.sampled_from((_CONSTANT, *[_FEW_VALUES] * 3, _BULK))
"""Mostly few values: what goes wrong with them shrinks to them, while bulk cannot shrink."""


def example_rows(
    draw_rows: Callable[[Source, FloatFormat, int, int], Array], fmt: FloatFormat, length: int
) -> st.SearchStrategy[Array]:
    """Return the strategy of one row (length,) made by a regime's `draw` out of Hypothesis's choices."""

    @st.composite
    def row(draw: DrawFn) -> Array:
        drawn: Array = draw_rows(Examples(draw), fmt, 1, length)[0]
        return drawn

    return row()


class Examples(Source):
    """A source of choices inside a Hypothesis composite strategy."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def uniform(self, shape: Shape) -> F64:
        """Return multiples of 2^-53 in [0, 1), shrinking to 0."""
        one = st.floats(0.0, 1.0, exclude_max=True).map(lambda u: np.floor(u * 2.0**53) * 2.0**-53)
        return self._array(one, shape, Words.uniform).astype(np.float64)

    def normal(self, shape: Shape) -> F64:
        """Return values in [-6, 6], shrinking to 0; evenly spread, not normally."""
        one = st.floats(-_NORMAL_REACH, _NORMAL_REACH)
        return self._array(one, shape, Words.normal).astype(np.float64) + 0.0

    def below(self, bound: ArrayLike, shape: Shape) -> I64:
        """Return integers in [0, bound), shrinking to 0."""
        limits = np.broadcast_to(np.asarray(bound, dtype=np.int64), shape)
        smallest = int(limits.min())
        one = st.integers(0, smallest - 1)
        if smallest == int(limits.max()):
            return self._array(one, shape, lambda words, s: words.below(smallest, s)).astype(np.int64)
        each = [self._draw(st.integers(0, int(limit) - 1)) for limit in limits.ravel()]
        return np.array(each, dtype=np.int64).reshape(shape)

    def _array(self, one: Strategy, shape: Shape, bulk: Callable[[Words, Shape], Array]) -> Array:
        kind = self._draw(_KINDS) if prod(shape) > 1 else _CONSTANT
        if kind == _CONSTANT:
            return np.full(shape, self._draw(one))
        if prod(shape) <= _ENTRY_BY_ENTRY:
            return np.array([self._draw(one) for _ in range(prod(shape))]).reshape(shape)
        if kind == _BULK:
            return bulk(self._words("bulk"), shape)
        few = np.array(self._draw(st.lists(one, min_size=2, max_size=_FEW)))
        return few[self._words("layout").below(few.size, shape)]

    def _words(self, purpose: str) -> Words:
        return Words((purpose, self._draw(st.integers(0, 2**32 - 1))))
