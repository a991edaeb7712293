"""The rows that settings ask for, whoever is given them: known rows, and those that regimes draw.

All is a function of the settings alone, so a batch has the same rows wherever it is made. The `crowd` regime
is one batch of any size, judged in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from numpy.typing import NDArray

from harness.campaign.settings import Settings
from harness.campaign.tasks import Shard, rows_per_batch, rows_per_part
from harness.measurement import Rows
from harness.subject.rations import Group
from reference.formats import FloatFormat
from reference.ops import Op
from reports.record.cells import SEARCHED
from strategies.corpora import CORPORA, FixedRows
from strategies.lengths import USUAL
from strategies.regimes import REGIMES
from strategies.regimes.crowd import CROWD
from strategies.regimes.medley import MEDLEY
from strategies.words import Words

__all__ = ["INPUT", "Batch", "Workload"]

SWEPT_ELEMENTS: Final = 1 << 16
"""The most elements of a cell at a length that is swept only: two rows of every regime, or fewer."""

LEAST_ROWS: Final = 3
"""The least rows of a cell at a length that is swept, and all rows at a length that is drawn, as there are
many such lengths. In one of them the last entry dominates."""

USUAL_ROWS: Final = 8
"""Rows of such a cell at a length that people use, at least: about a third of the regimes of the medley."""

CROWDED: Final = (3, 4)
"""Lengths of the rows of a crowd: short, so that a million rows are judged at the price of a few long cells.

A call of more elements than an index of 24 bits counts is the contract's, see `harness.checks.contract`.
"""

INPUT: Final = "input"
"""The regime of the user's own rows."""


@dataclass(frozen=True)
class Batch:
    """The rows of one call.

    Attributes:
        number: its number within the cell.
        x: the rows.
        rows: makes some of them, with the truth about an op.
    """

    number: int
    x: NDArray[Any]
    rows: Callable[[slice, Op], Rows]

    def parts(self, op: Op) -> Iterator[tuple[slice, Rows]]:
        """Yield the rows as they are judged, and where each part lies.

        An only part is made once for all candidates of an op; of a batch of several none is kept.
        """
        if len(self._slices) > 1:
            yield from ((part, self.rows(part, op)) for part in self._slices)
            return
        if op.name not in self._whole:
            self._whole[op.name] = tuple((part, self.rows(part, op)) for part in self._slices)
        yield from self._whole[op.name]

    @cached_property
    def _whole(self) -> dict[str, tuple[tuple[slice, Rows], ...]]:
        return {}

    @property
    def _slices(self) -> list[slice]:
        step, rows = rows_per_part(self.x.shape[1]), len(self.x)
        return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]

    def first(self, rows: int) -> Batch:
        """Return so many of the rows, at most."""
        return self if rows >= len(self.x) else replace(self, x=self.x[:rows])


