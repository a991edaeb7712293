"""A scan of pairs and triples: all distances from the maximum, the greatest a-priori bounds first.

Where the maximum is subtracted, an error is at most the bound, and it comes near where max - x lies halfway
between two numbers: at the ends of a rounding interval. So a row stands for each rounded distance z (two for
a triple) and each side: one whose exact distances are z + h or z - h, h half an ulp of z. The bounds of such
rows decide the order. Cells of distances are halved again and again, and the half of them with the lower
bounds is left out, until a cell is one distance. Of another kind of softmax the order means less, and half
of the evaluations are left to evolution.

Which place of a cell stands for it: an error in ULP doubles where the result falls below a power of two, and
shrinks from there as the result does. So the bound is greatest just behind such a place: one within the cell
is seen from the end of the cell, for the distance of the result itself. The result grows with the distance of
the other entry, so for that one it is seen from the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Rows
from harness.subject.subject import Subject
from harness.witnesses.search.mutations import Ordinals, values_of
from reference.formats import FloatFormat
from reference.model import Method
from reference.ops import SOFTMAX
from strategies.thresholds import log_smallest_subnormal

__all__ = ["LONGEST_SCANNED", "Scan"]

Floats = NDArray[np.float64]

LONGEST_SCANNED: Final = 3

_LEAST_CELLS: Final = 1 << 13
_MOST_CELLS: Final = 1 << 17
"""The least and the greatest number of cells at first. Half as many are kept."""

_CELLS_A_DISTANCE: Final = 64
"""Cells at first for each distance that is asked for."""

_BELOW: Final = 2
"""Binades below an ulp of 1 at which distances begin."""

_OTHERS: Final = 16
"""How much wider the first cells are in the distance of the other entry."""


@dataclass(frozen=True)
class Scan:
    """The rows of a subject, of 2 or 3 entries, in the order of their bounds.

    Attributes:
        lowest, highest: the least and the greatest ordinal of an entry; other rows are left out.
    """

    subject: Subject
    length: int
    lowest: int
    highest: int

    @property
    def exists(self) -> bool:
        """Whether the subject and the length are such that there is anything to scan."""
        return self.subject.op is SOFTMAX and 2 <= self.length <= LONGEST_SCANNED

    def batches(self, most: int, at_once: int) -> Iterator[Ordinals]:
        """Yield at most so many rows, shape (k, n), at most `at_once` in a batch."""
        sides = list(product((1.0, -1.0), repeat=self.length - 1))
        subject = self.subject
        distances = _distances(
            subject.format, subject.out, self.length, -(-most // len(sides)), subject.reference
        )
        step = max(1, at_once // len(sides))
        left = most
        for start in range(0, len(distances), step):
            part = distances[start : start + step]
            rows = np.concatenate([_rows(subject.format, part, np.array(side)) for side in sides])[:left]
            rows = rows[((self.lowest <= rows) & (rows <= self.highest)).all(axis=1)]
            left -= len(rows)
            if len(rows):
                yield rows


@lru_cache(maxsize=8)
def _distances(fmt: FloatFormat, out: FloatFormat, length: int, most: int, method: Method) -> Ordinals:
    """Return the ordinals of distances, shape (k, n - 1), those with the greatest bounds first.

    They run from one of which exp is 1 to one of which it is 0. Of triples every second of the first
    entry is left out: a halfway place next to an odd ordinal rounds to an even one, and between the two
    lies no number that max - x can be. They are the same for every candidate, so they are kept.
    """
    near = max(2.0 ** -(fmt.precision + _BELOW), 2 * float(fmt.smallest_subnormal))
    far = min(-2 * log_smallest_subnormal(fmt), float(fmt.largest))
    least, top = _ordinals(fmt, np.array([near, far])).tolist()
    most_cells = min(max(_CELLS_A_DISTANCE * most, _LEAST_CELLS), _MOST_CELLS)
    cells, strides = _first_cells(least - least % 2, top, length - 1, most_cells)
    last = [1] if length == 2 else [2, 1]
    while True:
        seen_from = np.array([strides[0] - last[0], *[0] * (len(strides) - 1)], dtype=np.int64)
        bounds = _bounds(fmt, out, np.minimum(cells + seen_from, top), method)
        is_last = strides == last
        kept = min(most if is_last else most_cells // 2, len(cells))
        cells = cells[np.argsort(-bounds, kind="stable")[:kept]]
        if is_last:
            cells.flags.writeable = False
            return cells
        widest = int(np.argmax(np.array(strides) // last))
        strides[widest] //= 2
        beside = cells.copy()
        beside[:, widest] += strides[widest]
        cells = np.concatenate([cells, beside[beside[:, widest] <= top]])


def _bounds(fmt: FloatFormat, out: FloatFormat, distances: Ordinals, method: Method) -> Floats:
    rows = _rows(fmt, distances, np.ones(distances.shape[1]))
    rows = np.clip(rows, -fmt.largest_ordinal, fmt.largest_ordinal)
    x = fmt.from_bits(fmt.from_ordinals(rows))
    bounds = Rows.of(fmt, x, out, method=method).standard_bounds
    return np.asarray(np.nan_to_num(bounds, nan=-1.0).max(axis=1))


def _rows(fmt: FloatFormat, distances: Ordinals, side: Floats) -> Ordinals:
    """Return rows (max, x, ...) whose exact distances are at one end of what rounds to those given.

    The maximum lies where max - x can be exact: close to 0 in a pair; in a triple close to the other
    entry's distance, so that this entry is close to 0 and has many bits below. A halfway place next to an
    odd ordinal is a tie that goes to the even one, so the row has the next number on the odd one's side.
    """
    z = values_of(fmt, distances)
    exponent = np.frexp(z)[1] - 1
    half = np.ldexp(1.0, np.maximum(exponent, fmt.emin) - fmt.precision)
    if distances.shape[1] == 1:
        half = np.where(distances % 2 == 0, half, half * (1 - 2.0**-fmt.precision))
        return _ordinals(fmt, np.concatenate([side * half, -z], axis=1))
    exact = z + side * half
    first = values_of(fmt, _ordinals(fmt, exact[:, 1] - exact[:, 0]))
    top = exact[:, 0] + first
    rows = _ordinals(fmt, np.stack([top, first, top - exact[:, 1]], axis=1))
    rows[:, 2] += np.where(distances[:, 1] % 2 == 0, 0, side[1]).astype(np.int64)
    return rows


def _first_cells(least: int, top: int, dimensions: int, most: int) -> tuple[Ordinals, list[int]]:
    """Return the starts of at most so many cells of the ordinals from `least` to `top`, and their widths."""
    width, count = 2, top - least + 1
    while -(-count // width) * (-(-count // (_OTHERS * width)) if dimensions > 1 else 1) > most:
        width *= 2
    strides = [width, *[_OTHERS * width] * (dimensions - 1)]
    starts = [np.arange(least, top + 1, stride, dtype=np.int64) for stride in strides]
    return np.stack([axis.ravel() for axis in np.meshgrid(*starts, indexing="ij")], axis=1), strides


def _ordinals(fmt: FloatFormat, values: Floats) -> Ordinals:
    largest = float(fmt.largest)
    return fmt.ordinals(fmt.to_bits(fmt.from_float64(np.clip(values, -largest, largest))))
