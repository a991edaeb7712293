"""Whether outputs meet a tier, element by element and row by row, and what is excused.

What a tier forbids is a clause. Of every judged element: `not_rounded` or `not_faithful`, or, where
the bound ratio judges, `over_bound`, `no_bound` and `lost`. Of every judged row, likewise there: that it
failed, by its outcome (an inaccurate row is finite, and its elements are judged).

Excused, and counted: elements flushed to zero where the policy says so and the exact result lies below
2^emin, and so is a row's failure where its sum collapsed for them alone; and, where the bound ratio judges,
rows that overflowed and for which the tier has no bound, as the loosest algorithm that it allows may
overflow there, or, in an 8-bit format, where x - max is itself out of range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.measurement.judged import Judged
from harness.measurement.rows import Flags, Floats, Rows
from reference.attribution import RowOutcome
from reference.bounds.extremes import steps_exceed
from reference.errors import ElementClass
from reference.formats import FloatFormat
from reference.row_kinds import RowKind
from reference.tiers import STANDARD, TIERS, Tier
from reports.record.tally import Tally
from reports.record.witness import CellKey, Witness

__all__ = [
    "TIER_KINDS",
    "TierJudgement",
    "judge_by_tiers",
    "looser_than",
    "missed_looser",
    "tier_judgement",
]

TIER_KINDS: Final[Mapping[str, Tier]] = {f"over_{name}": tier for name, tier in TIERS.items()}
"""The kinds of witness that show that a tier is not met."""

_FORBIDDEN_OUTCOMES: Final = (RowOutcome.TOTAL_UNDERFLOW, RowOutcome.OVERFLOW, RowOutcome.UNEXPLAINED)


@dataclass(frozen=True)
class TierJudgement:
    """A batch held against a tier.

    Attributes:
        kind: of witness.
        ratio: error over bound, of shape (rows, n), NaN where excused; None where no bound judges.
        violations: by clause, of shape (rows, n) for elements and (rows, 1) for rows.
        excused: likewise, by what is excused.
        scores: how much each element shows of a violation, shape (rows, n); 0 where none.
    """

    kind: str
    ratio: Floats | None
    violations: Mapping[str, Flags]
    excused: Mapping[str, Flags]
    scores: Floats

    def worst_ratio(self) -> dict[str, float]:
        """Return the greatest ratio by the kind; empty where there is none."""
        if self.ratio is None or np.isnan(self.ratio).all():
            return {}
        return {self.kind: float(np.fmax.reduce(self.ratio, axis=None))}


def judge_by_tiers(cell: CellKey, judged: Judged, tiers: Iterable[Tier]) -> Tally:
    """Return a tally of nothing but how outputs stand against tiers, with a witness against each.

    Args:
        cell: the cell that the witnesses will name.
        judged: the batch with its outputs; the declared policy excuses.
        tiers: whose clauses are counted, as far as they speak of the output format.
    """
    ratios: dict[str, float] = {}
    violations: dict[str, int] = {}
    excused: dict[str, int] = {}
    missed: dict[str, int] = {}
    witnesses = []
    for tier in (tier for tier in tiers if tier.takes(judged.rows.truth.format)):
        if (greatest := _ratio_where_met(tier, judged)) is not None:
            ratios[f"over_{tier.name}"] = greatest
            continue
        held = tier_judgement(tier, judged)
        ratios |= held.worst_ratio()
        violations |= _counts(held.kind, held.violations)
        excused |= _counts(held.kind, held.excused)
        witnesses += _witness(cell, judged, held)
        missed |= _missed_by_looser(judged, held)
    return Tally(
        tier_ratios=ratios, violations=violations, excused=excused, missed=missed, witnesses=tuple(witnesses)
    )


def _ratio_where_met(tier: Tier, judged: Judged) -> float | None:
    """Return the greatest ratio of a batch that meets a tier with nothing excused; None where that is open.

    What is counted anyway tells it of the standard tier, without a look at each element.
    """
    if tier != STANDARD or not judged.is_judged_throughout:
        return None
    is_lost = judged.figures.elements.classes[ElementClass.LOST] > 0
    if is_lost or np.isin(judged.outcomes, _FORBIDDEN_OUTCOMES).any():
        return None
    greatest = judged.greatest("bound_ratio")
    is_met = greatest is not None and greatest <= 1 and not math.isnan(judged.rows.standard_bounds.max())
    return greatest if is_met else None


def looser_than(tier: Tier, fmt: FloatFormat) -> list[Tier]:
    """Return the tiers that ask for less in an output format, the tightest first."""
    names = list(TIERS)
    return [TIERS[name] for name in names[names.index(tier.name) + 1 :] if TIERS[name].takes(fmt)]


def missed_looser(kind: str, looser: Tier) -> str:
    """Return the name under which rows are counted that miss a tier, and a looser one too."""
    return f"{kind}>{looser.name}"


def _missed_by_looser(judged: Judged, held: TierJudgement) -> dict[str, int]:
    """Count the rows that miss looser tiers too, of those alone that miss the one asked for: they are few."""
    missing: Flags = np.asarray(held.scores.any(axis=1))
    if not missing.any():
        return {}
    rows = judged.rows.take(missing)
    part = Judged(rows, judged.y[missing], judged.declaration)
    looser = looser_than(TIER_KINDS[held.kind], rows.truth.format)
    counts = {
        missed_looser(held.kind, t): int(tier_judgement(t, part).scores.any(axis=1).sum()) for t in looser
    }
    return {name: count for name, count in counts.items() if count}


def tier_judgement(tier: Tier, judged: Judged) -> TierJudgement:
    """Return how a batch stands against one tier."""
    judgement = judged.judgement
    counted = judgement.classes != ElementClass.POLICY
    flushed = judged.flushes
    if tier.every is None:
        return _by_bound(tier, judged)
    kept = judgement.correct if tier.every == "correctly_rounded" else judgement.faithful
    clause = "not_rounded" if tier.every == "correctly_rounded" else "not_faithful"
    broken = counted & ~kept & ~flushed
    scores = np.where(broken, np.nan_to_num(judgement.ulp, nan=np.inf, posinf=np.inf), 0.0)
    return TierJudgement(f"over_{tier.name}", None, {clause: broken}, {"flushed": flushed}, scores)


def _by_bound(tier: Tier, judged: Judged) -> TierJudgement:
    rows, judgement, outcomes, flushed = judged.rows, judged.judgement, judged.outcomes, judged.flushes
    bounds = rows.bounds_of(tier).copy()
    overflowed = _excused_rows(judged, bounds)
    _bound_the_rest(tier, rows, bounds, ~overflowed)
    unbounded = np.isnan(bounds) & _is_faithful_logarithm(judged)
    counted = (judgement.classes != ElementClass.POLICY) & ~overflowed & ~flushed
    with np.errstate(invalid="ignore"):
        figure = np.where(unbounded, np.nan_to_num(judgement.ulp, nan=0.0), judgement.ulp / bounds)
        ratio = np.where(counted, figure, np.nan)
    violations: dict[str, Flags] = {
        "over_bound": ratio > 1,
        "no_bound": counted & np.isnan(bounds) & ~unbounded,
        "lost": counted & (judgement.classes == ElementClass.LOST),
    }
    for outcome in _FORBIDDEN_OUTCOMES:
        failed = (outcomes == outcome) & ~judged.collapsed_by_flushes
        violations[outcome.name.lower()] = failed[:, None] & ~overflowed
    excused = {"overflow": overflowed, "flushed": flushed}
    return TierJudgement(f"over_{tier.name}", ratio, violations, excused, _scores(ratio, violations))


def _is_faithful_logarithm(judged: Judged) -> Flags:
    """Tell which logarithms are as good as can be: near and beyond the largest number there is no bound.

    A faithful output is held to 1 ULP, which it keeps.
    """
    return np.asarray(judged.judgement.faithful & judged.rows.op.logarithmic)


def _scores(ratio: Floats, violations: Mapping[str, Flags]) -> Floats:
    """Return the ratio where it is over the bound, infinity where anything graver is wrong, else 0."""
    over = violations["over_bound"]
    if not any(flags.any() for flags in violations.values()):
        return np.zeros(ratio.shape)
    grave = np.logical_or.reduce(
        [np.broadcast_to(flags, ratio.shape) for flags in violations.values() if flags is not over]
    )
    return np.where(grave, np.inf, np.where(over, ratio, 0.0))


def _excused_rows(judged: Judged, bounds: Floats) -> Flags:
    """Tell which rows overflowed where that is excused, shape (rows, 1).

    Results of masked entries are exact, whatever overflows beside them. A row that is lost because a sum
    overflowed is attributed to underflow first, where nobody says what is exponentiated and exp(x) would
    underflow.
    """
    rows, outcomes = judged.rows, judged.outcomes
    failed = outcomes == RowOutcome.OVERFLOW
    if judged.declaration.argument == "unknown":
        failed |= outcomes == RowOutcome.TOTAL_UNDERFLOW
    overflowed = np.flatnonzero(failed)
    excused = np.zeros((len(outcomes), 1), dtype=np.bool_)
    if overflowed.size:
        excused[overflowed, 0] = (np.isnan(bounds[overflowed]) | rows.masked[overflowed]).all(axis=1)
        if not rows.format.has_infinity:  # elsewhere x - max = -inf, and its exp is 0 as it should be
            limits = [rows.format.largest] * overflowed.size
            excused[overflowed, 0] |= steps_exceed(rows.values[overflowed], "shifted", 0.0, limits)
    return excused


def _bound_the_rest(tier: Tier, rows: Rows, bounds: Floats, wanted: Flags) -> None:
    """Fill in the bounds of rows that might have overflowed and did not."""
    lacking = np.flatnonzero(wanted[:, 0] & (rows.truth.kinds < RowKind.NAN) & np.isnan(bounds).any(axis=1))
    if lacking.size:
        chosen = np.zeros(len(bounds), dtype=np.bool_)
        chosen[lacking] = True
        part = rows.take(chosen)
        bounds[lacking] = part.bounds_made(tier, overflowing=False)


def _counts(kind: str, flags: Mapping[str, Flags]) -> dict[str, int]:
    """Return how often each clause applies, by `kind:clause`."""
    counts = {f"{kind}:{name}": int(where.sum()) for name, where in flags.items()}
    return {name: count for name, count in counts.items() if count}


def _witness(cell: CellKey, judged: Judged, held: TierJudgement) -> list[Witness]:
    """Return the worst row that violates the tier, if any does."""
    if not held.scores.any():
        return []
    rows, y = judged.rows, judged.y
    row, element = divmod(int(np.argmax(held.scores)), y.shape[1])
    clauses = [name for name, where in held.violations.items() if where[row].any()]
    bits = rows.truth.format.to_hex(y[row])
    score = float(held.scores[row, element])
    x, origin = rows.hexadecimal(row), rows.origin(row)
    of_entry = None if rows.op.reduces else element
    return [Witness(cell, held.kind, score, x, bits, of_entry, origin, ", ".join(clauses))]
