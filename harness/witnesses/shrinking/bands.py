"""Every witness of a run made small at the price of a few: a small one stands for many.

Witnesses of one candidate, format and kind fall into bands of like scores, apart for rows that failed as a
whole and rows that did not. The shortest row of a band is shrunk, and keeps nine tenths of the band's
greatest score; so what comes of it shows the kind of every witness of the band, nine tenths of its score at
least, in no more entries. It stands for the bands below as well, down to half of its score, so that a row
of many ULP is told by one of about as many. When a candidate has had its share of calls in a format, what
is left is given the closest of those found that shows nine tenths of it, however much more it shows.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from harness.measurement.policy import GOT
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor
from harness.subject.rations import NO_RATIONS, Rations
from harness.subject.subject import Subject
from harness.witnesses.shrinking.interestingness import KEPT, failed_rows
from harness.witnesses.shrinking.reduction import Budget
from harness.witnesses.shrinking.shrink_one import smallest
from reference.formats import format_named
from reports.record.cells import FAILURES
from reports.record.ledger import Ledger
from reports.record.tally import Tally
from reports.record.witness import Witness, gravity
from reports.record.witness_kinds import kinds_shown_by
from strategies.logit_range import LogitRange

__all__ = ["keep_small", "shrink_all"]

BATCHES: Final = 640
ELEMENTS: Final = 1 << 21
"""What one candidate may be called for in one format, counted in batches and entries: a few seconds."""

BATCHES_A_ROW: Final = 20
ELEMENTS_A_ROW: Final = 1 << 17
"""The most of it that goes into one row,"""

BATCHES_FIRST: Final = 60
"""and into the row with the greatest score of its kind."""

STEP: Final = 0.95
"""Scores of a band are within this of each other, which leaves shrinking room down to nine tenths."""

MOST_ABOVE: Final = 2.0
"""A small witness shows up to so many times the score of what it stands for, while others can be had."""


Each = Callable[
    [Callable[[int, Executor], dict[str, Witness]], Sequence[int], Executor], Iterable[dict[str, Witness]]
]
"""Calls a function with each number and an executor, and returns the results in the numbers' order."""


def _in_turn(
    of_one: Callable[[int, Executor], dict[str, Witness]], numbers: Sequence[int], executor: Executor
) -> Iterator[dict[str, Witness]]:
    return (of_one(number, executor) for number in numbers)


def shrink_all(
    ledger: Ledger,
    candidates: Mapping[str, Candidate],
    executor: Executor,
    batches: int | None = None,
    timeout: float | None = None,
    rations: Rations = NO_RATIONS,
    within: LogitRange | None = None,
    each: Each = _in_turn,
) -> dict[str, Witness]:
    """Return the small witness of each witness of a run, by its id; itself where nothing simpler shows it.

    Left out are those that their row alone does not show, and those that no small one shows where all
    calls are used up. The result depends on the ledger and on what the candidates return alone.

    Args:
        ledger: the run.
        candidates: by the names that its cells have.
        executor: calls them.
        batches: calls for one candidate in one format; None for `BATCHES`.
        timeout: the most seconds of a call; None for the executor's own.
        rations: how many rows there are for candidates that are not given all, by names and formats.
        within: the range of all entries of the run; None for any.
        each: called with the function that shrinks the witnesses of one candidate in one format, and the
            numbers of such pairs; it may work on several at once.
    """
    pairs: defaultdict[tuple[str, str, str, str], _Bands] = defaultdict(_Bands)
    for _, tally in ledger.tallies():
        for witness, failed in _with_failed(tally):
            cell = witness.cell
            pairs[cell.candidate, cell.op, cell.format, cell.out_format].add(witness, failed=failed)
    asked = [(key, pairs[key]) for key in sorted(pairs) if key[0] in candidates]

    def shrunk(number: int, executor: Executor) -> dict[str, Witness]:
        (name, _, fmt, _), bands = asked[number]
        budget = Budget(ELEMENTS, BATCHES if batches is None else batches).within(rations.get((name, fmt)))
        shrinking = _Sharing(candidates[name], executor, budget, timeout, within)
        small: dict[str, Witness] = {}
        for turn, band in bands.gravest_first():
            small.update(shrinking.of(band, BATCHES_A_ROW if turn else BATCHES_FIRST))
        return small

    most_first = sorted(range(len(asked)), key=lambda number: -asked[number][1].count())
    made = dict(zip(most_first, each(shrunk, most_first, executor), strict=True))
    return {id_: w for number in range(len(asked)) for id_, w in made[number].items()}


def keep_small(ledger: Ledger, small: Mapping[str, Witness]) -> None:
    """Put into a ledger what `shrink_all` returned: which stands for which, and each small one once."""
    named: dict[Witness, str] = {}
    for identity, witness in small.items():
        named.setdefault(witness, identity)
    ids = {witness: witness.id for witness in named}
    ledger.put("small", {identity: ids[witness] for identity, witness in small.items()})
    ledger.put("shrunk", {identity: w.document() for w, identity in named.items() if ids[w] not in small})


