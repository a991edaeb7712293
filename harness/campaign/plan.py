"""The plan of a campaign: its cells, its shards and searches, and how many rows each candidate is given.

The plan is a pure function of the settings, of what the candidates support, and of the rations. A shard is a
series of batches of one (format, regime, length), which every candidate is given. Batches depend on the seed
and on row counts only, so a shard gives the same tallies wherever it is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from harness.campaign.settings import Settings
from harness.campaign.tasks import Search, Shard, Task, rows_per_batch
from harness.campaign.workload import INPUT, Workload
from harness.subject.candidates import Candidate, load
from harness.subject.execution import Executor
from harness.subject.probe import probed
from harness.subject.rations import Ration, Rations
from harness.subject.subject import Subject
from harness.terminal.deadline import NEVER, Deadline
from reference.formats import FloatFormat
from reports.record.cells import SEARCHED
from reports.record.ledger import CellInfo
from reports.record.witness import CellKey

__all__ = ["Plan"]

SHARD_BATCHES: Final = 16
"""The most batches in a shard: about a second of work, which an interruption can lose."""


@dataclass(frozen=True)
class Plan:
    """The cells and tasks of one invocation.

    Attributes:
        candidates: in order, each with the policy by which it is judged: the settings' over its own.
        pairs: names of the candidates and formats that have cells; None where every candidate has in every
            format.
        rations: by the same names, how many rows a candidate is given that is not given all: the first of
            each cell.
    """

    settings: Settings
    candidates: tuple[Candidate, ...]
    pairs: frozenset[tuple[str, str]] | None = None
    rations: Rations = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, deadline: Deadline = NEVER) -> Self:
        """Return the plan of these settings, its candidates loaded.

        Raises:
            CandidateError: a candidate cannot be loaded.
            OutOfTime: the deadline passed before all were loaded.
        """
        candidates = []
        for spec in settings.candidates:
            deadline.check()
            candidates.append(load(spec, settings.import_timeout, settings.op))
        return cls(settings, tuple(candidates))

    def __post_init__(self) -> None:
        bound = tuple(candidate.under(self.settings.policies) for candidate in self.candidates)
        object.__setattr__(self, "candidates", bound)

    def probed(self, executor: Executor) -> Self:
        """Return the plan after probing each candidate that does not declare its formats."""
        settings = self.settings
        asked = (
            probed(c, settings.formats, settings.out_format, executor, settings.within)
            for c in self.candidates
        )
        return replace(self, candidates=tuple(asked))

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, what determines the figures: the settings and the rows left out."""
        if not self.rations:
            return self.settings.identity()
        given: dict[str, dict[str, Any]] = {}
        for (name, fmt), ration in self.rations.items():
            given.setdefault(name, {})[fmt] = ration.document()
        return {**self.settings.identity(), "rations": given}

    def rationed_as(self, identity: Mapping[str, Any]) -> Self:
        """Return the plan with the rations of an earlier one, by its `identity`."""
        given = identity.get("rations") or {}
        rations = {
            (name, fmt): Ration.from_document(document)
            for name, formats in given.items()
            for fmt, document in formats.items()
        }
        return replace(self, rations=rations)

    @property
    def workload(self) -> Workload:
        """The rows of the plan, before they are rationed."""
        return Workload(self.settings)

    # Candidates --------------------------------------------------------------------------

    def named(self, name: str) -> Candidate:
        """Return the candidate of a name."""
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def formats_of(self, candidate: Candidate) -> Iterator[FloatFormat]:
        """Yield the formats in which a candidate has cells."""
        for fmt in self.settings.formats:
            if self.pairs is None or (candidate.name, fmt.name) in self.pairs:
                yield fmt

    def measured_formats(self, candidate: Candidate) -> Iterator[FloatFormat]:
        """Yield the formats in which rows are made for a candidate."""
        for fmt in self.formats_of(candidate):
            if candidate.supports(fmt, self._out_format(fmt)):
                yield fmt

    def measured_candidates(self, fmt: FloatFormat) -> list[Candidate]:
        """Return the candidates for which rows of a format are made."""
        return [candidate for candidate in self.candidates if fmt in self.measured_formats(candidate)]

    def subject(self, candidate: Candidate, fmt: FloatFormat, executor: Executor) -> Subject:
        """Return a candidate of the plan in a format, bound to its executor."""
        settings = self.settings
        out = self._out_format(fmt)
        return Subject(candidate, fmt, out, executor, settings.timeout, settings.reference, settings.within)

    def _out_format(self, fmt: FloatFormat) -> FloatFormat:
        return self.settings.out_format or fmt

    # Tasks -------------------------------------------------------------------------------

    def tasks(self) -> Iterator[Task]:
        """Yield all tasks: the shards, then the searches."""
        yield from self.shards()
        yield from self.searches()

    def shards(self) -> Iterator[Shard]:
        """Yield the shards: fixed rows first, then the formats, regimes and lengths in turn."""
        for sampled in (False, True):
            for fmt in self.settings.formats:
                for regime, length, rows in self.workload.cells(fmt, sampled=sampled):
                    most = self._most(fmt, regime, length, rows)
                    yield from self._split(fmt, regime, length, rows, most, sampled=sampled)

    def _split(
        self, fmt: FloatFormat, regime: str, length: int, rows: int, most: int, *, sampled: bool
    ) -> Iterator[Shard]:
        """Yield the shards of a cell, as far as they hold one of the first `most` rows."""
        batches = -(-most // rows_per_batch(regime, length))
        for first in range(0, batches, SHARD_BATCHES):
            last = min(first + SHARD_BATCHES, batches) - 1
            yield Shard(fmt, self._out_format(fmt), regime, length, rows, first, last, sampled)

    def searches(self) -> Iterator[Search]:
        """Yield the searches, which follow the shards."""
        for fmt in self.settings.formats:
            out = self._out_format(fmt)
            for length, evaluations in self.workload.searched():
                for candidate in self.candidates:
                    given = self._given(candidate, fmt, SEARCHED, length, evaluations)
                    if candidate.supports(fmt, out) and given:
                        yield Search(candidate.name, fmt, out, length, given)

    # Rows --------------------------------------------------------------------------------

    def given_of(self, candidate: Candidate, shard: Shard, number: int) -> int:
        """Return how many rows a candidate is given from a batch on, by the number of the batch."""
        given = self._given(candidate, shard.format, shard.regime, shard.length, shard.rows)
        return max(0, given - number * rows_per_batch(shard.regime, shard.length))

    def _given(self, candidate: Candidate, fmt: FloatFormat, regime: str, length: int, rows: int) -> int:
        """Return how many rows of a cell a candidate is given."""
        ration = self.rations.get((candidate.name, fmt.name))
        return ration.rows(self.workload.group(regime, length, rows)) if ration else rows

    def _most(self, fmt: FloatFormat, regime: str, length: int, rows: int) -> int:
        """Return the most rows of a cell that any candidate is given; no others are made."""
        if not self.rations:
            return rows
        takers = self.measured_candidates(fmt)
        return max((self._given(c, fmt, regime, length, rows) for c in takers), default=rows)

    # Cells -------------------------------------------------------------------------------

    def cells(self) -> Iterator[CellInfo]:
        """Yield the cells in the order of reports: by candidate, format, regime and length."""
        for candidate in self.candidates:
            for fmt in self.formats_of(candidate):
                for sampled in (False, True):
                    for regime, length, rows in self.workload.cells(fmt, sampled=sampled):
                        if self._given(candidate, fmt, regime, length, rows):
                            yield self._cell_info(candidate, fmt, regime, length, sampled=sampled)
                for length, rows in self.workload.searched():
                    if self._given(candidate, fmt, SEARCHED, length, rows):
                        yield self._cell_info(candidate, fmt, SEARCHED, length, sampled=False)
                if self.workload.lacks_input(fmt):
                    yield self._empty_input(candidate, fmt)

    def cell_of(self, candidate: Candidate, fmt: FloatFormat, regime: str, length: int) -> CellKey:
        """Return the cell of a candidate's rows."""
        out = self._out_format(fmt)
        return CellKey(candidate.name, candidate.op.name, fmt.name, out.name, regime, length)

    def _cell_info(
        self, candidate: Candidate, fmt: FloatFormat, regime: str, length: int, *, sampled: bool
    ) -> CellInfo:
        key = self.cell_of(candidate, fmt, regime, length)
        if candidate.supports(fmt, self._out_format(fmt)):
            return CellInfo(key, sampled=sampled)
        message = candidate.refusal(fmt, self._out_format(fmt))
        return CellInfo(key, sampled=sampled, status="unsupported", message=message)

    def _empty_input(self, candidate: Candidate, fmt: FloatFormat) -> CellInfo:
        within = self.settings.within
        key = self.cell_of(candidate, fmt, INPUT, 0)
        message = f"no row of the input fits {fmt}" + ("" if within is None else f" and the range {within}")
        return CellInfo(key, sampled=False, status="unsupported", message=message)
