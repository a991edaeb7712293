"""Delta debugging of one row: fewer entries, then simpler ones, many trials in one call.

A call of a candidate costs more than a row, so each generation of trials is evaluated in batches.
Fewer entries: Zeller and Hildebrandt, *Simplifying and isolating failure-inducing input* (IEEE
TSE 28, 2002), after guesses that softmax suggests: the greatest entries, the least, the one at fault.
Simpler entries: the changes of `harness.witnesses.shrinking.changes`; several that do no harm each are
tried together. Whatever is kept is simpler in the order of `harness.witnesses.shrinking.simplicity`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.calls import changed_rows
from harness.subject.rations import Ration
from harness.witnesses.shrinking.changes import changes
from harness.witnesses.shrinking.simplicity import keys
from reference.formats import FloatFormat
from strategies.logit_range import LogitRange

__all__ = ["BATCH_ELEMENTS", "Budget", "Shows", "origin_of", "reduced"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

Shows = Callable[[Array], Flags]
"""Tells which rows of (k, n) still show what is shrunk."""

BATCH_ELEMENTS: Final = 1 << 15
"""Elements evaluated at once: enough to hide what a call costs, few enough to waste little."""

SHRINKING_SHARE: Final = 1 / 12
SHORT: Final = 4
"""What of the time that cells have reductions may take, and entries of the rows that they end with."""


@dataclass
class Budget:
    """What reductions may still spend; counted, never timed, so that they end the same way everywhere.

    Attributes:
        elements: entries of rows evaluated.
        batches: evaluations, of many rows each. One whose answers are all known costs nothing.
        lost: whether a row that was to show something else cost a worker or a time limit; as each may, that
            ends the reduction.
    """

    elements: int = 1 << 21
    batches: int = 500
    lost: bool = False

    @property
    def spent(self) -> bool:
        """Whether there is nothing left."""
        return self.elements <= 0 or self.batches <= 0 or self.lost

    def within(self, ration: Ration | None) -> Budget:
        """Return it, with no more entries than a slow candidate has time for."""
        if ration is None:
            return self
        most = ration.entries(SHRINKING_SHARE * ration.target, SHORT)
        return Budget(min(self.elements, most), self.batches, self.lost)

    def charge(self, x: Array) -> None:
        """Count one evaluation."""
        self.elements -= x.size
        self.batches -= 1


def origin_of(origin: str, row: NDArray[Any], smaller: NDArray[Any]) -> str:
    """Return where a simpler row comes from: from how many entries it was shrunk, if it has fewer now."""
    return f"{origin}, " + ("made simpler" if len(smaller) == len(row) else f"shrunk from {len(row)} entries")


def reduced(
    row: Array,
    element: int | None,
    fmt: FloatFormat,
    shows: Shows,
    budget: Budget,
    rows_at_once: int = BATCH_ELEMENTS,
    within: LogitRange | None = None,
) -> list[Array]:
    """Return the row and what it was reduced to step by step, each simpler than the one before.

    Args:
        row: shape (n,), an array of the format; it shows what is shrunk.
        element: the entry at fault, None where it is the whole row.
        fmt: the format.
        shows: tells which rows still show it.
        budget: what may be spent, and is charged.
        rows_at_once: rows that `shows` is given, at most; 1 where each that shows it costs much.
        within: the range of the row's entries, which no entry leaves; None for any.
    """
    reduction = _Reduction(row, element, fmt, shows, budget, rows_at_once, within)
    reduction.run()
    return reduction.steps


class _Reduction:
    def __init__(
        self,
        row: Array,
        element: int | None,
        fmt: FloatFormat,
        shows: Shows,
        budget: Budget,
        rows_at_once: int,
        within: LogitRange | None,
    ) -> None:
        self.steps = [row]
        self._element = element
        self._fmt = fmt
        self._shows = shows
        self._budget = budget
        self._rows_at_once = rows_at_once
        self._within = within
        self._kept_for_changes = budget.elements // 4
        self._known = {row.tobytes(): True}
        [self._key] = keys(fmt, row[None])

    @property
    def _row(self) -> Array:
        return self.steps[-1]

    def run(self) -> None:
        """Shorten and simplify until neither helps; neither is given again a row that it left as it is."""
        self._take_first(self._guesses())
        shortest = simplest = -1
        while not self._budget.spent and shortest != len(self.steps):
            self._shorten()
            shortest = len(self.steps)
            while simplest != len(self.steps) and self._simplify():
                pass
            simplest = len(self.steps)

    # Fewer entries -------------------------------------------------------------------------

    def _guesses(self) -> Iterator[Array]:
        """Yield a zero, what few entries of the row could do it alone, and a crowd of equal entries."""
        row, fmt = self._row, self._fmt
        yield fmt.from_float64([0.0])
        order = np.argsort(-fmt.to_float64(row), kind="stable").tolist()
        at_fault = order[:1] if self._element is None else [self._element]
        for chosen in (
            order[:1],
            at_fault,
            {order[0], at_fault[0]},
            order[:2],
            {order[0], at_fault[0], order[-1]},
            order[:3],
            order[:4],
            order[:8],
        ):
            yield row[sorted(set(chosen))]
        yield np.zeros_like(row)
        yield np.full_like(row, row[order[0]])

    def _shorten(self) -> None:
        """Remove entries, in ever smaller parts; a part that can go is gone for good."""
        if (self._row == self._row[0]).all():
            self._bisect_length()
            return
        parts = 2
        while len(self._row) > 1 and self._budget.elements > self._kept_for_changes:
            before = len(self._row)
            if self._take_first(self._halves(parts)) or self._take_removable(parts):
                parts = 2 if len(self._row) <= before // 2 else min(max(parts - 1, 2), len(self._row))
            elif parts >= before:
                return
            else:
                parts = min(2 * parts, before)

    def _bisect_length(self) -> None:
        """Shorten a row of equal entries, of which it does not matter which ones go."""
        too_short = 0
        while len(self._row) - too_short > 1 and not self._budget.spent:
            length = (too_short + len(self._row)) // 2
            if not self._take_first([self._row[:length]]):
                too_short = length

    def _halves(self, parts: int) -> Iterator[Array]:
        for part in reversed(_split(len(self._row), parts)):
            yield self._row[part]

    def _take_removable(self, parts: int) -> bool:
        """Remove every part that can go: all at once if that will do, else the first."""
        spans = _split(len(self._row), parts)
        removable = self._removable(spans)
        if not removable:
            return False
        together = np.concatenate([np.arange(len(self._row))[span] for span in removable])
        left = np.delete(self._row, together)
        return self._take_first([left] if len(left) else []) or self._take(
            np.delete(self._row, np.arange(len(self._row))[removable[0]])
        )

    def _removable(self, spans: list[slice]) -> list[slice]:
        """Return the parts of the first batch with any, that the row does without."""
        trials = ((span, np.delete(self._row, span)) for span in spans)
        for _, group in groupby(trials, key=lambda trial: len(trial[1])):
            for batch in _batched(group, self._rows(len(self._row))):
                shown = self._evaluate(np.stack([left for _, left in batch]))
                if shown.any():
                    return [span for (span, _), shows in zip(batch, shown, strict=True) if shows]
        return []

    # Simpler entries -----------------------------------------------------------------------

    def _simplify(self) -> bool:
        """Make the changes that do no harm, all together if that will do, else the simplest one."""
        row = self._row
        found = self._simpler_that_show(changes(self._fmt, row))
        if len(found) > 1:
            self._take_first([_merged(row, found)])
        if self._row is row and len(found):
            self._take(found[0])
        return self._row is not row

    def _simpler_that_show(self, trials: Array) -> Array:
        """Return those of (k, n) that are simpler than the row and show it, the simplest first."""
        ranked = sorted((key, i) for i, key in enumerate(keys(self._fmt, trials)) if key < self._key)
        ordered = trials[[i for _, i in ranked]]
        step = self._rows(trials.shape[1])
        found = []
        for start in range(0, len(ordered), step):
            batch = ordered[start : start + step]
            shown = self._evaluate(batch)
            found.append(batch[shown])
            if shown.any() and self._rows_at_once == 1:
                break
        return np.concatenate(found) if found else ordered

    # Evaluation ----------------------------------------------------------------------------

    def _rows(self, length: int) -> int:
        return min(self._rows_at_once, max(1, BATCH_ELEMENTS // length))

    def _take_first(self, trials: Iterable[Array]) -> bool:
        """Go on with the first of the rows that shows it and is simpler, if any."""
        for _, group in groupby(trials, key=len):
            for batch in _batched(group, self._rows_at_once):
                x = np.stack(batch)
                shown = self._evaluate(x)
                for i in np.flatnonzero(shown):
                    if self._take(x[i]):
                        return True
        return False

    def _take(self, row: Array) -> bool:
        [key] = keys(self._fmt, row[None])
        if key >= self._key:
            return False
        self.steps.append(row)
        self._key = key
        return True

    def _evaluate(self, x: Array) -> Flags:
        """Tell which rows show it; the candidate is called with those that it was not called with before."""
        tried = np.ones(len(x), dtype=np.bool_) if self._within is None else self._within.holds(self._fmt, x)
        if self._budget.spent or not tried.any():
            return np.zeros(len(x), dtype=np.bool_)
        names = [row.tobytes() for row in x]
        new = [i for i in np.flatnonzero(tried).tolist() if names[i] not in self._known]
        if new:
            self._budget.charge(x[new])
            shown = self._shows(_in_few_shapes(x[new], self._rows_at_once))
            self._known.update((names[i], bool(shows)) for i, shows in zip(new, shown, strict=False))
        return np.array([self._known.get(name, False) for name in names])


def _split(length: int, parts: int) -> list[slice]:
    """Return so many parts of nearly equal lengths, the longer ones first: rows of one length go together."""
    each, longer = divmod(length, parts)
    edges = [each * i + min(i, longer) for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _in_few_shapes(x: Array, most: int) -> Array:
    """Return rows, the last of them repeated until their number is a power of two, where that is allowed.

    A candidate that compiles for each shape is given few shapes, whatever the number of trials.
    """
    rows = 1 << (len(x) - 1).bit_length()
    return x if rows > most else np.concatenate([x, np.repeat(x[-1:], rows - len(x), axis=0)])


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _merged(row: Array, changed: Array) -> Array:
    """Return the row with every change that touches no entry that a change before it touched."""
    merged, touched = row.copy(), np.zeros(len(row), dtype=np.bool_)
    for other in changed:
        where = changed_rows(other[:, None], row[:, None])
        if not (where & touched).any():
            merged[where] = other[where]
            touched |= where
    return merged
