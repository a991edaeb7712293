"""One group of suspects through the gate: its rows, its tiers, its contract, its verdicts.

Everything that judges is the gate's own. What is saved is time: rows and their truth are made once for all
suspects of a format, rows that tell most come first, and whoever fails is not examined further, as the
gate fails by any one failing verdict. Where the contract is asked first, the cells come after it, with the
suspect in a fresh state; who fails neither has seen all that the gate shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from harness.campaign import Campaign, Shard
from harness.candidates import Candidate
from harness.checks import each_check
from harness.checks.contract import CONTRACT
from harness.execution import Executor, InProcess
from harness.gate import of_tier
from harness.gate.judging import judge_cell, judge_check
from harness.gate.measuring import GATE, Cell, gate_settings
from harness.settings import Effort, Settings
from reference.formats import FloatFormat
from reports.cells import cell_row
from reports.ledger import CellInfo
from reports.verdicts import FAILED, Verdict

if TYPE_CHECKING:
    from harness.gate import Budget

__all__ = ["Suspect", "first_failures"]

TELLING: Final = 100
"""The length whose rows come first, then those next to it by their logarithms."""


@dataclass(frozen=True)
class Suspect:
    """Who is examined.

    Attributes:
        name: no two alike.
        make: to a candidate of that name and spec, in a fresh state.
        checks_first: whether the contract is asked before the cells.
    """

    name: str
    make: Callable[[], Candidate]
    checks_first: bool = False


def first_failures(
    suspects: Sequence[Suspect],
    fmt: FloatFormat,
    tier: str,
    seed: int = 0,
    *,
    strict: bool = False,
    effort: Effort = GATE,
) -> dict[str, Verdict]:
    """Return the first failing verdict of each suspect that fails, by its name.

    Args:
        suspects: whom to examine.
        fmt: in which format.
        tier: held to which tier.
        seed: decides the rows; 0 is the gate's own.
        strict: whether a verdict that is none, such as that nothing was measured, counts as a failure.
        effort: how many rows; the gate's own.
    """
    return _Trial(suspects, fmt, tier, seed, strict=strict, effort=effort).failures()


class _Trial:
    def __init__(
        self,
        suspects: Sequence[Suspect],
        fmt: FloatFormat,
        tier: str,
        seed: int,
        *,
        strict: bool,
        effort: Effort,
    ) -> None:
        self._suspects = suspects
        self._format = fmt
        self._tier = tier
        self._passing = {"pass"} if strict else None
        names = tuple(suspect.name for suspect in suspects)
        self._settings = gate_settings(Settings(names, (fmt,), seed=seed, effort=effort), (tier,))
        self._found: dict[str, Verdict] = {}

    def failures(self) -> dict[str, Verdict]:
        """Ask the contract of those likelier to break it, then look at cells, then ask the rest."""
        asked = [s for s in self._suspects if s.checks_first]
        self._ask({s.name: s.make() for s in asked})
        fresh = self._made(self._suspects)
        self._look(fresh)
        self._ask({name: c for name, c in fresh.items() if name not in {s.name for s in asked}})
        return self._found

    def _made(self, suspects: Sequence[Suspect]) -> dict[str, Candidate]:
        return {s.name: s.make() for s in suspects if s.name not in self._found}

    def _note(self, verdicts: Iterator[Verdict]) -> bool:
        """Keep the first verdict that fails, and tell whether there is one."""
        for verdict in verdicts:
            failed = (
                verdict.status in FAILED if self._passing is None else verdict.status not in self._passing
            )
            if failed:
                self._found.setdefault(verdict.candidate, verdict)
                return True
        return False

    # The contract --------------------------------------------------------------------------

    def _ask(self, candidates: Mapping[str, Candidate]) -> None:
        with InProcess(load=candidates.__getitem__) as executor:
            for name, candidate in candidates.items():
                if name not in self._found:
                    self._note(self._contract(candidate, executor))

    def _contract(self, candidate: Candidate, executor: Executor) -> Iterator[Verdict]:
        policy = self._settings.policy(candidate.declaration.policy)
        declared = replace(candidate, declaration=replace(candidate.declaration, policy=policy))
        for result in each_check(
            declared, self._format, executor, self._settings.seed, checks=CONTRACT, floors=()
        ):
            yield from judge_check(result)

    # Cells ---------------------------------------------------------------------------------

    def _look(self, candidates: Mapping[str, Candidate]) -> None:
        left = dict(candidates)
        campaign = Campaign(self._settings, tuple(left.values()))
        with InProcess(load=candidates.__getitem__) as executor:
            for shard in sorted(campaign.shards(), key=_telling):
                for name in self._failing(
                    replace(campaign, candidates=tuple(left.values())), shard, executor
                ):
                    del left[name]
                if not left:
                    return

    def _failing(self, campaign: Campaign, shard: Shard, executor: Executor) -> Iterator[str]:
        for key, tally in campaign.measure(shard, executor).items():
            cell = Cell(cell_row(CellInfo(key, sampled=shard.sampled), tally), tally)
            if self._note(judge_cell(cell, self._budgets(key.candidate))):
                yield key.candidate

    def _budgets(self, name: str) -> list[Budget]:
        return of_tier(self._tier, [name], [self._format.name], None)


def _telling(shard: Shard) -> float:
    return abs(math.log(shard.length / TELLING))