def _with_failed(tally: Tally) -> Iterator[tuple[Witness, bool]]:
    """Yield the witnesses of a cell, and whether the row of each failed; false where that is not known."""
    failed = sum(tally.outcomes.get(name, 0) for name in FAILURES)
    sound = sum(tally.outcomes.values()) - failed
    unclear = []
    for witness in tally.witnesses:
        if witness.kind in kinds_shown_by("call", "policy") or not failed:
            yield witness, False
        elif witness.kind in kinds_shown_by("outcome") or not sound:
            yield witness, True
        elif witness.remade is not None or not witness.y:
            yield witness, False
        else:
            unclear.append(witness)
    yield from zip(unclear, failed_rows(unclear), strict=True)


# Bands -----------------------------------------------------------------------------------


class _Place(NamedTuple):
    """In what witnesses are alike: kind and what a policy says, whether rows failed, and scores by steps."""

    kind: str
    told: str
    failed: bool
    step: int | None


@dataclass
class _Band:
    """Witnesses that are alike.

    Attributes:
        place: in what.
        shortest: the one to begin with.
        greatest: their greatest score.
        ids: theirs.
    """

    place: _Place
    shortest: Witness
    greatest: float = 0.0
    ids: list[str] = field(default_factory=list)

    def add(self, witness: Witness) -> None:
        self.ids.append(witness.id)
        self.greatest = max(self.greatest, witness.score)
        if _length(witness) < _length(self.shortest):
            self.shortest = witness


def _entries(witness: Witness) -> int:
    """Return how many entries a witness's row has; a shrunk one keeps the cell that it came from."""
    digits = format_named(witness.cell.format).hex_digits
    return witness.cell.length if witness.remade is not None else len(witness.x) // digits


def _length(witness: Witness) -> tuple[int, float, str, str]:
    return witness.cell.length, -witness.score, witness.cell.regime, witness.origin


class _Bands:
    """The bands of one candidate in one format."""

    def __init__(self) -> None:
        self._bands: dict[_Place, _Band] = {}

    def add(self, witness: Witness, *, failed: bool) -> None:
        told = _kind_of_policy(witness) if witness.kind == "policy" else ""
        place = _Place(witness.kind, told, failed, _step(witness.score))
        self._bands.setdefault(place, _Band(place, witness)).add(witness)

    def count(self) -> int:
        """Return how many bands there are."""
        return len(self._bands)

    def gravest_first(self) -> list[tuple[int, _Band]]:
        """Return the greatest band of each kind as number 0, then the next; the gravest kinds first."""
        ranked = sorted(self._bands.values(), key=lambda b: (gravity(b.shortest), -b.greatest, b.place[:3]))
        turns: Counter[tuple[str, str, bool]] = Counter()
        ordered = []
        for band in ranked:
            ordered.append((turns[band.place[:3]], band))
            turns[band.place[:3]] += 1
        return sorted(ordered, key=lambda turn: turn[0])


def _kind_of_policy(witness: Witness) -> str:
    """Return what was expected of a policy row and what accepts what came, without the outputs."""
    expected, _, came = witness.message.partition(GOT)
    return expected + came.rpartition(";")[2]


def _step(score: float) -> int | None:
    """Return the number of a step whose scores are within `STEP` of each other; None where it is 0 or inf."""
    if score == 0 or math.isinf(score):
        return None
    return math.floor(math.log2(score) / -math.log2(STEP))


# Sharing ---------------------------------------------------------------------------------


class _Sharing:
    """Gives out small witnesses, and makes another where none will do.

    Args:
        candidate: whose witnesses they are.
        executor: calls it.
        budget: what may be spent, and is charged.
        timeout: the most seconds of a call; None for the executor's own.
        within: the range that rows stay in; None for any.
    """

    def __init__(
        self,
        candidate: Candidate,
        executor: Executor,
        budget: Budget,
        timeout: float | None,
        within: LogitRange | None,
    ) -> None:
        self._candidate, self._executor, self._timeout, self._within = candidate, executor, timeout, within
        self._budget = budget
        self._found: defaultdict[tuple[str, str], list[tuple[bool, Witness]]] = defaultdict(list)

    def of(self, band: _Band, batches: int) -> dict[str, Witness]:
        """Return the small witness of each of a band, made in so many calls; nothing where there is none."""
        shows = self._showing(band)
        found = next((w for w in shows if w.score <= MOST_ABOVE * band.greatest), None)
        if found is None and not self._budget.spent:
            found = self._made(band, batches)
        if found is None and shows:
            found = shows[0]
        return {} if found is None else dict.fromkeys(band.ids, found)

    def _showing(self, band: _Band) -> list[Witness]:
        """Return what was found that shows a band in no more entries, the closest first."""
        fits = [
            small
            for failed, small in self._found[band.place[:2]]
            if small.score >= KEPT * band.greatest
            and failed <= band.place.failed
            and _entries(small) <= _entries(band.shortest)
        ]
        return sorted(fits, key=lambda w: w.score)

    def _made(self, band: _Band, batches: int) -> Witness | None:
        share = Budget(min(ELEMENTS_A_ROW, self._budget.elements), min(batches, self._budget.batches))
        given = Budget(share.elements, share.batches)
        least = KEPT * band.greatest
        cell = band.shortest.cell
        subject = Subject.of(cell, self._candidate, self._executor, self._timeout, self._within)
        found = smallest(band.shortest, subject, share, least)
        self._budget.elements -= given.elements - share.elements
        self._budget.batches -= given.batches - share.batches
        self._budget.lost |= share.lost
        if found is not None:
            self._found[band.place[:2]].append((band.place.failed, found))
        return found
