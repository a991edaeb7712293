"""What is counted of a batch of log_softmax, against the plain verdict and the bounds of the tiers."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from harness.measurement import Judged, Rows, measure
from harness.measurement.judged import _with_unmasked_alone
from harness.measurement.outcomes import tally_outcome
from harness.measurement.tiers import judge_by_tiers, tier_judgement
from harness.subject.execution import Outcome
from reference import correctly_rounded, ulp_errors
from reference.declaration import Declaration
from reference.formats import FORMATS
from reference.ops import LOG_SOFTMAX, LOGSUMEXP, OPS, Op
from reference.tiers import TIERS
from reports.record.tally import Tally
from reports.record.witness import CellKey
from tests.log_rows import hard_rows

CELL = CellKey("f", LOG_SOFTMAX.name, "float32", "float32", "r", 9)
FMT = FORMATS["float32"]


def shifted(x: np.ndarray) -> np.ndarray:
    """A sound log_softmax: (x - max) - log(sum)."""
    with np.errstate(all="ignore"):
        gap = x - x.max(axis=1, keepdims=True)
        return gap - np.log(np.exp(gap).sum(axis=1, keepdims=True))


def log_of_softmax(x: np.ndarray) -> np.ndarray:
    """One that loses what the softmax loses."""
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return np.log(e / e.sum(axis=1, keepdims=True))


def batch(rows: int = 20, n: int = 9) -> Rows:
    x = FMT.from_float64(hard_rows(FMT, rows, n))
    return Rows.of(FMT, x, FMT, op=LOG_SOFTMAX)


def judged_by(tier: str, rows: Rows, y: np.ndarray) -> Tally:
    return judge_by_tiers(CELL, Judged(rows, y, Declaration()), [TIERS[tier]])


@pytest.mark.parametrize("f", [shifted, log_of_softmax])
def test_greatest_error_and_mean_are_those_of_the_plain_verdict(f) -> None:
    rows = batch()
    y = f(rows.x)
    tally = measure(CELL, rows, y, Declaration())
    errors = ulp_errors(rows.values, FMT.to_float64(y), FMT, method="mpmath", op=LOG_SOFTMAX.name)
    masked = (rows.truth.nearest == -np.inf) & (rows.truth.residual == 0)
    counted = errors[np.isfinite(errors) & ~masked]
    assert tally.max_ulp == pytest.approx(np.nanmax(errors), rel=1e-6)
    assert tally.ulp_count == counted.size
    assert float(tally.ulp_sum) == pytest.approx(math.fsum(counted), rel=1e-6)
    assert tally.elements == errors.size


def test_errors_next_to_a_dominating_entry_are_counted_where_the_output_is_zero() -> None:
    x = np.array([[0, -18]], np.float32)
    rows = Rows.of(FMT, x, FMT, op=LOG_SOFTMAX)
    tally = measure(CELL, rows, shifted(x), Declaration())
    assert shifted(x)[0, 0] == 0
    assert tally.max_ulp is not None
    assert tally.max_ulp > 1e6
    assert tally.ulp_count == tally.positive == 2
    assert tally.max_bound_ratio is not None
    assert tally.max_bound_ratio <= 1


def test_correctly_rounded_outputs_meet_every_tier() -> None:
    rows = batch()
    y = correctly_rounded(rows.x, FMT, op=LOG_SOFTMAX.name)
    for name, tier in TIERS.items():
        if tier.takes(FMT):
            assert judged_by(name, rows, y).violations == {}, name


def test_shifted_form_meets_standard_and_logarithm_of_softmax_does_not() -> None:
    rows = batch()
    assert judged_by("standard", rows, shifted(rows.x)).violations == {}
    lost = judged_by("standard", rows, log_of_softmax(rows.x))
    assert lost.violations["over_standard:unexplained"] > 0
    assert [witness.cell.op for witness in lost.witnesses] == ["log_softmax"]


def test_lost_tails_are_nonfinite_and_their_row_is_a_witness() -> None:
    x = np.array([[0, -200], [0, 1]], np.float32)
    rows = Rows.of(FMT, x, FMT, op=LOG_SOFTMAX)
    tally = tally_outcome(CELL, rows, Outcome(log_of_softmax(x), np.ones(2, np.bool_), ()), Declaration())
    assert tally.classes["nonfinite"] == tally.nonfinite_rows == 1
    assert {w.kind for w in tally.witnesses} >= {"unexplained"}


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"])
def test_results_beyond_the_largest_number_break_no_tier_where_the_output_is_their_rounding(
    name: str,
) -> None:
    fmt = FORMATS[name]
    ends = float(fmt.largest) * np.array([[-1.0, 1.0], [-0.5, 0.5], [-0.5, 0.75]])
    rows = Rows.of(fmt, fmt.from_float64(ends), fmt, op=LOG_SOFTMAX)
    y = correctly_rounded(rows.x, fmt, op=LOG_SOFTMAX.name)
    judged = Judged(rows, y, Declaration())
    for tier in TIERS.values():
        if tier.takes(fmt):
            assert not tier_judgement(tier, judged).scores.any(), tier.name


def test_a_row_that_overflows_beside_masked_entries_is_excused_as_without_them() -> None:
    """In binary16 the sum of 70 000 ones is infinite; the results at masked entries have a bound."""
    fmt = FORMATS["float16"]
    for masked in (0, 50):
        x = np.zeros((1, 70_000))
        x[0, :masked] = -np.inf
        rows = Rows.of(fmt, fmt.from_float64(x), fmt, op=LOG_SOFTMAX)
        held = tier_judgement(TIERS["standard"], Judged(rows, shifted(rows.x), Declaration()))
        assert held.excused["overflow"].all()
        assert not held.scores.any()


@pytest.mark.parametrize("op", [LOG_SOFTMAX, LOGSUMEXP], ids=str)
def test_faithful_outputs_without_a_bound_are_held_to_an_ulp_and_others_break_the_tier(op: Op) -> None:
    largest = float(FMT.largest)
    x = FMT.from_float64([[largest, largest], [largest, -largest]])
    rows = Rows.of(FMT, x, FMT, op=op)
    assert np.isnan(rows.standard_bounds).any()
    y = correctly_rounded(x, FMT, op=op.name).reshape(rows.truth.nearest.shape)
    held = tier_judgement(TIERS["standard"], Judged(rows, y, Declaration()))
    assert held.ratio is not None
    assert not np.isnan(held.ratio).any()
    assert not held.scores.any()
    worse = np.where(np.isnan(rows.standard_bounds), np.float32(1), y).astype(np.float32)
    assert tier_judgement(TIERS["standard"], Judged(rows, worse, Declaration())).scores.any()


@pytest.mark.parametrize("room", ["harness", "reports", "strategies"])
def test_only_the_room_of_truth_and_candidates_name_a_logarithmic_op(room: str) -> None:
    """A candidate, planted or not, says which op it computes; nothing else tells ops apart by name."""
    names = [op.name for op in OPS.values() if op.logarithmic]
    named = re.compile("|".join(f"[\"']{n}[\"']|\\b{n.upper()}\\b" for n in names))
    modules = [
        path
        for path in sorted((Path(__file__).parent.parent / room).rglob("*.py"))
        if not {"candidates", "selftest"} & set(path.parts)
    ]
    assert modules
    assert [str(m) for m in modules if named.search(m.read_text(encoding="utf-8"))] == []


def test_of_a_logarithm_all_is_counted_but_masked_entries_and_what_has_no_truth() -> None:
    """A result of -inf that is out of range is counted: its residual is not 0, a masked entry's is."""
    x = np.array([[0.0, -3.0], [1.0, -np.inf], [np.nan, 0.0], [1.5e308, -1.5e308]])
    fmt = FORMATS["float64"]
    rows = Rows.of(fmt, x, fmt, op=LOG_SOFTMAX)
    assert rows.truth.nearest[3, 1] == -np.inf
    counted = _with_unmasked_alone(rows)
    np.testing.assert_array_equal(counted.nearest, [[1, 1], [1, 0], [np.nan, np.nan], [1, 1]])
