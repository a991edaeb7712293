"""What a fused kernel does to a row before its op: a scale, a sink and a mask.

The exact result is that of the row s x, with one more logit a, the sink, which has no output: its
exponential is added to the sum, and that is all. A masked entry counts as -inf does, whatever the scale; the
kernel is handed garbage in its place. So the truth of a fused row is that of another row, its `exact_rows`.

A scale below 0 turns the row round: s x = |s| (-x).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PLAIN", "Exact", "Fused", "exact_product", "fused_of", "two_prod"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Exact = float | Fraction
"""A logit held exactly: a float64, or a product of two that is none. Its denominator is a power of two."""
_SPLITTER: Final = 2.0**27 + 1
_FAR: Final = 2.0**900
"""Products from 1 / it up to it neither overflow nor lose bits to underflow, nor do those of their halves."""

_LARGEST_SCALE: Final = 2.0**100
_NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_SPELLED: Final = re.compile(rf"(?:scale=({_NUMBER}))?(?:(?:^|, )sink=({_NUMBER}))?(?:(?:^|, )(mask))?")


@dataclass(frozen=True)
class Fused:
    """The settings of a fused kernel.

    Attributes:
        scale: s, from 2^-100 to 2^100 in size.
        sink: a, finite; None for no sink.
        mask: whether a boolean array says which entries count.
    """

    scale: float = 1.0
    sink: float | None = None
    mask: bool = False

    def __post_init__(self) -> None:
        """Refuse settings of no exact result.

        Raises:
            ValueError: the scale or the sink is out of range.
        """
        if not 1 / _LARGEST_SCALE <= abs(self.scale) <= _LARGEST_SCALE:
            raise ValueError(f"scale {self.scale!r}: it is a number from 2^-100 to 2^100, or minus that")
        if self.sink is not None and not math.isfinite(self.sink):
            raise ValueError(f"sink {self.sink!r}: it is a finite number; leave it out where there is none")

    def __bool__(self) -> bool:
        """Whether there is any setting."""
        return self != PLAIN

    def __str__(self) -> str:
        """Spell the settings as `fused_of` reads them: `scale=0.125, sink=0.0, mask`."""
        parts = [f"scale={self.scale!r}"] if self.scale != 1 else []
        parts += [] if self.sink is None else [f"sink={self.sink!r}"]
        return ", ".join([*parts, "mask"] if self.mask else parts)

    @property
    def moves(self) -> bool:
        """Whether there is a scale or a sink: a mask alone leaves logits what they are."""
        return self.scale != 1 or self.sink is not None

    def shape(self, logits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of logits (..., n) with their sink."""
        return (*logits[:-1], logits[-1] + (self.sink is not None))

    @property
    def size(self) -> float:
        """|s|, which multiplies what `turned` returns."""
        return abs(self.scale)

    def turned(self, x: Floats) -> Floats:
        """Return the row that |s| multiplies: x, or -x; a masked entry stays -inf."""
        if self.scale > 0:
            return x
        return np.where(x == -np.inf, -np.inf, -x) if self.mask else -x

    def floats(self, x: Floats) -> tuple[Floats, Flags]:
        """Return s x of (rows, n) logits as float64, a sink appended, and in which rows all of it is exact.

        Elsewhere products are rounded, to nearest.
        """
        turned = self.turned(x)
        product, exact = exact_product(self.size, turned)
        if self.sink is not None:
            product = np.concatenate([product, np.full((len(x), 1), self.sink)], axis=1)
        return np.ascontiguousarray(product), np.asarray(exact.all(axis=1))

    def exact_rows(self, x: Floats) -> Iterator[list[Exact]]:
        """Yield each row of s x, its sink at the end, in exact numbers; NaN and infinities as they are.

        The numbers of a row are all of one kind, floats or fractions: differences of the two are rounded.
        """
        is_scaled, scale = self.size != 1, Fraction(self.size)
        sink = [] if self.sink is None else [Fraction(self.sink) if is_scaled else self.sink]
        for row in self.turned(x).tolist():
            yield [scale * Fraction(v) if is_scaled and math.isfinite(v) else v for v in row] + sink

    def without_sink(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what was made of rows with their sink, shape (rows, n + 1), without it: (rows, n)."""
        return values if self.sink is None else np.ascontiguousarray(values[:, :-1])


PLAIN: Final = Fused()
"""No settings."""


def fused_of(text: str) -> Fused:
    """Return the settings that `str` spells.

    Raises:
        ValueError: it spells none.
    """
    found = _SPELLED.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"settings {text!r}: they read as scale=0.125, sink=0.0, mask, in this order")
    scale, sink, mask = found.groups()
    return Fused(float(scale or 1), None if sink is None else float(sink), mask is not None)


def exact_product(scale: float, x: Floats) -> tuple[Floats, Flags]:
    """Return scale x rounded to float64, scale > 0, and where that is exact; infinities are, and NaN."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        product, rest = two_prod(scale, x)
        size = np.abs(product)
        exact = (rest == 0) & (size >= 1 / _FAR) & (size <= _FAR) & (np.abs(x) <= _FAR) & (scale <= _FAR)
        if math.frexp(scale)[0] == 0.5:  # a power of two: exact unless bits are lost at the bottom
            exact |= np.isfinite(product) & (product / scale == x)
        return product, np.asarray(exact | (x == 0) | ~np.isfinite(x) | (scale == 1))


def two_prod(a: Any, b: Any) -> tuple[Floats, Floats]:
    """Return (p, e), p = fl(a b) and p + e = a b exactly, barring over- and underflow (Dekker, 1971)."""
    p = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Any) -> tuple[Any, Any]:
    """Return the upper and the lower half of the bits of a (Veltkamp, 1968)."""
    c = _SPLITTER * a
    high = c - (c - a)
    return high, a - high