@dataclass(frozen=True)
class Workload:
    """The cells of rows that settings ask for, and the rows of each."""

    settings: Settings

    # Which cells -------------------------------------------------------------------------

    def cells(self, fmt: FloatFormat, *, sampled: bool) -> Iterator[tuple[str, int, int]]:
        """Yield (regime, length, rows) of the fixed or of the drawn cells of a format."""
        if not sampled:
            yield from ((name, fixed.length, len(fixed.rows)) for name, fixed in self._fixed(fmt))
            return
        for name, regime in REGIMES.items():
            if self._wanted(name):
                for length, rows in self._shapes(name):
                    if regime.supports(fmt, length, self.settings.within):
                        yield name, length, rows

    def searched(self) -> Iterator[tuple[int, int]]:
        """Yield the length of each searched cell, and how many rows may be tried."""
        if self.settings.is_searched:
            for length in self.settings.lengths or self.settings.effort.searched:
                yield length, self.settings.evaluations_of(length)

    def groups(self, fmt: FloatFormat) -> Iterator[Group]:
        """Yield the rows of every cell of a format, searched ones last, before they are rationed."""
        for sampled in (False, True):
            for regime, length, rows in self.cells(fmt, sampled=sampled):
                yield self.group(regime, length, rows)
        for length, rows in self.searched():
            yield self.group(SEARCHED, length, rows)

    def group(self, regime: str, length: int, rows: int) -> Group:
        """Return the rows of a cell as they are rationed."""
        if regime in CORPORA or regime == INPUT:
            return Group(rows, length, "known")
        return Group(rows, length, "drawn" if self.is_profiled(regime, length) else "further")

    def is_profiled(self, regime: str, length: int) -> bool:
        """Return whether errors are counted by place in the input: not where rows are few or of one kind."""
        own = self.settings.lengths or self.settings.effort.lengths
        return regime != CROWD and (regime != MEDLEY or length in own)

    def known_rows(self, fmt: FloatFormat) -> tuple[int, int]:
        """Return how many given rows of a format there are, and how many of them the range leaves out."""
        rows = sum(len(fixed.rows) for _, fixed in self._known(fmt))
        return rows, rows - sum(len(fixed.rows) for _, fixed in self._fixed(fmt))

    def lacks_input(self, fmt: FloatFormat) -> bool:
        """Return whether the user's rows are asked for, and none of them is left in a format."""
        if self.settings.inputs is None or not self._wanted(INPUT):
            return False
        return all(name != INPUT for name, _ in self._fixed(fmt))

    def regimes_beyond_range(self) -> list[str]:
        """Return the names of regimes that hold what the range does not: NaN, or an infinity."""
        within = self.settings.within
        return [name for name, r in REGIMES.items() if self._wanted(name) and not r.is_within(within)]

    def _wanted(self, regime: str) -> bool:
        return not self.settings.regimes or regime in self.settings.regimes

    def _fixed(self, fmt: FloatFormat) -> Iterator[tuple[str, FixedRows]]:
        within = self.settings.within
        for name, fixed in self._known(fmt):
            held = fixed if within is None else within.of_fixed(fmt, fixed)
            if held is not None:
                yield name, held

    def _known(self, fmt: FloatFormat) -> Iterator[tuple[str, FixedRows]]:
        for name, corpus in CORPORA.items():
            if self._wanted(name):
                yield from ((name, fixed) for fixed in corpus.fixed_rows(fmt))
        if self.settings.inputs is not None and self._wanted(INPUT):
            yield from ((INPUT, fixed) for fixed in self.settings.inputs.fixed_rows(fmt))

    def _shapes(self, regime: str) -> Iterator[tuple[int, int]]:
        """Yield length and rows of each drawn cell of a regime, by length."""
        settings = self.settings
        if regime == CROWD and settings.is_spread and settings.effort.crowd:
            yield self._crowd(settings.effort.crowd)
            return
        if regime == CROWD and CROWD not in settings.regimes:
            return
        shapes = {length: settings.rows_of(length) for length in settings.lengths or settings.effort.lengths}
        further = self._further_shapes() if regime == MEDLEY and settings.is_spread else {}
        yield from sorted({**further, **shapes}.items())

    def _further_shapes(self) -> dict[int, int]:
        """Return rows by length, for the swept lengths and those that the seed draws."""
        effort, seed = self.settings.effort, self.settings.seed
        drawn = effort.drawn.lengths(seed) if effort.drawn else ()
        some = {n: min(2 * len(REGIMES), SWEPT_ELEMENTS // n) for n in effort.sweep}
        rows = {n: max(LEAST_ROWS, some.get(n, 0)) for n in (*drawn, *effort.sweep)}
        return rows | {n: max(USUAL_ROWS, rows[n]) for n in USUAL if n in rows}

    def _crowd(self, least: int) -> tuple[int, int]:
        """Return the shape that the seed draws for a call with more rows than `least`."""
        words = Words((CROWD, self.settings.seed))
        (length,) = words.below(len(CROWDED), (1,)).tolist()
        (more,) = words.below(least >> 6, (1,)).tolist()
        return CROWDED[length], least + 1 + more

    # Their rows --------------------------------------------------------------------------

    def batches(self, shard: Shard) -> Iterator[Batch]:
        """Yield the batches of a shard."""
        method = self.settings.reference
        for number, count in shard.batches():
            x, labels = self.labelled(shard, number, count)

            def rows(part: slice, op: Op, x: Any = x, labels: Any = labels, number: int = number) -> Rows:
                made = Rows.of(shard.format, x[part], shard.out_format, number, labels[part], method, op)
                return replace(made, first=part.start)

            yield Batch(number, x, rows)

    def labelled(self, shard: Shard, number: int, count: int) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Return `count` rows, those of a batch, and the label of each; drawn rows have none.

        Raises:
            LookupError: the settings ask for no such fixed rows.
        """
        if shard.regime in REGIMES:
            regime = REGIMES[shard.regime]
            drawn = regime.rows(
                shard.format, count, shard.length, self.settings.seed, number, self.settings.within
            )
            return drawn, ()
        start = number * rows_per_batch(shard.regime, shard.length)
        for name, fixed in self._fixed(shard.format):
            if (name, fixed.length) == (shard.regime, shard.length):
                part = slice(start, start + count)
                return fixed.rows[part], fixed.labels[part]
        raise LookupError(shard.id)
