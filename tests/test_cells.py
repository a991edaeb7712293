"""The figures of a cell follow from its counts; intervals from the exact binomial tails."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import gmpy2
import mpmath
import numpy as np
import pytest
from scipy import special
from synthetic_run import key, ledger_at, overflowing, tally_of, witness

from reports.record import confidence
from reports.record.cells import COLUMNS, Row, cell_row, frame, quantiles, upper_edge, upper_edges
from reports.record.confidence import clopper_pearson
from reports.record.ledger import CellInfo
from reports.record.tally import HISTOGRAM_SHIFT, Tally, merge

CELL = key()
SAMPLED = CellInfo(CELL, sampled=True)
CONTRACT = """
    candidate op format out_format regime length rows elements rows_digest max_ulp mean_ulp p50_ulp
    p99_ulp correctly_rounded faithful bound_ratio algorithm_ratio overflow_rows overflow_rate
    total_underflow_rows inaccurate_rows unexplained_rows underflow_rate unavoidable_underflow_rate
    nonfinite_rows out_of_range worst_row_sum_error status witness
"""


def row_of(tally: Tally, *, sampled: bool = True) -> Row:
    return cell_row(CellInfo(CELL, sampled), merge([tally]))


# Intervals -----------------------------------------------------------------------------------


def at_least(events: int, trials: int, rate: Fraction) -> Fraction:
    """The exact probability of `events` or more."""
    return 1 - sum(
        (comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events)), Fraction(0)
    )


def neighbours(value: float) -> tuple[Fraction, Fraction]:
    return Fraction(math.nextafter(value, 0)), Fraction(math.nextafter(value, 1))


@pytest.mark.parametrize("trials", [1, 2, 3, 10, 47, 200])
def test_the_exact_tails_cross_two_and_a_half_percent_within_one_ulp_of_both_ends(trials: int) -> None:
    limit = Fraction(25, 1000)
    for events in {0, 1, 2, trials // 3, trials - 1, trials} & set(range(trials + 1)):
        low, high = clopper_pearson(events, trials)
        if events > 0:
            below, above = (at_least(events, trials, end) for end in neighbours(low))
            assert below < limit < above, (events, trials, low.hex())
        if events < trials:
            below, above = (1 - at_least(events + 1, trials, end) for end in neighbours(high))
            assert below > limit > above, (events, trials, high.hex())


def test_the_ends_are_those_of_scipy_over_seven_decades() -> None:
    rng = random.Random(20)
    for _ in range(200):
        trials = int(10 ** rng.uniform(0, 7))
        events = min(trials, int(10 ** rng.uniform(0, 7)))
        low, high = clopper_pearson(events, trials)
        expected = special.betaincinv(events, trials - events + 1, 0.025)
        # SciPy's own inverse is good to about seven digits at small rates
        assert math.isclose(low, expected, rel_tol=3e-6), (events, trials, low.hex())
        expected = 1.0 if events == trials else special.betaincinv(events + 1, trials - events, 0.975)
        assert math.isclose(high, expected, rel_tol=3e-6), (events, trials, high.hex())


def test_no_event_and_only_events_have_their_closed_forms_rounded_once() -> None:
    rng = random.Random(21)
    context = mpmath.MPContext()
    context.dps = 60
    for trials in (1, 1000, 68_097, 10**7, 10**9, *(int(10 ** rng.uniform(0, 9)) for _ in range(200))):
        closed = context.mpf("0.025") ** (context.mpf(1) / trials)
        none, every = clopper_pearson(0, trials), clopper_pearson(trials, trials)
        assert (none.low, none.high.hex()) == (0, float(1 - closed).hex()), trials
        assert (every.low.hex(), every.high) == (float(closed).hex(), 1), trials


@pytest.mark.parametrize(
    ("events", "trials"), [(0, 1), (0, 900), (1, 2), (3, 70), (69, 70), (70, 70), (5, 10**7)]
)
def test_the_search_for_an_end_begins_where_the_normal_approximation_has_it(events: int, trials: int) -> None:
    """Wilson's ends p solve |events - n p| = 1.96 sqrt(n p (1 - p))."""
    low, high = confidence._Tail(events, trials - events + 1), confidence._Tail(trials - events, events + 1)
    ends = [(low._wilson(), 1)] * (events > 0) + [(1 - high._wilson(), -1)] * (events < trials)
    for p, side in ends:
        assert side * (events - trials * p) == pytest.approx(1.96 * math.sqrt(trials * p * (1 - p)), rel=1e-6)


