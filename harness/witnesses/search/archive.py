"""The best rows found so far, the best of each kind: one elite for each niche.

Keeping only the best rows of all would end in one corner; a niche is a place where errors arise
for a reason of its own (Mouret and Clune, *Illuminating search spaces by mapping elites*, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.witnesses.search.mutations import Ordinals, Parents
from strategies.words import Words

__all__ = ["Archive", "niches"]

Floats = NDArray[np.float64]
Elements = NDArray[np.intp]

_MANTISSA_BITS: Final = 8
"""Leading mantissa bits of d that tell niches apart."""


def niches(values: Floats, elements: Elements) -> Ordinals:
    """Return each row's niche: exponent and leading mantissa bits of d = max - x at its worst element.

    Args:
        values: rows of shape (k, n).
        elements: the worst element of each.
    """
    worst = values[np.arange(len(values)), elements]
    with np.errstate(over="ignore"):
        distance = np.asarray(values.max(axis=1) - worst)
    return distance.view(np.int64) >> (52 - _MANTISSA_BITS)


@dataclass(frozen=True)
class Archive:
    """Elites, the best first.

    Attributes:
        rows: their ordinals, shape (elites, n).
        scores: of each.
        niches: of each; no two are equal.
        elements: the worst element of each.
        most: the most elites kept.
    """

    rows: Ordinals
    scores: Floats
    niches: Ordinals
    elements: Elements
    most: int

    @classmethod
    def empty(cls, length: int, most: int) -> Archive:
        """Return an archive of rows of a length, without any."""
        none = np.empty(0, dtype=np.int64)
        return cls(np.empty((0, length), dtype=np.int64), np.empty(0), none, none, most)

    def joined(self, rows: Ordinals, scores: Floats, places: Ordinals, elements: Elements) -> Archive:
        """Return the archive with those rows added that are the best of their niche; of equals the new.

        Rows that score -inf are never kept.
        """
        everyone = np.concatenate([scores, self.scores])
        where = np.concatenate([places, self.niches])
        kept = _best_of_each(everyone, where)[: self.most]
        kept = kept[everyone[kept] > -np.inf]
        return Archive(
            np.concatenate([rows, self.rows])[kept],
            everyone[kept],
            where[kept],
            np.concatenate([elements, self.elements])[kept],
            self.most,
        )

    def parents(self, words: Words, count: int) -> Parents:
        """Return parents drawn with repetition; the better an elite, the oftener."""
        chosen, mates = self._ranks(words, count), self._ranks(words, count)
        return Parents(self.rows[chosen], self.elements[chosen], self.rows[mates])

    def _ranks(self, words: Words, count: int) -> Ordinals:
        """Draw ranks log-uniform: below a power of two that is drawn first."""
        size = len(self.scores)
        scale = words.below(size.bit_length(), (count,))
        mask = np.left_shift(np.int64(2), scale) - 1
        return np.asarray((words.below(1 << 32, (count,)) & mask) % size)


def _best_of_each(scores: Floats, where: Ordinals) -> Elements:
    """Return the index of the best of each niche, the first of equals, the best niche first."""
    order = np.lexsort((-scores, where))
    first = np.ones(order.size, dtype=np.bool_)
    first[1:] = where[order[1:]] != where[order[:-1]]
    best = order[first]
    return best[np.argsort(-scores[best], kind="stable")]
