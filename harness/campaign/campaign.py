"""A campaign: its cells, their order, and the measurement of their shards.

The plan is a pure function of the settings and of what the candidates support. A shard is
a series of batches of one (format, regime, length): its rows are made, their truth is computed
once, every candidate is given the same rows, and the tallies are returned. Batches depend
on the seed and on row counts only, so a shard gives the same tallies wherever it runs. A candidate is
given a batch in one call. The `crowd` regime is one batch of any size, judged in parts.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Self

from numpy.typing import NDArray

from harness.campaign.deal import Crew, Done, Measured, Record, Threads, deal
from harness.campaign.environment import here
from harness.campaign.settings import Settings
from harness.campaign.tasks import Search, Shard, Task, rows_per_batch, rows_per_part
from harness.measurement import Rows
from harness.measurement.outcomes import tally_outcome
from harness.measurement.rows import digest
from harness.subject.candidates import Candidate, load
from harness.subject.execution import Executor
from harness.subject.probe import probed
from harness.subject.rations import (
    FINE,
    ORDINARY,
    OWN,
    SHARED,
    Group,
    Load,
    Ration,
    Rations,
    Speed,
    Times,
    divided,
    measured,
    own_costs,
    ration_of,
)
from harness.subject.subject import Subject
from harness.terminal.deadline import NEVER, Deadline
from harness.witnesses.batches import Part, seen_among
from harness.witnesses.recipes import Recipes, kept_as_recipe
from reference.formats import FORMATS, FloatFormat
from reference.ops import Op
from reports.figures import plural, seconds
from reports.record.cells import SEARCHED
from reports.record.ledger import CellInfo, Ledger
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey
from strategies.corpora import CORPORA, FixedRows
from strategies.lengths import USUAL
from strategies.regimes import REGIMES
from strategies.regimes.crowd import CROWD
from strategies.regimes.medley import MEDLEY
from strategies.words import Words

__all__ = ["SHARD_BATCHES", "Batch", "Campaign", "LeftOut"]

Told = Mapping[tuple[str, str], Times]

SHARD_BATCHES: Final = 16
"""The most batches in a shard: about a second of work, which an interruption can lose."""

OBJECTIVE: Final = "ulp"
"""The score that searches maximize."""

SWEPT_ELEMENTS: Final = 1 << 16
"""The most elements of a cell at a length that is swept only: two rows of every regime, or fewer."""

LEAST_ROWS: Final = 3
"""The least rows of a cell at a length that is swept, and all rows at a length that is drawn, as there are
many such lengths. In one of them the last entry dominates."""

USUAL_ROWS: Final = 8
"""Rows of such a cell at a length that people use, at least: about a third of the regimes of the medley."""

CELLS_SHARE: Final = 3 / 4
"""Of the time of a candidate that is not given all rows: it goes into the cells, the rest into the checks."""

CHECKS_SHARE: Final = 1 / 5
"""What the checks of such a candidate take, of the time of its cells: each may take a sixtieth."""

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
class LeftOut:
    """The rows of the plan that a candidate is not given in one format.

    Attributes:
        ration: the reason.
        rows: how many rows the plan has; kept: how many it is given.
        longest: length of the longest row that it is given.
        missing: cells at the lengths of the effort, or of the user, without a row.
        shortest_missing: the least length of these cells; 0 where none is missing.
    """

    ration: Ration
    rows: int
    kept: int
    longest: int
    missing: int
    shortest_missing: int

    @classmethod
    def of(cls, ration: Ration, groups: Sequence[Group]) -> Self:
        """Return what a ration leaves out of cells."""
        given = [(group, ration.rows(group)) for group in groups]
        missing = [group.length for group, rows in given if not rows and group.kind != "further"]
        return cls(
            ration,
            sum(group.rows for group in groups),
            sum(rows for _, rows in given),
            max((group.length for group, rows in given if rows), default=0),
            len(missing),
            min(missing, default=0),
        )

    def line(self) -> str:
        """Return a sentence on what is left out."""
        speed = self.ration.speed
        why = f"{speed.told()}, so " if speed.is_slow else ""
        when = "in time" if self.ration.own else f"in about {seconds(self.ration.target)}"
        return (
            f"{why}{self.kept:,} of {plural(self.rows, 'row')} are measured, of up to"
            f" {plural(self.longest, 'entry')}, to end {when};"
            " --max-time SECONDS sets another time"
        )


@dataclass(frozen=True)
class Campaign:
    """The cells and shards of one invocation.

    Attributes:
        candidates: in order, each with the policy by which it is judged: the settings' over its own.
        pairs: names of the candidates and formats that have cells; None where every candidate has in every
            format.
        rations: by the same names, how many rows a candidate is given that is not given all.
        times: by the same names, what calls were measured to take; they decide no row, and no figure.
    """

    settings: Settings
    candidates: tuple[Candidate, ...]
    pairs: frozenset[tuple[str, str]] | None = None
    rations: Rations = field(default_factory=dict)
    times: Told = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, deadline: Deadline = NEVER) -> Self:
        """Return the campaign of these settings, its candidates loaded.

        Raises:
            CandidateError: a candidate cannot be loaded.
            OutOfTime: the deadline passed before all were loaded.
        """
        candidates = []
        for spec in settings.candidates:
            deadline.check()
            candidates.append(load(spec, settings.import_timeout, settings.op))
        return cls(settings, tuple(candidates))

    def probed(self, executor: Executor) -> Self:
        """Return the campaign after probing each candidate that does not declare its formats."""
        settings = self.settings
        asked = (
            probed(c, settings.formats, settings.out_format, executor, settings.within)
            for c in self.candidates
        )
        return replace(self, candidates=tuple(asked))

    def rationed(self, executor: Executor, checks: Load) -> Self:
        """Return the campaign in which a candidate that would take too long is given fewer rows.

        It is given the first rows of each cell of the plan; this decides how many.

        Args:
            executor: calls the candidates, to tell their speed.
            checks: what the checks of a candidate in a format cost.
        """
        settings = self.settings
        is_timed = settings.max_time is not None
        if not is_timed and math.isinf(settings.slow_seconds):
            return self
        told = {
            (c.name, fmt.name): measured(self.subject(c, fmt, executor), finely=is_timed)
            for c in self.candidates
            for fmt in self.measured_formats(c)
        }
        if is_timed:
            return replace(self, rations=self._in_time(told, checks), times=told)
        given = {
            (name, fmt): ration_of(times.speed(), self._planned(FORMATS[fmt]), settings.slow_seconds)
            for (name, fmt), times in told.items()
        }
        rations = {pair: ration for pair, ration in given.items() if ration is not None}
        return replace(self, rations=rations, times=told)

    def _in_time(self, told: Told, checks: Load) -> Rations:
        """Return the rations with which cells and checks end in the time that is set.

        Where all rows need more than that, each candidate and format gets the same time, or what it needs.
        """
        sharing = Counter(fmt for _, fmt in told)
        planned = {name: list(self._planned(FORMATS[name])) for name in sharing}
        costs = {name: own_costs(candidates) for name, candidates in sharing.items()}
        needs = {
            (name, fmt): checks.seconds(times)
            + sum(costs[fmt].seconds(*group[:2]) + times.seconds(*group[:2]) for group in planned[fmt])
            for (name, fmt), times in told.items()
        }
        parts = divided(list(needs.values()), self.settings.processor_seconds)
        rations = {}
        for (pair, need), part in zip(needs.items(), parts, strict=True):
            fmt, target = pair[1], part * CELLS_SHARE
            speed = told[pair].speed(FINE)
            if part < need and (given := ration_of(speed, planned[fmt], target, costs[fmt])):
                rations[pair] = given
        return rations

    def measured_formats(self, candidate: Candidate) -> Iterator[FloatFormat]:
        """Yield the formats in which rows are made for a candidate."""
        for fmt in self.formats_of(candidate):
            if candidate.supports(fmt, self._out_format(fmt)):
                yield fmt

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, what determines the figures: the settings and the rows left out."""
        if not self.rations:
            return self.settings.identity()
        given: dict[str, dict[str, Any]] = {}
        for (name, fmt), ration in self.rations.items():
            given.setdefault(name, {})[fmt] = ration.document()
        return {**self.settings.identity(), "rations": given}

    def rationed_as(self, identity: Mapping[str, Any]) -> Self:
        """Return the campaign with the rations of an earlier one, by its `identity`."""
        given = identity.get("rations") or {}
        rations = {
            (name, fmt): Ration.from_document(document)
            for name, formats in given.items()
            for fmt, document in formats.items()
        }
        return replace(self, rations=rations)

    def __post_init__(self) -> None:
        bound = tuple(candidate.under(self.settings.policies) for candidate in self.candidates)
        object.__setattr__(self, "candidates", bound)

    # The plan ----------------------------------------------------------------------------

    def shards(self) -> Iterator[Shard]:
        """Yield the shards: fixed rows first, then the formats, regimes and lengths in turn."""
        for sampled in (False, True):
            for fmt in self.settings.formats:
                for regime, length, rows in self._groups(fmt, sampled=sampled):
                    most = self._most(fmt, regime, length, rows)
                    yield from self._split(fmt, regime, length, rows, most, sampled=sampled)

    def searches(self) -> Iterator[Search]:
        """Yield the searches, which follow the shards."""
        settings = self.settings
        for fmt in settings.formats:
            out = self._out_format(fmt)
            for length in self._searched_lengths():
                for candidate in self.candidates:
                    rows = settings.evaluations_of(length)
                    rows = self._given(candidate, fmt, SEARCHED, length, rows)
                    if candidate.supports(fmt, out) and rows:
                        yield Search(candidate.name, fmt, out, length, rows)

    def tasks(self) -> Iterator[Task]:
        """Yield all tasks: the shards, then the searches."""
        yield from self.shards()
        yield from self.searches()

    def cells(self) -> Iterator[CellInfo]:
        """Yield the cells in the order of reports: by candidate, format, regime and length."""
        for candidate in self.candidates:
            for fmt in self.formats_of(candidate):
                for sampled in (False, True):
                    for regime, length, rows in self._groups(fmt, sampled=sampled):
                        if self._given(candidate, fmt, regime, length, rows):
                            yield self._cell_info(candidate, fmt, regime, length, sampled=sampled)
                for length in self._searched_lengths():
                    rows = self.settings.evaluations_of(length)
                    if self._given(candidate, fmt, SEARCHED, length, rows):
                        yield self._cell_info(candidate, fmt, SEARCHED, length, sampled=False)
                yield from self._empty_inputs(candidate, fmt)

    def formats_of(self, candidate: Candidate) -> Iterator[FloatFormat]:
        """Yield the formats in which a candidate has cells."""
        for fmt in self.settings.formats:
            if self.pairs is None or (candidate.name, fmt.name) in self.pairs:
                yield fmt

    def _planned(self, fmt: FloatFormat) -> Iterator[Group]:
        """Yield the rows of every cell of a format, before they are rationed."""
        for sampled in (False, True):
            for regime, length, rows in self._groups(fmt, sampled=sampled):
                yield self._group(regime, length, rows)
        for length in self._searched_lengths():
            yield self._group(SEARCHED, length, self.settings.evaluations_of(length))

    def _group(self, regime: str, length: int, rows: int) -> Group:
        if regime in CORPORA or regime == INPUT:
            return Group(rows, length, "known")
        return Group(rows, length, "drawn" if self._is_profiled(regime, length) else "further")

    def _given(self, candidate: Candidate, fmt: FloatFormat, regime: str, length: int, rows: int) -> int:
        """Return how many rows of a cell a candidate is given."""
        ration = self.rations.get((candidate.name, fmt.name))
        return ration.rows(self._group(regime, length, rows)) if ration else rows

    def _most(self, fmt: FloatFormat, regime: str, length: int, rows: int) -> int:
        """Return the most rows of a cell that any candidate is given; no others are made."""
        if not self.rations:
            return rows
        takers = [c for c in self.candidates if fmt in self.measured_formats(c)]
        return max((self._given(c, fmt, regime, length, rows) for c in takers), default=rows)

    def left_out(self, candidate: Candidate, fmt: FloatFormat) -> LeftOut | None:
        """Return what is left out of a candidate's rows of a format; None where nothing is."""
        ration = self.rations.get((candidate.name, fmt.name))
        if ration is None:
            return None
        return LeftOut.of(ration, list(self._planned(fmt)))

    def seconds(self, task: Task) -> float:
        """Return about how long a shard or a search takes, for the time that the run still needs."""
        if isinstance(task, Search):
            return self._seconds_of(self._named(task.candidate), task.format, task.evaluations, task.length)
        batches = list(task.batches())
        given = [
            (c, sum(min(count, self._given_of(c, task, number)) for number, count in batches))
            for c in self.candidates
            if task.format in self.measured_formats(c)
        ]
        shared = SHARED * OWN.seconds(max((rows for _, rows in given), default=0), task.length)
        return shared + sum(self._seconds_of(c, task.format, rows, task.length) for c, rows in given)

    def _seconds_of(self, candidate: Candidate, fmt: FloatFormat, rows: int, length: int) -> float:
        if not rows:
            return 0.0
        return self._speed(candidate, fmt).seconds(rows, length) + (1 - SHARED) * OWN.seconds(rows, length)

    def _speed(self, candidate: Candidate, fmt: FloatFormat) -> Speed | Times:
        pair = (candidate.name, fmt.name)
        if pair in self.times:
            return self.times[pair]
        return self.rations[pair].speed if pair in self.rations else ORDINARY

    def checking_seconds(self, candidate: Candidate, fmt: FloatFormat, checks: Load) -> float:
        """Return about how long the checks of a candidate take, which together cost what `checks` says."""
        if fmt not in self.measured_formats(candidate):
            return 0.0
        whole = checks.seconds(self._speed(candidate, fmt))
        ration = self.rations.get((candidate.name, fmt.name))
        return min(whole, checks.own + CHECKS_SHARE * ration.target) if ration else whole

    def _groups(self, fmt: FloatFormat, *, sampled: bool) -> Iterator[tuple[str, int, int]]:
        """Yield (regime, length, rows) of the fixed or of the drawn rows of a format."""
        if not sampled:
            yield from ((name, fixed.length, len(fixed.rows)) for name, fixed in self._fixed(fmt))
            return
        for name, regime in REGIMES.items():
            if self._wanted(name):
                for length, rows in self._shapes(name):
                    if regime.supports(fmt, length, self.settings.within):
                        yield name, length, rows

    def _fixed(self, fmt: FloatFormat) -> Iterator[tuple[str, FixedRows]]:
        within = self.settings.within
        for name, fixed in self._known(fmt):
            held = fixed if within is None else within.of_fixed(fmt, fixed)
            if held is not None:
                yield name, held

    def known_rows(self, fmt: FloatFormat) -> tuple[int, int]:
        """Return how many given rows of a format there are, and how many of them the range leaves out."""
        rows = sum(len(fixed.rows) for _, fixed in self._known(fmt))
        return rows, rows - sum(len(fixed.rows) for _, fixed in self._fixed(fmt))

    def regimes_beyond_range(self) -> list[str]:
        """Return the names of regimes that hold what the range does not: NaN, or an infinity."""
        within = self.settings.within
        return [name for name, r in REGIMES.items() if self._wanted(name) and not r.is_within(within)]

    def _known(self, fmt: FloatFormat) -> Iterator[tuple[str, FixedRows]]:
        for name, corpus in CORPORA.items():
            if self._wanted(name):
                yield from ((name, fixed) for fixed in corpus.fixed_rows(fmt))
        if self.settings.inputs is not None and self._wanted(INPUT):
            yield from ((INPUT, fixed) for fixed in self.settings.inputs.fixed_rows(fmt))

    def _wanted(self, regime: str) -> bool:
        return not self.settings.regimes or regime in self.settings.regimes

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

    def _searched_lengths(self) -> tuple[int, ...]:
        if not self.settings.is_searched:
            return ()
        return self.settings.lengths or self.settings.effort.searched

    def subject(self, candidate: Candidate, fmt: FloatFormat, executor: Executor) -> Subject:
        """Return a candidate of the campaign in a format, bound to its executor."""
        settings = self.settings
        out = self._out_format(fmt)
        return Subject(candidate, fmt, out, executor, settings.timeout, settings.reference, settings.within)

    def _out_format(self, fmt: FloatFormat) -> FloatFormat:
        return self.settings.out_format or fmt

    def _split(
        self, fmt: FloatFormat, regime: str, length: int, rows: int, most: int, *, sampled: bool
    ) -> Iterator[Shard]:
        """Yield the shards of a cell, as far as they hold one of the first `most` rows."""
        batches = -(-most // rows_per_batch(regime, length))
        for first in range(0, batches, SHARD_BATCHES):
            last = min(first + SHARD_BATCHES, batches) - 1
            yield Shard(fmt, self._out_format(fmt), regime, length, rows, first, last, sampled)

    def _cell_info(
        self, candidate: Candidate, fmt: FloatFormat, regime: str, length: int, *, sampled: bool
    ) -> CellInfo:
        key = self.cell_of(candidate, fmt, regime, length)
        if candidate.supports(fmt, self._out_format(fmt)):
            return CellInfo(key, sampled=sampled)
        message = candidate.refusal(fmt, self._out_format(fmt))
        return CellInfo(key, sampled=sampled, status="unsupported", message=message)

    def _empty_inputs(self, candidate: Candidate, fmt: FloatFormat) -> Iterator[CellInfo]:
        inputs, within = self.settings.inputs, self.settings.within
        if inputs is None or not self._wanted(INPUT) or any(name == INPUT for name, _ in self._fixed(fmt)):
            return
        key = self.cell_of(candidate, fmt, INPUT, 0)
        message = f"no row of the input fits {fmt}" + ("" if within is None else f" and the range {within}")
        yield CellInfo(key, sampled=False, status="unsupported", message=message)

    def cell_of(self, candidate: Candidate, fmt: FloatFormat, regime: str, length: int) -> CellKey:
        """Return the cell of a candidate's rows."""
        out = self._out_format(fmt)
        return CellKey(candidate.name, candidate.op.name, fmt.name, out.name, regime, length)

    # Measuring ---------------------------------------------------------------------------

    def run(
        self,
        ledger: Ledger,
        executor: Executor,
        progress: Callable[[Task, Mapping[CellKey, Tally]], None],
        crew: Crew[Task] | None = None,
        deadline: Deadline = NEVER,
    ) -> None:
        """Measure every task that the ledger lacks, `jobs` at a time, and record each as it ends.

        Args:
            ledger: records the tallies; written from this thread alone.
            executor: calls the candidates; used from `jobs` threads at once.
            progress: called with each task when it is recorded.
            crew: measures the tasks; `jobs` threads of this process where left out.
            deadline: when it must have ended.

        Raises:
            OutOfTime: the deadline passed first.
        """
        crew = crew or Threads(self.measure, executor, self.settings.jobs, here(self.candidates))
        record = _WithCurves(ledger, [search.id for search in self.searches()])
        deal(self.tasks(), crew, record, progress, deadline)

    def measure(self, task: Task, executor: Executor) -> Measured:
        """Measure a task."""
        if isinstance(task, Search):
            return self._searched(task, executor)
        return Measured(self._counted(task, executor))

    def _searched(self, search: Search, executor: Executor) -> Measured:
        """Search; return the tally, and a document that names the witness by its id."""
        from harness.witnesses.search import search_tally

        settings = self.settings
        subject = self.subject(self._named(search.candidate), search.format, executor)
        result, tally = search_tally(
            subject, search.length, search.evaluations, settings.seed, OBJECTIVE, tiers=settings.tiers
        )
        witness = result.witness.id if result.witness else None
        document = {"id": search.id, **result.document(), "witness": witness}
        return Measured({result.cell: tally}, document)

    def _named(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def _counted(self, shard: Shard, executor: Executor) -> dict[CellKey, Tally]:
        """Return the tallies of a shard, by cell."""
        parts: dict[CellKey, list[Tally]] = defaultdict(list)
        candidates = [
            c
            for c in self.candidates
            if c.supports(shard.format, shard.out_format) and shard.format in self.formats_of(c)
        ]
        is_profiled = self._is_profiled(shard.regime, shard.length)
        recipes = Recipes(self.settings.seed, dict(shard.batches()), self.settings.within)
        for whole in self.batches(shard) if candidates else ():
            digests: dict[int, dict[int, str]] = {}
            for candidate in candidates:
                batch = whole.first(self._given_of(candidate, shard, whole.number))
                rows = len(batch.x)
                if not rows:
                    continue
                if rows not in digests:
                    digests[rows] = {batch.number: digest(shard.format, batch.x)}
                subject = self.subject(candidate, shard.format, executor)
                cell, declaration = subject.cell(shard.regime, shard.length), subject.declaration
                outcome = subject.run(batch.x)
                for part, judged in batch.parts(subject.op):
                    tally = tally_outcome(
                        cell, judged, outcome.of(part), declaration, self.settings.tiers,
                        profiled=is_profiled, recipe=recipes.of,
                    )  # fmt: skip
                    kept = replace(tally, digests=digests[rows], fallbacks=judged.truth.fallbacks)
                    parts[cell].append(kept)
        merged = {cell: self._compact(merge(tallies), shard) for cell, tallies in parts.items()}
        if shard.regime != INPUT:
            return merged
        by_name = {candidate.name: candidate for candidate in candidates}
        return {
            cell: self._with_batches(tally, shard, by_name[cell.candidate], executor)
            for cell, tally in merged.items()
        }

    def _given_of(self, candidate: Candidate, shard: Shard, number: int) -> int:
        """Return how many rows of a batch, by its number in the cell, a candidate is given."""
        given = self._given(candidate, shard.format, shard.regime, shard.length, shard.rows)
        return max(0, given - number * rows_per_batch(shard.regime, shard.length))

    def _with_batches(self, tally: Tally, shard: Shard, candidate: Candidate, executor: Executor) -> Tally:
        """Return the tally with the batches that rows of the user's file need, as the file may change."""
        wholes = {
            label: Part(x, row)
            for number, count in shard.batches()
            for x, labels in [self._batch(shard, number, count)]
            for row, label in enumerate(labels)
        }

        outputs = self.subject(candidate, shard.format, executor).outputs
        seen = (seen_among(w, wholes[w.origin], outputs) for w in tally.witnesses)
        return replace(tally, witnesses=tuple(seen))

    def _is_profiled(self, regime: str, length: int) -> bool:
        """Return whether errors are counted by place in the input: not where rows are few or of one kind."""
        own = self.settings.lengths or self.settings.effort.lengths
        return regime != CROWD and (regime != MEDLEY or length in own)

    def _compact(self, tally: Tally, shard: Shard) -> Tally:
        """Return the tally with each long row replaced by its recipe."""
        seed, batches, method = self.settings.seed, dict(shard.batches()), self.settings.reference
        within = self.settings.within
        kept = (kept_as_recipe(w, seed, batches, method, within) for w in tally.witnesses)
        return replace(tally, witnesses=tuple(kept))

    def batches(self, shard: Shard) -> Iterator[Batch]:
        """Yield the batches of a shard."""
        method = self.settings.reference
        for number, count in shard.batches():
            x, labels = self._batch(shard, number, count)

            def rows(part: slice, op: Op, x: Any = x, labels: Any = labels, number: int = number) -> Rows:
                made = Rows.of(shard.format, x[part], shard.out_format, number, labels[part], method, op)
                return replace(made, first=part.start)

            yield Batch(number, x, rows)

    def _batch(self, shard: Shard, number: int, count: int) -> tuple[NDArray[Any], tuple[str, ...]]:
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


class _WithCurves(Record[Task]):
    """A ledger that writes the document of a search before its tally, so that a kill loses both or neither.

    Args:
        order: names of the searches, as the document `search` lists them.
    """

    def __init__(self, ledger: Ledger, order: list[str]) -> None:
        super().__init__(ledger)
        self._order = order

    def keep(self, done: Done[Task]) -> None:
        """See `Record.keep`."""
        if done.document is not None:
            held = {document["id"]: document for document in self.ledger.get("search") or ()}
            held[done.task.id] = done.document
            self.ledger.put("search", [held[name] for name in self._order if name in held])
        super().keep(done)
