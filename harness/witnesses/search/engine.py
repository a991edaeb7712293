"""The search itself: the best row of each niche is kept, changed and tried again.

Pairs and triples begin with a `scan` by the a-priori bound, for half of the evaluations. Then it is
a batched evolutionary search (MAP-Elites), begun from rows of several regimes. When the best row
has not been bettered for a while, and before the evaluations run out, it is polished: every row
next to it is tried, again from the best of those until it is the best of its neighbourhood. Of
pairs of wide formats `lines` are tried too: of longer rows, and in 16 bits, evolution alone finds more.
All is decided by the seed, as long as the candidate is deterministic and loses no rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.subject.subject import Subject
from harness.witnesses.search.archive import Archive, niches
from harness.witnesses.search.lines import Lines
from harness.witnesses.search.mutations import Breeder, Ordinals
from harness.witnesses.search.neighbourhood import Neighbourhood
from harness.witnesses.search.novelty import Memory
from harness.witnesses.search.objectives import OBJECTIVES
from harness.witnesses.search.scan import Scan
from harness.witnesses.search.trials import Trial, Trials
from strategies.regimes import REGIMES
from strategies.words import Words

__all__ = ["MOST_LOST", "Best", "Engine"]

START: Final = ("uniform-bits", "log-uniform", "landmarks", "standard-normal", "wide-normal")
"""The regimes of the first rows: between them, all finite numbers."""

MOST_LOST: Final = 32
"""Calls that may cost rows and a worker; each may cost a time limit."""

MOST_UNTRIED: Final = 3
"""Batches in succession of which no row was called, until a search ends."""

_BATCH: Final = 512
_BATCH_ELEMENTS: Final = 1 << 16
_ELITES: Final = 256
_START_SHARE: Final = 16
_POLISHING_SHARE: Final = 8
_PATIENCE_SHARE: Final = 16
_SCAN_SHARE: Final = 2
_CLOSING_SHARE: Final = 8
_LINES_FROM: Final = 4
"""Lines begin when one evaluation in so many is spent, at elites that are worth it."""

_LINES_A_GENERATION: Final = 100
_STRETCHES: Final = 8
"""Batches of lines to one of children, and stretches in a batch."""

_PAIR: Final = 2
_WIDE: Final = 16
"""Bits of a format beyond which a pair has more distances than a search has evaluations."""


@dataclass(frozen=True)
class Best:
    """The best row so far: its batch, its place in it, its score and its ordinals."""

    trial: Trial
    row: int
    score: float
    ordinals: Ordinals
    evaluation: int


class Engine:
    """One search; `run` it once.

    Args:
        trials: what is tried.
        length: entries of a row.
        evaluations: rows that may be tried.
        seed: decides all choices.
        observe: told of every batch.

    Attributes:
        best: the best row, None before any has a score.
        curve: (evaluations, score) wherever the best score rose.
        spent: rows tried.
        faults: how often each kind of fault befell a row.
        told: what the first of each kind said.
        polished: whether no row of the best one's neighbourhood has a greater score.
        neighbourhood: what that is.
    """

    def __init__(
        self,
        trials: Trials,
        length: int,
        evaluations: int,
        seed: int,
        observe: Callable[[Trial], None] = lambda _: None,
    ) -> None:
        self.best: Best | None = None
        self.curve: list[tuple[int, float]] = []
        self.spent = 0
        self.faults: Counter[str] = Counter()
        self.told: dict[str, str] = {}
        self.neighbourhood = Neighbourhood.within(length, evaluations // _POLISHING_SHARE)
        self._trials, self._length, self._evaluations, self._seed = trials, length, evaluations, seed
        self._observe = observe
        self._words = Words(("search", seed, trials.subject.format.name, length))
        self._breeder = Breeder(trials.subject.format, self._words)
        self._archive = Archive.empty(length, _ELITES)
        self._memory = Memory(length)
        self._ends = _ends(trials.subject)
        self._scan = Scan(trials.subject, length, *self._ends)
        self._lines = Lines(trials.subject.format, *self._ends)
        self._scores = np.empty(0)
        self._batch = max(1, min(_BATCH, _BATCH_ELEMENTS // length))
        self._polished: Best | None = None
        self._number = 0
        self._untried = 0
        self._lost = 0

    @property
    def polished(self) -> bool:
        """Whether every neighbour of the best row was tried."""
        return self.best is not None and self._polished is self.best

    @property
    def is_lost(self) -> bool:
        """Whether the search ended early, as too many calls crashed or hung."""
        return self._lost >= MOST_LOST

    @property
    def is_given_up(self) -> bool:
        """Whether the search ended early, as no row was called any more."""
        return self._untried >= MOST_UNTRIED

    def run(self) -> None:
        """Search until the evaluations are spent, or no row brings outputs, or too many calls are lost."""
        for ordinals in self._batches():
            self._take(ordinals[: self._evaluations - self.spent])
            if self.spent >= self._evaluations or self.is_lost or self.is_given_up:
                return

    # What is tried next ------------------------------------------------------------------

    def _batches(self) -> Iterator[Ordinals]:
        yield from self._first()
        if self._scan.exists and self._trials.objective is OBJECTIVES["ulp"]:
            yield from self._scan.batches(self._evaluations // _SCAN_SHARE, self._batch)
        while self.best is not None:
            if self._is_time_to_polish(self.best):
                yield from self._neighbours()
            else:
                yield self._children()
                if self._has_lines and self.spent >= self._evaluations // _LINES_FROM:
                    yield from self._stretches()

    def _first(self) -> Iterator[Ordinals]:
        subject, fmt = self._trials.subject, self._trials.subject.format
        count = max(1, self._evaluations // _START_SHARE // len(START))
        for batch, start in enumerate(range(0, count, self._batch)):
            rows = min(self._batch, count - start)
            for name in START:
                x = REGIMES[name].rows(fmt, rows, self._length, self._seed, batch, subject.within)
                yield fmt.ordinals(fmt.to_bits(x))

    def _children(self) -> Ordinals:
        children = self._breeder.children(self._archive.parents(self._words, self._batch))
        stale = self._memory.stale(children)
        if stale.size:
            rows = children[stale]
            children[stale] = self._breeder.step(rows, self._breeder.any_entry(rows))
        return children

    @property
    def _has_lines(self) -> bool:
        return self._length == _PAIR and self._trials.subject.format.storage_bits > _WIDE

    def _stretches(self) -> Iterator[Ordinals]:
        """Yield the most promising stretches of numbers in succession, several in a batch."""
        for _ in range(_LINES_A_GENERATION):
            stretches = self._lines.next(self._archive, _STRETCHES)
            parts = [stretch.rows(self._batch // _STRETCHES) for stretch in stretches]
            if not sum(map(len, parts)):
                return
            yield np.concatenate(parts)
            ends = np.cumsum([len(part) for part in parts])[:-1]
            for stretch, scores in zip(stretches, np.split(self._scores, ends), strict=True):
                self._lines.note(stretch, scores)

    def _is_time_to_polish(self, best: Best) -> bool:
        if self.polished or not self.neighbourhood.entries:
            return False
        left = self._evaluations - self.spent
        is_stalled = self.spent - best.evaluation >= self._evaluations // _PATIENCE_SHARE
        return is_stalled or left <= max(2 * self.neighbourhood.size, self._evaluations // _CLOSING_SHARE)

    def _neighbours(self) -> Iterator[Ordinals]:
        """Yield the neighbours of the best row, and of what turns out better, until none does."""
        while not self.polished and self.best is not None:
            middle = self.best
            yield from self.neighbourhood.rows(self._trials.subject.format, middle.ordinals, self._batch)
            self._polished = middle

    # What came of it ---------------------------------------------------------------------

    def _take(self, ordinals: Ordinals) -> None:
        """Try rows, entries beyond the range moved to its ends, and remember what they brought."""
        ordinals = np.clip(ordinals, *self._ends)
        trial = self._trials.of(ordinals, self._number)
        self._observe(trial)
        self._note_records(trial, ordinals)
        self._scores = trial.scores
        places = niches(trial.rows.values, trial.elements)
        self._archive = self._archive.joined(ordinals, trial.scores, places, trial.elements)
        self._memory.keep(ordinals)
        faults = trial.outcome.faults
        is_untried = bool(faults) and all(fault.kind == "not_tried" for fault in faults)
        self._untried = self._untried + 1 if is_untried and not trial.outcome.completed.any() else 0
        if not trial.outcome.completed.all():
            self._lost += sum(fault.kind in ("crashed", "timed_out") for fault in faults)
        for fault in faults:
            self.faults[fault.kind] += 1
            self.told.setdefault(fault.kind, fault.message)
        self.spent += len(ordinals)
        self._number += 1

    def _note_records(self, trial: Trial, ordinals: Ordinals) -> None:
        held = -np.inf if self.best is None else self.best.score
        before = np.maximum.accumulate(np.concatenate([[held], trial.scores]))[:-1]
        for row in np.flatnonzero(trial.scores > before).tolist():
            score, evaluation = float(trial.scores[row]), self.spent + row + 1
            self.curve.append((evaluation, score))
            self.best = Best(trial, row, score, ordinals[row], evaluation)


def _ends(subject: Subject) -> tuple[int, int]:
    """Return the least and the greatest ordinal of an entry."""
    largest = subject.format.largest_ordinal
    return (-largest, largest) if subject.within is None else subject.within.ordinals(subject.format)
