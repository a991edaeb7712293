"""The searches of a campaign: every candidate's worst row of a format and length, looked for.

A search is dealt as a shard is, and counts its rows as a cell of the regime `search`; its curve is
kept as a document, put into the ledger before its tally, so that a kill loses both or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.campaign.deal import Record, Threads, deal
from harness.campaign.settings import Settings
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor
from harness.subject.subject import Subject
from harness.terminal.deadline import NEVER, Deadline
from reference.formats import FloatFormat
from reports.record.cells import SEARCHED
from reports.record.ledger import Ledger, Place
from reports.record.tally import Tally
from reports.record.witness import CellKey

__all__ = ["Search", "run_searches"]

OBJECTIVE = "ulp"


@dataclass(frozen=True)
class Search:
    """One candidate's rows of one length, to be searched for the greatest ULP error.

    Attributes:
        evaluations: rows that may be tried.
    """

    candidate: Candidate
    format: FloatFormat
    out_format: FloatFormat
    length: int
    evaluations: int

    @property
    def regime(self) -> str:
        """What its rows are called in cells."""
        return SEARCHED

    @property
    def stage(self) -> str:
        """What it is a part of, to people."""
        return f"{self.format} searched rows"

    @property
    def id(self) -> str:
        """A name for the ledger."""
        out = "" if self.out_format == self.format else f">{self.out_format}"
        return f"{self.format}{out}/{SEARCHED}/{self.length}/{self.candidate.name}"


def run_searches(
    searches: Iterable[Search],
    settings: Settings,
    ledger: Ledger,
    executor: Executor,
    progress: Callable[[Search, Mapping[CellKey, Tally]], None],
    place: Place | None = None,
    deadline: Deadline = NEVER,
) -> None:
    """Run every search that the ledger lacks, `jobs` at a time, and record each as it ends.

    Args:
        searches: the plan, in the order in which the document `search` lists them.
        settings: seed, tiers, reference and limits of the campaign.
        ledger: where tallies and curves go.
        executor: calls the candidates.
        progress: told of each search when it is recorded.
        place: see `Threads`.
        deadline: see `deal`.
    """
    plan = list(searches)
    if not plan:
        return
    documents: dict[str, Any] = {}

    def measure(search: Search, executor: Executor) -> Mapping[CellKey, Tally]:
        tallies, documents[search.id] = _searched(search, settings, executor)
        return tallies

    crew = Threads(measure, executor, settings.jobs, place)
    deal(plan, crew, _Recorder(ledger, documents, [search.id for search in plan]), progress, deadline)


def _searched(search: Search, settings: Settings, executor: Executor) -> tuple[dict[CellKey, Tally], Any]:
    """Return the tally of a search by its cell, and the document about it, the witness by its id alone."""
    from harness.witnesses.search import search_tally

    subject = Subject(
        search.candidate, search.format, search.out_format, executor, settings.timeout, settings.reference
    )
    result, tally = search_tally(
        subject, search.length, search.evaluations, settings.seed, OBJECTIVE, tiers=settings.tiers
    )
    witness = result.witness.id if result.witness else None
    return {result.cell: tally}, {**result.document(), "witness": witness}


@dataclass(frozen=True)
class _Recorder(Record):
    """A ledger in which a search's document goes before its tally."""

    ledger: Ledger
    documents: Mapping[str, Any]
    order: list[str]

    def finished(self) -> set[str]:
        """See `Ledger.finished`."""
        return self.ledger.finished()

    def record(self, shard: str, tallies: Mapping[CellKey, bytes], seconds: float, place: Place) -> None:
        """See `Ledger.record`."""
        held = {document["id"]: document for document in self.ledger.get("search") or ()}
        held[shard] = {"id": shard, **self.documents[shard]}
        self.ledger.put("search", [held[name] for name in self.order if name in held])
        self.ledger.record(shard, tallies, seconds, place)