def tails(rng: random.Random, decades: float) -> Iterator[confidence._Tail]:
    """The tails of many counts, of few events and of few misses."""
    for _ in range(60):
        trials = int(10 ** rng.uniform(0, decades))
        seen = min(trials, int(10 ** rng.uniform(0, decades)))
        for events in {seen, trials - seen} - {0}:
            yield confidence._Tail(events, trials - events + 1)


@pytest.mark.parametrize(("decades", "most"), [(5, 1), (9, 2)])
def test_so_many_steps_in_wide_arithmetic_lead_to_each_end(
    decades: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report has thousands of ends, and float64 finds about where each lies."""
    evaluate, steps = confidence._Tail._evaluate, []

    def counting(tail: Any, p: Any, log_beta: Any) -> Any:
        steps.append(not isinstance(p, float))
        return evaluate(tail, p, log_beta)

    monkeypatch.setattr(confidence._Tail, "_evaluate", counting)
    for tail in tails(random.Random(22), decades):
        steps.clear()
        with gmpy2.context(precision=160):
            tail.root(gmpy2.mpfr("0.025"))
        assert sum(steps) <= most, tail


def test_a_tail_is_the_incomplete_beta_function_of_mpmath() -> None:
    context = mpmath.MPContext()
    context.prec = 200
    rng = random.Random(23)
    for tail in tails(rng, 4):
        x = min(0.999, tail._wilson() * rng.choice([0.5, 1, 1.05]))
        with gmpy2.context(precision=160):
            wide = tail.value(gmpy2.mpfr(x))
        expected = context.betainc(tail.a, tail.b, 0, x, regularized=True)
        assert abs(context.mpf(str(wide)) - expected) <= context.mpf(2) ** -62 * expected, (tail, x)


def test_a_step_errs_by_the_third_order_that_it_tells() -> None:
    """The way between two rates whose tails are known is stepped."""
    for tail in tails(random.Random(24), 6):
        for way in (-1e-4 / tail.a, 1e-4 / tail.a):
            with gmpy2.context(precision=160):
                log_beta, near = tail._log_beta(), gmpy2.mpfr(tail._wilson())
                here, elasticity = tail._evaluate(near, log_beta)
                there, _ = tail._evaluate(near * gmpy2.exp(way), log_beta)
                step, left = tail._step(near, gmpy2.log(there / here), elasticity)
                error = abs(step - way)
            assert float(error) == pytest.approx(float(left), rel=0.01, abs=2**-64), (tail, way)


def test_an_interval_needs_a_possible_count() -> None:
    for events, trials in ((0, 0), (-1, 3), (4, 3)):
        with pytest.raises(ValueError, match=f"{events} events in {trials} trials"):
            clopper_pearson(events, trials)


# Figures -------------------------------------------------------------------------------------


def test_a_row_has_every_column_of_the_contract_in_one_order() -> None:
    row = row_of(tally_of(CELL, [0.25, 1.0]))
    assert set(CONTRACT.split()) <= set(COLUMNS)
    assert list(row) == list(COLUMNS)
    for name in COLUMNS:
        if name.endswith("_low"):
            assert {name[:-4], f"{name[:-4]}_high"} <= set(COLUMNS)


def test_the_mean_is_the_exact_mean_rounded_once() -> None:
    errors = [2.0**60, *[2.0**-60] * 6]  # a float sum would lose the six
    exact = sum(map(Fraction, errors), Fraction(0)) / len(errors)
    assert row_of(tally_of(CELL, errors))["mean_ulp"] == float(exact)


def test_a_mean_beyond_float64_is_infinite() -> None:
    beyond = tally_of(CELL, [1.0], ulp_sum=Fraction(2) ** 1200)
    for tally in (beyond, tally_of(CELL, [1.0], ulp_infinite=1)):
        assert row_of(tally)["mean_ulp"] == math.inf


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 1000])
def test_quantiles_are_nearest_ranks_within_one_bin(count: int) -> None:
    errors = np.sort(np.random.default_rng(count).lognormal(sigma=5, size=count))
    tally = tally_of(CELL, list(map(float, errors)))
    shares = (Fraction(1, 2), Fraction(9, 10), Fraction(99, 100), Fraction(1))
    for share, figure in zip(shares, quantiles(tally, shares), strict=True):
        exact = errors[math.ceil(share * count) - 1]
        assert figure is not None
        assert exact <= figure <= exact * (1 + 2.0**-8), (count, share, float(exact).hex(), figure.hex())


def test_quantiles_never_exceed_the_maximum_and_an_exact_zero_stays_zero() -> None:
    assert quantiles(tally_of(CELL, [1.0, 1.0]), [Fraction(1, 2), Fraction(1)]) == [1.0, 1.0]
    assert quantiles(tally_of(CELL, [0.0, 0.0, 3.0]), [Fraction(1, 2), Fraction(1)]) == [0.0, 3.0]


@pytest.mark.parametrize("most", [1 << 53, (1 << 63) - 1])
def test_ranks_are_exact_in_counts_of_any_size(most: int) -> None:
    histogram = {100: most, **dict.fromkeys(range(101, 150), 1)}
    tally = replace(tally_of(CELL, [1.0]), histogram=histogram, representable=most + 49, max_ulp=None)
    assert quantiles(tally, [Fraction(1)]) == [upper_edge(149)]
    assert quantiles(tally, [Fraction(most + 1, most + 49)]) == [upper_edge(101)]


def test_nonfinite_outputs_rank_as_infinite() -> None:
    tally = tally_of(CELL, [1.0, 2.0], representable=4, nonfinite_representable=2)
    assert quantiles(tally, [Fraction(1, 2), Fraction(3, 4), Fraction(1)]) == [2.0, math.inf, math.inf]


def test_rates_are_shares_of_finite_and_masked_rows_or_of_their_elements() -> None:
    tally = tally_of(
        CELL,
        [1.0] * 40,
        rows=13,
        outcomes={
            "ok": 5,
            "overflow": 2,
            "total_underflow": 1,
            "inaccurate": 1,
            "unexplained": 1,
            "policy": 3,
        },
        classes={"normal": 29, "flushed": 3, "lost": 1, "unavoidable_zero": 7},
        representable=33,
        spurious_rows=2,
    )
    row = row_of(tally)
    assert row["judged_rows"] == 10
    assert row["failed_rate"] == 0.5
    assert row["overflow_rate"] == 0.2
    assert row["total_underflow_rate"] == 0.1
    assert row["underflow_rate"] == 4 / 33
    assert row["underflow_row_rate"] == 0.2
    assert row["unavoidable_underflow_rate"] == 7 / 40
    assert (row["overflow_rate_low"], row["overflow_rate_high"]) == clopper_pearson(2, 10)


def test_a_healthy_cell_has_no_rate_but_zero() -> None:
    row = row_of(tally_of(CELL, [0.25, 1.0]))
    rates = {name: row[name] for name in COLUMNS if name.endswith("_rate")}
    assert set(rates.values()) == {0.0}, rates


def test_where_an_op_has_no_underflow_its_rates_are_null() -> None:
    logarithms = replace(CELL, op="log_softmax")
    row = cell_row(CellInfo(logarithms, sampled=True), tally_of(logarithms, [0.25, 0.5]))
    assert {
        name: row[name] for name in row if "underflow" in name and "rate" in name and "total" not in name
    } == {
        f"{name}{end}": None
        for name in ("underflow_rate", "underflow_row_rate")
        for end in ("", "_low", "_high")
    } | {"unavoidable_underflow_rate": None}


def test_the_underflow_interval_comes_through_rows() -> None:
    low, high = clopper_pearson(2, 10)
    tally = tally_of(CELL, [1.0] * 80, rows=10, classes={"lost": 4, "normal": 76}, spurious_rows=2)
    row = row_of(tally)
    assert math.isclose(row["underflow_rate_low"], low * 4 / 80 / 0.2)
    assert math.isclose(row["underflow_rate_high"], high * 4 / 80 / 0.2)
    clean = row_of(tally_of(CELL, [1.0] * 80, rows=10))
    assert (clean["underflow_rate_low"], clean["underflow_rate_high"]) == clopper_pearson(0, 10)


def test_rows_that_were_not_drawn_independently_get_no_interval() -> None:
    row = row_of(overflowing(CELL, [1.0]), sampled=False)
    assert row["overflow_rate"] == 0.25
    assert all(row[name] is None for name in COLUMNS if name.endswith(("_low", "_high")))


def test_where_nothing_was_measured_figures_are_null_and_counts_zero() -> None:
    row = row_of(Tally())
    for name, dtype in COLUMNS.items():
        if dtype == "float64":
            assert row[name] is None, name
        if dtype == "int64" and name != "length":
            assert row[name] == 0, name
    assert (row["rows_digest"], row["witness"]) == (None, None)


def test_lost_rows_make_the_status_of_what_lost_them() -> None:
    def status(info: CellInfo = SAMPLED, **changes: Any) -> str:
        return str(cell_row(info, tally_of(CELL, [1.0], **changes))["status"])

    assert status() == "ok"
    assert status(completed=3, faults={"crashed": 1, "timed_out": 1}) == "crashed"
    assert status(completed=3, faults={"timed_out": 1}) == "timed_out"
    assert status(completed=3, faults={"raised": 1}) == "crashed"
    assert status(CellInfo(CELL, sampled=True, status="unsupported")) == "unsupported"


def test_the_witness_is_of_the_gravest_defect_and_else_of_the_greatest_error() -> None:
    ratio, overflow, error = (witness(CELL, kind) for kind in ("bound_ratio", "overflow", "max_ulp"))
    healthy = row_of(tally_of(CELL, [1.0], witnesses=(ratio, error)))
    assert healthy["witness"] == healthy["max_ulp_witness"] == error.id
    defective = row_of(tally_of(CELL, [1.0], witnesses=(error, ratio, overflow)))
    assert (defective["witness"], defective["max_ulp_witness"]) == (overflow.id, error.id)


def test_the_frame_has_the_same_columns_and_dtypes_whatever_it_holds(tmp_path: Path) -> None:
    other = key("max_shifted")
    with ledger_at(tmp_path, CELL, other) as ledger:
        empty = frame(ledger)
        ledger.record("s", {CELL: overflowing(CELL, [math.pi])}, 0.0)
        full = frame(ledger)
    assert list(full.columns) == list(COLUMNS)
    assert list(empty.dtypes) == list(full.dtypes)
    assert list(full["candidate"]) == ["naive", "max_shifted"]
    assert full["max_ulp"].isna().tolist() == [False, True]
    assert full["rows"].dtype == np.int64


def test_the_edge_of_a_bin_is_where_the_next_begins_and_that_of_infinity_is_infinite() -> None:
    def bin_of(error: float) -> int:
        return int(np.float64(error).view(np.uint64)) >> HISTOGRAM_SHIFT

    for error in (1e-300, 0.5, 1.0, 1e300, np.finfo(np.float64).max):
        edge = upper_edge(bin_of(error))
        assert bin_of(edge) == bin_of(error) + 1, error.hex()
        assert bin_of(np.nextafter(edge, 0.0)) == bin_of(error), error.hex()
    assert upper_edge(bin_of(math.inf)) == math.inf
    bins = np.array([0, 1, *map(bin_of, (2.0**-1074, 0.5, 1.0, 1e300, math.inf))])
    assert upper_edges(bins).tolist() == [upper_edge(int(number)) for number in bins]


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"raised": 1}, "the candidate raised an error"),
        ({"raised": 1, "not_tried": 2}, "the candidate raised an error; rows were not tried"),
        ({"not_tried": 3}, "rows were not tried"),
    ],
)
def test_a_cell_says_why_rows_have_no_outputs_and_nothing_where_all_have(
    faults: dict[str, int], message: str
) -> None:
    said = "the candidate raised an error"
    shown = tuple(witness(key(), kind, message=said) for kind in faults if kind != "not_tried")
    lacking = tally_of(key(), [0.25], rows=4, completed=1, faults=faults, witnesses=shown)
    assert str(cell_row(CellInfo(key(), sampled=True), lacking)["message"]).startswith(message)
    assert cell_row(CellInfo(key(), sampled=True), tally_of(key(), [0.25]))["message"] == ""
