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

__all__ = ["BATCH_ELEMENTS", "Search", "Shard", "Task", "rows_per_batch", "rows_per_part"]

BATCH_ELEMENTS: Final = 1 << 17
"""Elements of a batch: its arrays stay within a few megabytes, whatever the number of rows."""


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
    """Return the most rows of a batch: all there are of a crowd."""
    return LARGEST_CELL if regime == CROWD else rows_per_part(length)


def rows_per_part(length: int) -> int:
    """Return the most rows of that length that are judged at once."""
    return max(1, BATCH_ELEMENTS // length)
