"""The data that the pages of a run draw from, built once from its ledger.

`RunData` holds figures and witnesses, never rows of a batch: its size grows with the number
of cells, candidates and formats, not with the rows that were measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from reports.findings import Finding, findings_of, gathered
from reports.machines import machines
from reports.record.cells import NOT_A_FAMILY, SEARCHED, Row, cell_row
from reports.record.ledger import CellInfo, Ledger
from reports.record.metrics import METRICS
from reports.record.run_folder import replay_command
from reports.record.tally import Tally, merge
from reports.record.verdicts import FAILED, Verdict
from reports.record.witness import CellKey, Witness, gravity

__all__ = ["SCHEMA_VERSION", "RunData", "Standing", "StandingKey", "build", "worst_of"]

SCHEMA_VERSION: Final = 1
"""The version of summary.json, raised whenever a key changes its meaning or is removed."""

DOCUMENTS: Final = ("comparison", "explanations", "search", "selftest")
"""Documents of the ledger that sections draw."""

WRONGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        metric.name: metric.wrong
        for metric in sorted(METRICS.values(), key=lambda metric: metric.compared or 0)
        if metric.wrong
    }
)
"""Counts that show a candidate wrong though no row failed, the gravest first, and what is counted."""

_FIRST_TURNS: Final = 2
"""Witnesses of each candidate and format that come before any further one."""

_MERGED_AT_ONCE: Final = 32  # merging one by one would sort the growing histogram once a cell


class StandingKey(NamedTuple):
    """Candidate, op and formats of a standing."""

    candidate: str
    op: str
    format: str
    out_format: str

    @property
    def formats(self) -> str:
        """The format, and the output's where it is another."""
        return self.format if self.format == self.out_format else f"{self.format} > {self.out_format}"


def worst_of(cells: Iterable[Row], column: str) -> Row | None:
    """Return the cell with the greatest figure, of equals that with most rows; None where all are null."""
    measured = [cell for cell in cells if cell[column] is not None]
    return max(measured, key=lambda cell: (cell[column], cell["judged_rows"]), default=None)


@dataclass(frozen=True)
class Standing:
    """How one candidate stands in one format, over all its cells.

    Attributes:
        key: which candidate, and in which format.
        cells: the rows of the table of cells, in the plan's order.
        errors: the errors of all cells together: a mixture of regimes in the proportions of
            this run, fit for a picture of where errors lie, never for a rate.
    """

    key: StandingKey
    cells: tuple[Row, ...]
    errors: Tally

    def worst(self, column: str) -> Row | None:
        """Return the cell with the greatest figure, None where all are null.

        Of rates, those of `NOT_A_FAMILY` are named only where all others are 0 or null.
        """
        if column.endswith("_rate"):
            worst = worst_of((cell for cell in self.cells if cell["regime"] not in NOT_A_FAMILY), column)
            if worst is not None and worst[column]:
                return worst
        return worst_of(self.cells, column)

    def greatest(self, column: str) -> float | None:
        """Return the greatest figure of a column, None where all are null."""
        worst = self.worst(column)
        return None if worst is None else worst[column]

    def total(self, column: str) -> int:
        """Return the sum of a count."""
        return sum(cell[column] for cell in self.cells)

    @property
    def lost_rows(self) -> int:
        """How many of its rows gave no output."""
        return self.total("rows") - self.total("completed_rows")

    @property
    def wrongs(self) -> dict[str, int]:
        """The counts of `WRONGS` that are not 0."""
        return {column: number for column in WRONGS if (number := self.total(column))}

    @property
    def is_measured(self) -> bool:
        """Whether any of its rows has outputs."""
        return any(cell["completed_rows"] for cell in self.cells)

    @property
    def is_unsupported(self) -> bool:
        """Whether the candidate does not take the format."""
        return all(cell["status"] == "unsupported" for cell in self.cells)


