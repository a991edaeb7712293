"""Which clause of a tier an output breaks, what is excused, and which witnesses a batch leaves: by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from harness.measurement import Rows, measure, tiers
from harness.measurement.judged import Judged
from harness.measurement.tiers import judge_by_tiers
from harness.measurement.witnesses import scores_by_row
from harness.subject.candidates import BUILTINS
from harness.subject.execution import InProcess
from reference.declaration import Declaration, Policy
from reference.formats import FORMATS
from reference.tiers import STANDARD, TIERS
from reference.truth import truth
from reports.record.tally import Tally
from reports.record.witness import CellKey
from strategies.regimes import REGIMES

INF, NAN = math.inf, math.nan
CELL = CellKey("f", "softmax", "float32", "float32", "r", 2)
FLUSHING = Declaration("shifted", policy=Policy(subnormals="flush"))

GOOD = ([0.0, 0.0], [0.5, 0.5])
INACCURATE = ([0.0, 0.0], [0.75, 0.75])
ZEROS = ([0.0, -1.0], [0.0, 0.0])
FLUSHED = ([0.0, -100.0], [1.0, 0.0])  # exp(-100) = 3.7e-44 is subnormal
POLICY = ([0.0, NAN], [NAN, NAN])
COMPLETE_NAN = ([0.0, 1.0], [NAN, NAN])

Case = tuple[Sequence[float], Sequence[float]]


def batch(*cases: Case, name: str = "float32") -> tuple[Rows, np.ndarray]:
    fmt = FORMATS[name]
    x, y = (fmt.from_float64([case[i] for case in cases]) for i in (0, 1))
    values = fmt.to_float64(x)
    return Rows(fmt, x, values, truth(values, fmt), 0), y


def held(tier: str, *cases: Case, declaration: Declaration | None = None, name: str = "float32") -> Tally:
    rows, y = batch(*cases, name=name)
    return judge_by_tiers(CELL, Judged(rows, y, declaration or Declaration("shifted")), [TIERS[tier]])


def clauses(tier: str, *cases: Case, **options: object) -> dict[str, int]:
    found = held(tier, *cases, **options).violations  # type: ignore[arg-type]
    return {name.partition(":")[2]: count for name, count in found.items()}


@pytest.mark.parametrize(
    ("cases", "broken"),
    [
        ([GOOD], {}),
        ([POLICY, GOOD], {}),
        ([GOOD, INACCURATE], {"over_bound": 2}),
        ([ZEROS, GOOD, ZEROS], {"over_bound": 4, "lost": 4, "unexplained": 2}),
        ([FLUSHED], {"over_bound": 1}),
        ([COMPLETE_NAN], {"unexplained": 1}),
    ],
)
@pytest.mark.parametrize("tier", ["standard", "fast"])
def test_each_clause_counts_what_breaks_it(tier: str, cases: list[Case], broken: dict[str, int]) -> None:
    assert clauses(tier, *cases) == broken


def test_what_must_be_rounded_or_faithful_is_so_in_every_element() -> None:
    r = truth(np.array([[0.0, -1.0]]), FORMATS["float32"])
    nearest = r.nearest[0]
    away = np.where(r.residual[0] > 0, -np.inf, np.inf).astype(
        np.float32
    )  # the neighbour that r is not next to
    towards = -away
    cases = {
        "nearest": ([0.0, -1.0], nearest),
        "faithful": ([0.0, -1.0], np.nextafter(nearest.astype(np.float32), towards)),
        "off": ([0.0, -1.0], np.nextafter(nearest.astype(np.float32), away)),
    }
    assert clauses("rounded", cases["nearest"], POLICY) == {}
    assert clauses("faithful", cases["nearest"], cases["faithful"], POLICY) == {}
    assert clauses("rounded", cases["nearest"], cases["faithful"]) == {"not_rounded": 2}
    assert clauses("faithful", cases["faithful"], cases["off"]) == {"not_faithful": 2}


@pytest.mark.parametrize("tier", [name for name, tier in TIERS.items() if tier.takes(FORMATS["float32"])])
def test_a_flushed_result_is_excused_where_that_is_declared_and_a_lost_one_never(tier: str) -> None:
    assert clauses(tier, FLUSHED)
    excused = held(tier, FLUSHED, GOOD, declaration=FLUSHING)
    assert (dict(excused.violations), dict(excused.excused)) == ({}, {f"over_{tier}:flushed": 1})
    assert clauses(tier, ZEROS, declaration=FLUSHING)


def test_an_overflow_that_the_tier_cannot_have_is_not_excused() -> None:
    """exp(12) exceeds float16: the plain form overflows, the standard tier does not."""
    broken = ([12.0, 12.0], [0.0, 0.0])
    plain = Declaration("plain")
    assert clauses("standard", broken, declaration=plain, name="float16") == {
        "over_bound": 2,
        "lost": 2,
        "overflow": 1,
    }


def test_in_8_bits_a_difference_out_of_range_is_excused_row_by_row() -> None:
    """448 - -448 is no number of e4m3fn; 448 - 352 is one, and its rows overflow for no such reason."""
    excused = ([448.0, -448.0], [NAN, NAN])
    plain = ([448.0, 352.0], [NAN, NAN])
    found = held("standard", excused, plain, excused, declaration=Declaration("plain"), name="float8_e4m3fn")
    assert found.excused == {"over_standard:overflow": 2}
    assert found.violations == {"over_standard:overflow": 1}


def test_overflow_of_more_equal_entries_than_float16_can_count_is_excused_alone() -> None:
    n = 65_600
    zeros, share = [0.0] * n, [1 / n] * n
    found = held("standard", (zeros, [0.0] * n), (zeros, share), name="float16")
    assert found.excused == {"over_standard:overflow": 1}
    assert not found.violations, found.violations
    assert 0 < found.tier_ratios["over_standard"] <= 1


def test_the_witness_is_the_gravest_row_and_names_what_it_breaks() -> None:
    [worst] = held("standard", GOOD, INACCURATE, ZEROS).witnesses
    assert (worst.kind, worst.origin, worst.score) == ("over_standard", "batch 0, row 2", INF)
    assert worst.message == "over_bound, lost, unexplained"
    [over] = held("standard", GOOD, ([0.0, -1.0], [0.75, 0.26894143]), INACCURATE).witnesses
    assert over.origin == "batch 0, row 2"
    assert over.element == 0
    assert 1 < over.score < INF
    assert not held("standard", GOOD, GOOD).witnesses


# Witnesses and counts of a batch ------------------------------------------------------------

KINDS = {
    "unexplained": COMPLETE_NAN,
    "overflow": ([100.0, 100.0], [0.0, 0.0]),
    "total_underflow": ([-100.0, -100.0], [NAN, NAN]),
    "inaccurate": ([0.0, 0.0], [0.1, 0.1]),
    "mask_leak": ([0.0, -INF], [1.0, 0.1]),
    "nonfinite": ([0.0, 1.0], [0.25, INF]),
    "lost": ([0.0, -1.0], [0.75, 0.0]),
    "flushed": FLUSHED,
    "out_of_range": ([0.0, 0.0], [1.25, 0.5]),
    "negative_zero": ([0.0, -200.0], [1.0, -0.0]),
    "policy": ([0.0, NAN], [0.5, 0.5]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_witness_is_kept_from_the_row_that_shows_it(kind: str) -> None:
    rows, y = batch(GOOD, GOOD, KINDS[kind], GOOD)
    declaration = Declaration("plain")
    tally = measure(CELL, rows, y, declaration)
    origins = [w.origin for w in tally.witnesses if w.kind == kind]
    assert origins == ["batch 0, row 2"], {w.kind: w.origin for w in tally.witnesses}
    assert scores_by_row(kind, Judged(rows, y, declaration)).tolist() == [0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("outcome", ["unexplained", "overflow", "total_underflow", "inaccurate"])
def test_outcomes_are_told_apart_and_counted(outcome: str) -> None:
    rows, y = batch(GOOD, KINDS[outcome], KINDS[outcome])
    tally = measure(CELL, rows, y, Declaration("plain"))
    assert tally.outcomes == {"ok": 1, outcome: 2}


def test_failures_are_counted_by_what_the_sum_did() -> None:
    collapsed, inflated = ([0.0, 0.0], [0.2, 0.2]), ([0.0, 0.0], [1.0, 1.25])
    rows, y = batch(GOOD, collapsed, inflated, inflated, COMPLETE_NAN, POLICY)
    tally = measure(CELL, rows, y, Declaration("plain"))
    assert (tally.collapsed_rows, tally.inflated_rows, tally.nonfinite_rows) == (1, 2, 1)


@pytest.mark.parametrize("name", ["float16", "float32", "float8_e4m3fn"])
@pytest.mark.parametrize("candidate", ["max_shifted", "naive", "online"])
def test_what_is_counted_tells_of_a_batch_what_each_of_its_elements_does(
    candidate: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound batches are told by their counts: against a look at each element, in every regime."""
    fmt, met = FORMATS[name], []
    for regime, n in product(REGIMES.values(), (1, 3, 300)):
        if not regime.supports(fmt, n):
            continue
        x = regime.rows(fmt, 5, n, 0, 0)
        with InProcess() as executor:
            y = executor.run(candidate, x, fmt).outputs
        assert y is not None
        for declaration in (BUILTINS[candidate].declared(fmt), Declaration(), FLUSHING):
            quick, whole = (Judged(Rows.of(fmt, x, fmt), y, declaration) for _ in range(2))
            found = judge_by_tiers(CELL, quick, [STANDARD])
            with monkeypatch.context() as patches:
                patches.setattr(tiers, "_ratio_where_met", lambda *_: None)
                assert found == judge_by_tiers(CELL, whole, [STANDARD]), regime.name
            met.append("judgement" not in vars(quick))
    assert any(met)
    assert not all(met)
