"""How rows are changed: small steps and great leaps among the finite numbers of a format.

Rows are arrays of ordinals (`FloatFormat.ordinals`), in which the finite numbers are the integers
-largest..largest in the order of their values: a step of k there is a step of k ulps.
All choices come from raw generator words, and floating-point operations are IEEE-exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.words import Words

__all__ = ["MUTATIONS", "Breeder", "Ordinals", "Parents", "moved", "values_of"]

Ordinals = NDArray[np.int64]
Floats = NDArray[np.float64]

_FEW: Final = 4
"""The most ulps of a small step."""

_FOCUS: Final = 4
"""One change in so many is made to the worst element, and as many to the maximum."""


def values_of(fmt: FloatFormat, ordinals: Ordinals) -> Floats:
    """Return the values of ordinals."""
    return fmt.to_float64(fmt.from_bits(fmt.from_ordinals(ordinals)))


def moved(fmt: FloatFormat, ordinals: Ordinals, steps: Ordinals) -> Ordinals:
    """Return the ordinals some steps away, stopped at the largest finite numbers."""
    highest = np.iinfo(np.int64).max
    safe = np.clip(steps, -highest - np.minimum(ordinals, 0), highest - np.maximum(ordinals, 0))
    return np.asarray(np.clip(ordinals + safe, -fmt.largest_ordinal, fmt.largest_ordinal))


def _nearest_ordinals(fmt: FloatFormat, values: Floats) -> Ordinals:
    """Return the ordinals of the finite numbers nearest to values."""
    largest = float(fmt.largest)
    return fmt.ordinals(fmt.to_bits(fmt.from_float64(np.clip(values, -largest, largest))))


@dataclass(frozen=True)
class Parents:
    """Rows to make children of, in random order.

    Attributes:
        rows: shape (k, n).
        worst: the worst element of each.
        mates: rows to cross them with, of the same shape.
    """

    rows: Ordinals
    worst: NDArray[np.intp]
    mates: Ordinals

    def part(self, chosen: slice) -> Parents:
        """Return some of them."""
        return Parents(self.rows[chosen], self.worst[chosen], self.mates[chosen])


@dataclass(frozen=True)
class Breeder:
    """Makes children of rows, mutation by mutation.

    Attributes:
        fmt: the format of the rows.
        words: where choices come from.
    """

    fmt: FloatFormat
    words: Words

    def children(self, parents: Parents) -> Ordinals:
        """Return one child of each; the mutations take equal shares of the parents."""
        edges = (np.arange(len(MUTATIONS) + 1) * len(parents.rows) // len(MUTATIONS)).tolist()
        parts = zip(MUTATIONS, edges, edges[1:], strict=False)
        with np.errstate(over="ignore"):  # what leaves the range becomes the number at its end
            return np.concatenate(
                [mutate(self, parents.part(slice(low, high))) for mutate, low, high in parts]
            )

    def step(self, rows: Ordinals, entries: Ordinals) -> Ordinals:
        """Return the rows with one entry of each moved by a step of any size."""
        return self.placed(rows, entries, moved(self.fmt, _taken(rows, entries), self.strides(len(rows))))

    def placed(self, rows: Ordinals, entries: Ordinals, ordinals: Ordinals) -> Ordinals:
        """Return the rows with one entry of each replaced."""
        children = rows.copy()
        children[np.arange(len(rows)), entries] = ordinals
        return children

    # Choices -----------------------------------------------------------------------------

    def any_entry(self, rows: Ordinals) -> Ordinals:
        """Choose one entry of each row."""
        return self.words.below(rows.shape[1], (len(rows),))

    def entry(self, parents: Parents) -> Ordinals:
        """Choose one entry of each row, rather often its worst element or its maximum."""
        focus = self.words.below(_FOCUS, (len(parents.rows),))
        marked = np.where(focus == 0, parents.worst, parents.rows.argmax(axis=1))
        return np.where(focus < 2, marked, self.any_entry(parents.rows))

    def strides(self, count: int) -> Ordinals:
        """Choose steps of either sign, their magnitudes log-uniform up to half the ordinals."""
        exponent = self.words.below(min(self.fmt.storage_bits - 1, 62), (count,))
        word = self.words.words((count,))
        power = np.left_shift(np.int64(1), exponent)
        stride = power | ((word >> np.uint64(2)).astype(np.int64) & (power - 1))
        return np.asarray(np.where(word & np.uint64(1), stride, -stride), dtype=np.int64)

    def few_ulps(self, count: int) -> Ordinals:
        """Choose small steps."""
        return np.asarray(self.words.below(2 * _FEW + 1, (count,)) - _FEW)

    def coin(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Choose yes or no."""
        return np.asarray(self.words.below(2, shape) == 1)

    def powers(self, count: int) -> Floats:
        """Choose +-2^k over the exponents at which softmax has more than one nonzero output."""
        highest = min(self.fmt.emax, (2 - self.fmt.quantum_exponent).bit_length())
        lowest = -self.fmt.precision
        exponent = lowest + self.words.below(highest - lowest + 1, (count,))
        return np.asarray(self.words.sign((count,)) * np.ldexp(1.0, exponent))


