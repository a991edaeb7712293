"""A bracket of the greatest ULP error over all rows of a length, where there are too many rows for a proof.

Below stands the error of a row that was called, the worst that searches from several seeds found. Above
stands what no error exceeds under one assumption: that the candidate keeps the a-priori bound of an
algorithm in every row. That is the algorithm which it declares, or the loosest that a tier allows;
`reference.bounds.supremum` has the greatest of its bounds. No number of calls proves the assumption. One
row that breaks it refutes it, and every row that a search tries is held against it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, ClassVar, Final

import numpy as np

from harness.campaign.deal import Measured
from harness.exhaust.enumeration import Enumeration
from harness.exhaust.exhaustion import Range, identity_of
from harness.subject.execution import Executor
from harness.subject.subject import Subject
from harness.witnesses.search import Trial, search_tally
from reference.bounds.supremum import Supremum, supremum, why_none
from reference.declaration import Algorithm
from reference.tiers import STANDARD, Tier
from reports.record.cells import SEARCHED
from reports.record.ledger import CellInfo
from reports.record.tally import Tally
from reports.record.witness import CellKey, Witness

__all__ = ["EVALUATIONS", "Assumption", "Bracket", "NoBracket", "outward"]

SEARCHES: Final = 2
"""Searches, each with a seed of its own."""

EVALUATIONS: Final = 200_000
"""Rows that all searches together may try."""

_PROBED: Final = 4096
"""Rows of a search that tells the time."""

_FIGURES: Final = 6
"""Digits of the ends as they are printed, each end rounded outward."""


class NoBracket(Exception):
    """There is no upper end, or a row refutes it."""


@dataclass(frozen=True)
class Assumption:
    """That a candidate keeps the a-priori bound of an algorithm in every row.

    Attributes:
        name: of the algorithm or the tier, as a sentence has it.
        tier: the tier whose loosest algorithm it is, None where the candidate declares it.
        algorithm: the algorithm.
    """

    name: str
    tier: Tier | None
    algorithm: Algorithm

    @classmethod
    def of(cls, subject: Subject, length: int, tier: Tier | None) -> Assumption:
        """Return what to assume: a tier that is asked for, else what is declared, else `standard`.

        Raises:
            NoBracket: the tier has no bound, or does not speak of the output format.
        """
        declared = subject.declaration.algorithm
        if tier is None and declared is not None:
            return cls(f"the declared algorithm ({declared.name})", None, declared)
        tier = tier or STANDARD
        try:
            return cls(f"the tier {tier.name}", tier, tier.algorithm_for(subject.out, length))
        except ValueError as error:
            reason, _, _ = str(error).partition(";")  # what to do instead is the command's to say
            raise NoBracket(reason) from None

    def greatest_ratio(self, tally: Tally) -> float | None:
        """Return the greatest error over its bound of the rows tried."""
        return tally.max_algorithm_ratio if self.tier is None else tally.tier_ratios.get(self.kind)

    @property
    def kind(self) -> str:
        """The kind of the witness that shows that ratio."""
        return "algorithm_ratio" if self.tier is None else f"over_{self.tier.name}"


@dataclass(frozen=True)
class Bracket:
    """All finite rows of a format and length, between a row that was called and an assumed bound.

    Attributes:
        subject: whose rows.
        length: entries of a row.
        assumption: what is assumed of it.
        above: the upper end.
    """

    subject: Subject
    length: int
    assumption: Assumption
    above: Supremum

    through_shift: ClassVar = True
    counted: ClassVar = "of the rows tried, "

    @classmethod
    def checked(cls, subject: Subject, length: int, tier: Tier | None) -> Bracket:
        """Return the plan, its upper end computed.

        Raises:
            NoBracket: no bound limits all rows.
        """
        assumption = Assumption.of(subject, length, tier)
        fmt, out, algorithm = subject.format, subject.out, assumption.algorithm
        if reason := why_none(algorithm, fmt, out):
            raise NoBracket(f"{assumption.name} has no bound that holds for all rows: {reason}")
        above = supremum(algorithm, length, fmt, out)
        if above is None or not np.isfinite(above.bound):
            raise NoBracket(f"{assumption.name} has no bound that holds for all rows of {length} entries")
        return cls(subject, length, assumption, above)

    @property
    def rows(self) -> int:
        """How many rows the searches may try."""
        return EVALUATIONS

    @property
    def cell(self) -> CellKey:
        """The cell that all rows are of."""
        return self.subject.cell(SEARCHED, self.length)

    @property
    def cells(self) -> list[CellInfo]:
        """The plan of the ledger; its rows are no sample."""
        return [CellInfo(self.cell, sampled=False)]

    @property
    def scope(self) -> str:
        """Which rows the bracket is of."""
        return str(Enumeration(self.subject.format, self.length, unordered=False, one_zero=True))

    @property
    def assumed(self) -> str:
        """What is assumed, and what follows."""
        left_out = "" if self._overflows_nowhere else ", but where its differences leave the format's range"
        if self.subject.declaration.policy.subnormals == "flush":
            left_out += ", but for subnormal results that it flushes to zero"
        return (
            f"assumed: in every row the error is at most the a-priori bound of {self.assumption.name}"
            f"{left_out}; over all rows this bound is at most {outward(self.above.bound, ROUND_CEILING)} ULP"
        )

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures, as JSON carries it."""
        upper = {"assumed": self.assumption.name, "above": self.above.bound}
        return {**identity_of(self.subject, self.cell, self.rows), **upper}

    @property
    def shard_count(self) -> int:
        """How many searches there are."""
        return SEARCHES

    def shards(self) -> Iterator[Range]:
        """Yield the searches, each as the rows that it may try."""
        share = EVALUATIONS // SEARCHES
        return (Range(seed, seed * share, (seed + 1) * share) for seed in range(SEARCHES))

    def measure(self, shard: Range, executor: Executor) -> Measured:
        """Return the tally of a search; the shard's number is its seed."""
        tiers = () if self.assumption.tier is None else (self.assumption.tier,)
        subject, rows = self.subject.by(executor), shard.last - shard.first
        _, tally = search_tally(subject, self.length, rows, shard.number, "ulp", tiers=tiers)
        digest = hashlib.sha256("".join(d for _, d in sorted(tally.digests.items())).encode()).hexdigest()
        return Measured({self.cell: replace(tally, digests={shard.number: digest})})

    def seconds(self) -> float:
        """Return about how long all searches take one thread: what each begins with, and their rows.

        A short search tells: the time between most batches is that of their rows, the rest that of beginning.
        """
        ends = [time.perf_counter()]
        rows: list[int] = []

        def note(trial: Trial) -> None:
            ends.append(time.perf_counter())
            rows.append(len(trial.scores))

        search_tally(self.subject, self.length, _PROBED, 0, "ulp", observe=note)
        a_row = float(np.median(np.diff(ends) / rows))
        beginning = max(ends[-1] - ends[0] - a_row * sum(rows), 0.0)
        return SEARCHES * beginning + a_row * EVALUATIONS

    # What follows --------------------------------------------------------------------------

    def statement(self, tally: Tally) -> str:
        """Return the bracket in a sentence."""
        low, high = self.ends(tally)
        below, above = outward(low, ROUND_FLOOR), outward(high, ROUND_CEILING)
        return f"the greatest ULP error is between {below} and {above}: {self.scope}"

    def ends(self, tally: Tally) -> tuple[float, float]:
        """Return both ends in ULP; a flush to zero that the policy excuses is no lower end."""
        worst = _witness(tally, "max_ulp")
        return 0.0 if worst is None else worst.score, self.above.bound

    def document(self, tally: Tally) -> dict[str, Any]:
        """Return the bracket as JSON."""
        below, above = self.ends(tally)
        ratio = self.assumption.greatest_ratio(tally)
        return {
            "below": below,
            "above": above,
            "assumed": self.assumption.name,
            "greatest_bound_ratio": ratio,
        }

    def grounds(self, tally: Tally) -> str:
        """Return in a sentence what the rows tried say of the assumption."""
        ratio = self.assumption.greatest_ratio(tally)
        came = "" if ratio is None else f"; the nearest came to {ratio:.4g} of its bound"
        lost = tally.rows - tally.completed
        kinds = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in sorted(tally.faults.items()))
        without = (
            f"; {lost} more brought no outputs ({kinds}), and nothing is said of such rows" if lost else ""
        )
        return f"of {tally.completed} rows tried, seeds 0 to {SEARCHES - 1}, none broke it{came}{without}"

    def refuted_by(self, tally: Tally) -> tuple[str, Witness | None] | None:
        """Return what refutes the assumption, and the row that shows it; None where no row tried does."""
        ratio = self.assumption.greatest_ratio(tally)
        if ratio is not None and ratio > 1:
            return f"the error is {ratio:.6g} of that row's bound", _witness(tally, self.assumption.kind)
        kinds = ["unexplained", "total_underflow", *(["overflow"] if self._overflows_nowhere else [])]
        for kind in kinds:
            if tally.outcomes.get(kind):
                return f"the outputs failed ({kind.replace('_', ' ')})", _witness(tally, kind)
        below, above = self.ends(tally)
        if below > above:
            error = f"the error is {below:.9g} ULP, and the row has no bound of its own"
            return error, _witness(tally, "max_ulp")
        return None

    @property
    def _overflows_nowhere(self) -> bool:
        """Whether every row has a bound: the format of the differences has an infinity to overflow to."""
        from reference.bounds import working_format

        inner = working_format(self.assumption.algorithm, self.subject.format, self.subject.out)
        return inner.has_infinity or 2 * self.subject.format.largest <= inner.largest


def _witness(tally: Tally, kind: str) -> Witness | None:
    return next((w for w in tally.witnesses if w.kind == kind), None)


def outward(value: float, rounding: str) -> str:
    """Write a number in a few digits, from below (`ROUND_FLOOR` of decimal) or above (`ROUND_CEILING`)."""
    return f"{Context(prec=_FIGURES, rounding=rounding).create_decimal(Decimal(value)).normalize():f}"
