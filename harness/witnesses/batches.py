"""The batch that a row was seen in, where its row alone does not show what it showed there.

Drawn rows and those of a corpus are made again with their whole batch. Of other rows the smallest part of the
batch is kept that gives the row its outputs: copies of the row itself, or those next to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat, format_named
from reports.record.witness import Batch, Witness

__all__ = ["MOST_KEPT", "Part", "seen_among", "smallest_part"]

Array = NDArray[Any]

MOST_KEPT: Final = 1 << 16
"""Entries of a batch that are kept bit by bit, at most."""


@dataclass(frozen=True)
class Part:
    """Rows of shape (k, n), and which of them is meant."""

    x: Array
    row: int

    @property
    def is_of_copies(self) -> bool:
        """Whether every row is the one meant, bit for bit."""
        bits = np.ascontiguousarray(self.x).view(np.uint8)
        return bool((bits == bits[self.row]).all())


def smallest_part(whole: Part, shows: Callable[[Part], bool]) -> Part | None:
    """Return the smallest part found of a batch that still shows something of its row; None where none does.

    Args:
        whole: the batch.
        shows: tells whether a part does; copies of the row come first, for they need no other bits.
    """
    for part in (*_copies(whole), *_windows(whole)):
        if shows(part):
            return part
    return None


def _sizes(rows: int) -> Iterator[int]:
    size = 2
    while size < rows:
        yield size
        size *= 2
    yield rows


def _copies(whole: Part) -> Iterator[Part]:
    rows = len(whole.x)
    for size in _sizes(rows):
        yield Part(
            np.repeat(whole.x[whole.row][None], size, axis=0), whole.row * (size - 1) // (rows - 1 or 1)
        )


def _windows(whole: Part) -> Iterator[Part]:
    rows, length = whole.x.shape
    for size in _sizes(rows):
        if size * length <= MOST_KEPT:
            for first in sorted({max(whole.row - size + 1, 0), min(whole.row, rows - size)}):
                yield Part(whole.x[first : first + size], whole.row - first)


def seen_among(witness: Witness, whole: Part, outputs: Callable[[Array], Array | None]) -> Witness:
    """Return the witness with the part of its batch that it takes, unchanged where its row alone will do.

    Args:
        witness: of a row that cannot be made again, with its bits.
        whole: the batch in which it was seen.
        outputs: the candidate's on some rows, None where any lacks.
    """
    if not witness.y or len(whole.x) == 1:
        return witness
    out = format_named(witness.cell.out_format)

    def shows(part: Part) -> bool:
        y = outputs(part.x)
        return y is not None and out.to_hex(y[part.row]) == witness.y

    if shows(Part(whole.x[whole.row][None], 0)):
        return witness
    part = smallest_part(whole, shows)
    if part is None:
        return witness
    bits = _encodings(part.x, format_named(witness.cell.format))
    return replace(witness, batch=Batch(None, 0, len(part.x), part.row, bits))


def _encodings(x: Array, fmt: FloatFormat) -> str:
    return "".join(fmt.to_hex(row) for row in x)