def _taken(rows: Any, entries: Ordinals) -> Any:
    return rows[np.arange(len(rows)), entries]


# Mutations -------------------------------------------------------------------------------


def _step(breeder: Breeder, parents: Parents) -> Ordinals:
    """Move one entry by a step of any size."""
    return breeder.step(parents.rows, breeder.entry(parents))


def _two_steps(breeder: Breeder, parents: Parents) -> Ordinals:
    """Move two entries."""
    return breeder.step(_step(breeder, parents), breeder.entry(parents))


def _flip(breeder: Breeder, parents: Parents) -> Ordinals:
    """Flip one bit of one entry's encoding, where that leaves it finite."""
    fmt, entries = breeder.fmt, breeder.entry(parents)
    own = _taken(parents.rows, entries)
    bit = breeder.words.below(fmt.storage_bits, own.shape).astype(fmt.bits_dtype)
    flipped = fmt.ordinals(fmt.from_ordinals(own) ^ np.left_shift(fmt.bits_dtype.type(1), bit))
    finite = np.abs(flipped) <= fmt.largest_ordinal
    return breeder.placed(parents.rows, entries, np.where(finite, flipped, own))


def _copy(breeder: Breeder, parents: Parents) -> Ordinals:
    """Copy one entry to another place, and move it by a few ulps or none."""
    source, target = breeder.entry(parents), breeder.entry(parents)
    steps = breeder.few_ulps(len(source)) * breeder.coin(source.shape)
    return breeder.placed(parents.rows, target, moved(breeder.fmt, _taken(parents.rows, source), steps))


def _cross(breeder: Breeder, parents: Parents) -> Ordinals:
    """Take each entry from either parent."""
    return np.where(breeder.coin(parents.rows.shape), parents.mates, parents.rows)


def _power(breeder: Breeder, parents: Parents) -> Ordinals:
    """Put an entry at +-2^k and a few ulps, or that far from another entry."""
    fmt, source, target = breeder.fmt, breeder.entry(parents), breeder.entry(parents)
    origin = values_of(fmt, _taken(parents.rows, source)) * breeder.coin(source.shape)
    ordinals = _nearest_ordinals(fmt, origin + breeder.powers(len(source)))
    return breeder.placed(parents.rows, target, moved(fmt, ordinals, breeder.few_ulps(len(source))))


def _shift(breeder: Breeder, parents: Parents) -> Ordinals:
    """Add a number to every entry: one of them negated, whole or halved, or a power of two."""
    count = len(parents.rows)
    values = values_of(breeder.fmt, parents.rows)
    own = -_taken(values, breeder.entry(parents)) * np.ldexp(1.0, -breeder.words.below(2, (count,)))
    offset = np.where(breeder.coin((count,)), own, breeder.powers(count))
    return _nearest_ordinals(breeder.fmt, values + offset[:, None])


def _scale(breeder: Breeder, parents: Parents) -> Ordinals:
    """Multiply the row by 1 +- 2^-k, 0 < k <= p, by 2 or by -1."""
    fmt, count = breeder.fmt, len(parents.rows)
    tail = breeder.words.sign((count,)) * np.ldexp(1.0, -breeder.words.below(fmt.precision + 1, (count,)))
    factor = np.where(tail == -1.0, -1.0, 1.0 + tail)
    return _nearest_ordinals(fmt, values_of(fmt, parents.rows) * factor[:, None])


MUTATIONS: Final[tuple[Callable[[Breeder, Parents], Ordinals], ...]] = (
    _step,
    _step,
    _two_steps,
    _flip,
    _copy,
    _cross,
    _power,
    _shift,
    _scale,
)
"""Every mutation, as often as its share of the children."""
