"""The tasks of a campaign: shards, which are batches of rows that all candidates see, and searches.

A task has a name in the ledger; what it counts depends on it and on the campaign alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from harness.campaign.settings import LARGEST_CELL
from reference.formats import FloatFormat
from reports.record.cells import SEARCHED
from strategies.regimes.crowd import CROWD
from strategies.regimes.medley import MEDLEY

__all__ = ["BATCH_ELEMENTS", "Search", "Shard", "Task", "rows_per_batch", "rows_per_part"]

BATCH_ELEMENTS: Final = 1 << 17
"""Elements of a batch: its arrays stay within a few megabytes, whatever the number of rows."""

MEDLEY_ROWS: Final = 8
MEDLEY_ELEMENTS: Final = 1 << 22
"""Rows of a batch of the medley, as far as so many elements allow: its last row takes no turn."""


@dataclass(frozen=True)
class Shard:
    """Batches first..last of the rows of one (format, regime, length).

    Attributes:
        rows: the rows of the whole cell, which decide those of each batch.
        sampled: whether the rows are drawn, rather than fixed.
    """

    format: FloatFormat
    out_format: FloatFormat
    regime: str
    length: int
    rows: int
    first: int
    last: int
    sampled: bool

    @property
    def stage(self) -> str:
        """The title of the stage that it belongs to."""
        return f"{self.format} drawn rows" if self.sampled else "known rows"

    @property
    def id(self) -> str:
        """A name for the ledger."""
        out = "" if self.out_format == self.format else f">{self.out_format}"
        return f"{self.format}{out}/{self.regime}/{self.length}/{self.first}-{self.last}"

    def batches(self) -> Iterator[tuple[int, int]]:
        """Yield number and rows of each batch."""
        full = rows_per_batch(self.regime, self.length)
        for number in range(self.first, self.last + 1):
            yield number, min(full, self.rows - number * full)


@dataclass(frozen=True)
class Search:
    """One candidate's rows of one length, to be searched for the greatest ULP error.

    Attributes:
        candidate: its name.
        evaluations: rows that may be tried.
    """

    candidate: str
    format: FloatFormat
    out_format: FloatFormat
    length: int
    evaluations: int

    @property
    def regime(self) -> str:
        """The regime of its rows in cells."""
        return SEARCHED

    @property
    def stage(self) -> str:
        """The title of the stage that it belongs to."""
        return f"{self.format} searched rows"

    @property
    def id(self) -> str:
        """A name for the ledger."""
        out = "" if self.out_format == self.format else f">{self.out_format}"
        return f"{self.format}{out}/{SEARCHED}/{self.length}/{self.candidate}"


Task = Shard | Search


def rows_per_batch(regime: str, length: int) -> int:
    """Return the most rows of a batch: all there are of a crowd, and several of a medley, however long."""
    if regime == CROWD:
        return LARGEST_CELL
    rows = rows_per_part(length)
    return max(rows, min(MEDLEY_ROWS, MEDLEY_ELEMENTS // length)) if regime == MEDLEY else rows


def rows_per_part(length: int) -> int:
    """Return the most rows of that length that are judged at once."""
    return max(1, BATCH_ELEMENTS // length)
