"""A campaign: the measurement of a plan's tasks.

The rows of a shard are made and their truth is computed once; every candidate is given the same rows, a batch
in one call, and the tallies are returned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.campaign.deal import Crew, Done, Measured, Record, Threads, deal
from harness.campaign.environment import here
from harness.campaign.plan import Plan
from harness.campaign.tasks import Search, Shard, Task
from harness.campaign.workload import INPUT, Batch
from harness.measurement.outcomes import tally_outcome
from harness.measurement.rows import digest
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor
from harness.terminal.deadline import NEVER, Deadline
from harness.witnesses.batches import Part, seen_among
from harness.witnesses.recipes import Recipes, kept_as_recipe
from reports.record.ledger import Ledger
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey

__all__ = ["Campaign"]

OBJECTIVE: Final = "ulp"
"""The score that searches maximize."""


@dataclass(frozen=True)
class Campaign:
    """Measures the tasks of a plan."""

    plan: Plan

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
        plan = self.plan
        crew = crew or Threads(self.measure, executor, plan.settings.jobs, here(plan.candidates))
        record = _WithCurves(ledger, [search.id for search in plan.searches()])
        deal(plan.tasks(), crew, record, progress, deadline)

    def measure(self, task: Task, executor: Executor) -> Measured:
        """Measure a task."""
        if isinstance(task, Search):
            return self._searched(task, executor)
        return Measured(self._counted(task, executor))

    # Searches ----------------------------------------------------------------------------

    def _searched(self, search: Search, executor: Executor) -> Measured:
        """Search; return the tally, and a document that names the witness by its id."""
        from harness.witnesses.search import search_tally

        settings = self.plan.settings
        subject = self.plan.subject(self.plan.named(search.candidate), search.format, executor)
        result, tally = search_tally(
            subject, search.length, search.evaluations, settings.seed, OBJECTIVE, tiers=settings.tiers
        )
        witness = result.witness.id if result.witness else None
        document = {"id": search.id, **result.document(), "witness": witness}
        return Measured({result.cell: tally}, document)

    # Shards ------------------------------------------------------------------------------

    def _counted(self, shard: Shard, executor: Executor) -> dict[CellKey, Tally]:
        """Return the tallies of a shard, by cell."""
        parts: dict[CellKey, list[Tally]] = defaultdict(list)
        candidates, settings = self.plan.measured_candidates(shard.format), self.plan.settings
        recipes = Recipes(settings.seed, dict(shard.batches()), settings.within)
        for batch in self.plan.workload.batches(shard) if candidates else ():
            for cell, tally in self._tallied(shard, batch, candidates, executor, recipes):
                parts[cell].append(tally)
        merged = {cell: self._compact(merge(tallies), shard) for cell, tallies in parts.items()}
        if shard.regime != INPUT:
            return merged
        by_name = {candidate.name: candidate for candidate in candidates}
        return {
            cell: self._with_batches(tally, shard, by_name[cell.candidate], executor)
            for cell, tally in merged.items()
        }

    def _tallied(
        self,
        shard: Shard,
        whole: Batch,
        candidates: Sequence[Candidate],
        executor: Executor,
        recipes: Recipes,
    ) -> Iterator[tuple[CellKey, Tally]]:
        """Yield the cell and the tally of each part of a batch, candidate by candidate."""
        plan = self.plan
        is_profiled = plan.workload.is_profiled(shard.regime, shard.length)
        digests: dict[int, dict[int, str]] = {}
        for candidate in candidates:
            batch = whole.first(plan.given_of(candidate, shard, whole.number))
            rows = len(batch.x)
            if not rows:
                continue
            if rows not in digests:
                digests[rows] = {batch.number: digest(shard.format, batch.x)}
            subject = plan.subject(candidate, shard.format, executor)
            cell, declaration = subject.cell(shard.regime, shard.length), subject.declaration
            outcome = subject.run(batch.x)
            for part, judged in batch.parts(subject.op):
                tally = tally_outcome(
                    cell, judged, outcome.of(part), declaration, plan.settings.tiers,
                    profiled=is_profiled, recipe=recipes.of,
                )  # fmt: skip
                yield cell, replace(tally, digests=digests[rows], fallbacks=judged.truth.fallbacks)

    def _compact(self, tally: Tally, shard: Shard) -> Tally:
        """Return the tally with each long row replaced by its recipe."""
        settings, batches = self.plan.settings, dict(shard.batches())
        kept = (
            kept_as_recipe(w, settings.seed, batches, settings.reference, settings.within)
            for w in tally.witnesses
        )
        return replace(tally, witnesses=tuple(kept))

    def _with_batches(self, tally: Tally, shard: Shard, candidate: Candidate, executor: Executor) -> Tally:
        """Return the tally with the batches that rows of the user's file need, as the file may change."""
        wholes = {
            label: Part(x, row)
            for number, count in shard.batches()
            for x, labels in [self.plan.workload.labelled(shard, number, count)]
            for row, label in enumerate(labels)
        }

        outputs = self.plan.subject(candidate, shard.format, executor).outputs
        seen = (seen_among(w, wholes[w.origin], outputs) for w in tally.witnesses)
        return replace(tally, witnesses=tuple(seen))


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