@dataclass(frozen=True)
class RunData:
    """A run as the pages draw it.

    Attributes:
        name: the RUN in RUN#ID; empty where the run left no folder.
        settings, environment, timing, command, claims, checks: documents of the ledger, as they are.
        cells: one row a cell, in the plan's order.
        standings: one a candidate, op and pair of formats, in the plan's order.
        findings: what went wrong, by the cells.
        reported: findings that the program put into the ledger itself.
        witnesses: the worst of each candidate, format and kind, shrunk where that was tried, the gravest
            kind first.
        found: the original witness, by the id of the shrunk one that is drawn instead.
        witness_count: witnesses in all.
        shards, shards_left: how many the plan has, and how many of them are not measured yet.
        unchecked: pairs of candidate and format whose checks are not made yet.
        verdicts: what a gate decided, where one did.
        documents: those of `DOCUMENTS` that the ledger holds, as they are.
    """

    name: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    timing: Mapping[str, Any]
    command: Any
    claims: tuple[Mapping[str, Any], ...]
    checks: tuple[Mapping[str, Any], ...]
    cells: tuple[Row, ...]
    standings: tuple[Standing, ...]
    findings: tuple[Finding, ...]
    reported: tuple[Mapping[str, Any], ...]
    witnesses: tuple[Witness, ...]
    found: Mapping[str, Witness]
    witness_count: int
    verdicts: tuple[Verdict, ...]
    documents: Mapping[str, Any]
    shards: int = 0
    shards_left: int = 0
    unchecked: int = 0

    @property
    def seed(self) -> Any:
        """The seed, None where the settings name none."""
        return self.settings.get("seed")

    @property
    def left(self) -> dict[str, int]:
        """How many shards and checks are left of an interrupted run."""
        return {"shards": self.shards_left, "checks": self.unchecked}

    @property
    def is_exhaustive(self) -> bool:
        """Whether its rows are all that there are: none was drawn, and none is left."""
        return self.seed is None and not self.shards_left

    @property
    def is_of_cells(self) -> bool:
        """Whether it measured candidates, or was to; a self-test has no cells."""
        return bool(self.cells) or "selftest" not in self.documents

    @property
    def rows(self) -> int:
        """Rows given to candidates, in all."""
        return sum(cell["rows"] for cell in self.cells)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The candidates, in the plan's order."""
        return tuple(dict.fromkeys(cell["candidate"] for cell in self.cells))

    @property
    def formats(self) -> tuple[str, ...]:
        """The pairs of formats, in the plan's order."""
        return tuple(dict.fromkeys(standing.key.formats for standing in self.standings))

    @cached_property
    def violations(self) -> Mapping[tuple[str, str], int]:
        """How many limits of a gate each candidate is beyond, by candidate and formats."""
        return Counter((v.candidate, v.formats) for v in self.verdicts if v.status in FAILED)

    def is_troubled(self, standing: Standing) -> bool:
        """Whether anything is wrong with a candidate in a format.

        Rows failed or gave no output, entries are wrong outright, or a limit is exceeded: the gate's where
        one judged, else the bound of the standard tier or of the declared algorithm.
        """
        key = standing.key
        ratios = () if self.verdicts else ("bound_ratio", "algorithm_ratio")
        return bool(
            standing.total("failed_rows")
            or standing.lost_rows
            or standing.wrongs
            or self.violations.get((key.candidate, key.formats))
            or any((standing.greatest(ratio) or 0) > 1 for ratio in ratios)
        )

    def telling_witnesses(self, most: int) -> list[Witness]:
        """Return up to `most` witnesses: of all that are in trouble the gravest, then of all others.

        Candidates and formats take turns; each shows first its gravest witness, then its greatest error.
        """
        troubled = {s.key for s in self.standings if self.is_troubled(s)}
        by_standing: dict[StandingKey, list[Witness]] = {}
        for witness in self.witnesses:  # the gravest first
            cell = witness.cell
            key = StandingKey(cell.candidate, cell.op, cell.format, cell.out_format)
            by_standing.setdefault(key, []).append(witness)
        ranked = []
        for number, (key, own) in enumerate(by_standing.items()):
            greatest = [w for w in own if w.kind == "max_ulp" and w is not own[0]]
            others = [w for w in own[1:] if w not in greatest]
            for turn, witness in enumerate([own[0], *greatest, *others]):
                ranked.append((turn >= _FIRST_TURNS, key not in troubled, turn, number, witness))
        return [witness for *_, witness in sorted(ranked, key=lambda entry: entry[:-1])[:most]]

    @property
    def broken_checks(self) -> list[Mapping[str, Any]]:
        """The checks that candidates break by more than the order of additions explains."""
        return [c for c in self.checks if c.get("status") == "violated" and not c.get("consequence")]

    def replay_command(self, identity: str) -> str:
        """Return the command that replays a witness; empty where the run left no folder."""
        return replay_command(self.name, identity) if self.name else ""


def build(
    ledger: Ledger,
    name: str,
    each: Callable[[Tally], None] | None = None,
    known: Mapping[CellKey, Tally] = MappingProxyType({}),
) -> RunData:
    """Build the data of a run in one pass over its ledger.

    Args:
        ledger: open.
        name: the RUN in RUN#ID; empty where the run leaves no folder.
        each: called with the merged tally of every cell, in the plan's order.
        known: see `Ledger.tallies`.
    """
    collector = _Collector(ledger.small())
    for info, tally in ledger.tallies(known):
        if each is not None:
            each(tally)
        collector.add(info, tally)
    shrunk = ledger.shrunk()
    witnesses = [shrunk.get(witness.id, witness) for witness in collector.worst.values()]
    planned = int(ledger.get("shards") or 0)
    return RunData(
        name=name,
        settings=ledger.settings(),
        environment={**(ledger.get("environment") or {}), **_machines(ledger)},
        timing={"shard_seconds": ledger.seconds(), **(ledger.get("timing") or {})},
        command=ledger.get("command"),
        claims=tuple(ledger.get("claims") or ()),
        checks=tuple(ledger.get("checks") or ()),
        cells=tuple(collector.cells),
        standings=tuple(collector.standings()),
        findings=tuple(_with_small_witness(f, shrunk) for f in gathered(collector.findings)),
        reported=tuple(ledger.get("findings") or ()),
        witnesses=tuple(sorted(witnesses, key=_gravity)),
        found={
            small.id: witness
            for witness in collector.worst.values()
            if (small := shrunk.get(witness.id, witness)) != witness
        },
        witness_count=collector.witness_count,
        verdicts=tuple(Verdict.from_document(document) for document in ledger.get("verdicts") or ()),
        documents={name: value for name in DOCUMENTS if (value := ledger.get(name)) is not None},
        shards=planned,
        shards_left=max(planned - len(ledger.finished()), 0),
        unchecked=_unchecked(ledger),
    )


def _unchecked(ledger: Ledger) -> int:
    """Return how many pairs of candidate and format are not checked yet."""
    checked = {(check.get("candidate"), check.get("format")) for check in ledger.get("checks") or ()}
    return max(int(ledger.get("pairs") or 0) - len(checked), 0)


def _machines(ledger: Ledger) -> dict[str, Any]:
    counts = machines(ledger)
    return {"machines": counts} if counts else {}


@dataclass
class _Collector:
    """Collects the data of a run from its cells, one at a time."""

    small: Mapping[str, str]
    cells: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    errors: dict[StandingKey, list[Tally]] = field(default_factory=dict)
    worst: dict[tuple[StandingKey, str], Witness] = field(default_factory=dict)
    witness_count: int = 0

    def add(self, info: CellInfo, tally: Tally) -> None:
        row = cell_row(info, tally, self.small)
        key = _standing(row)
        self.cells.append(row)
        self.findings += findings_of(row, tally)
        self._pool(key, tally, is_searched=row["regime"] == SEARCHED)
        self._keep(key, tally.witnesses)

    def _pool(self, key: StandingKey, tally: Tally, *, is_searched: bool) -> None:
        """Add the errors of a cell, and its places if all candidates saw its rows or it is the first."""
        parts = self.errors.setdefault(key, [])
        if is_searched and parts:
            tally = replace(tally, places={}, place_errors={})
        parts.append(tally)
        if len(parts) == _MERGED_AT_ONCE:
            self.errors[key] = [_errors_of(parts)]

    def _keep(self, key: StandingKey, witnesses: Iterable[Witness]) -> None:
        for witness in witnesses:
            self.witness_count += 1
            held = self.worst.get((key, witness.kind))
            if held is None or _rank(witness) < _rank(held):
                self.worst[key, witness.kind] = witness

    def standings(self) -> Iterator[Standing]:
        cells: dict[StandingKey, list[Row]] = {key: [] for key in self.errors}
        for row in self.cells:
            cells[_standing(row)].append(row)
        for key, parts in self.errors.items():
            yield Standing(key, tuple(cells[key]), _errors_of(parts))


def _errors_of(parts: Iterable[Tally]) -> Tally:
    """Return the counts of some cells together, without their rows."""
    return replace(merge(parts), witnesses=(), digests={})


def _with_small_witness(finding: Finding, shrunk: Mapping[str, Witness]) -> Finding:
    small = shrunk.get(finding.witness or "")
    return finding if small is None else replace(finding, witness=small.id)


def _standing(row: Row) -> StandingKey:
    return StandingKey(*(row[name] for name in StandingKey._fields))


def _rank(witness: Witness) -> tuple[float, int, str, str]:
    """Rank witnesses of one kind: the worst, then the shortest, which is the easiest to read."""
    return -witness.score, witness.cell.length, witness.cell.regime, witness.origin


def _gravity(witness: Witness) -> tuple[bool, bool, int, float]:
    return *gravity(witness), -witness.score
