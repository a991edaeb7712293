"""The mpmath softmax, held against Arb balls, exact fractions and cases with known answers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from arb import Softmax, contradictions, raised_until
from flint import arb, ctx, fmpz
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath.libmp import from_float, mpf_exp, mpf_sub

import reference
from reference.formats import FORMATS, FloatFormat
from reference.oracle import truth_mpmath
from reference.row_kinds import RowKind
from strategies import REGIMES, Regime
from tests.longer import sample

F64 = FORMATS["float64"]
BIG = 1.7e308
each_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)


def truth_of(row: list[float], fmt: FloatFormat = F64) -> tuple[list[float], list[float]]:
    truth = truth_mpmath(np.array([row], dtype=np.float64), fmt)
    return truth.nearest[0].tolist(), truth.residual[0].tolist()


def raw_to_arb(raw: tuple[int, Any, Any, int]) -> arb:
    """A finite mpmath number as an exact ball."""
    negative, significand, exponent, _ = raw
    return arb((fmpz(-int(significand) if negative else int(significand)), fmpz(int(exponent))))


# The one assumption ----------------------------------------------------------------------------


def hard_exponents(rng: np.random.Generator, count: int) -> list[Any]:
    """Negative numbers that stress the reduction: wide, tiny, near multiples of ln 2, integers, unrounded."""
    wide = -np.ldexp(1 + rng.random(count), rng.integers(-70, 11, count))
    multiples = -rng.integers(1, 2000, count) * math.log(2)
    integers = -rng.integers(1, 3000, count).astype(float)
    raws = [from_float(v) for v in (*wide.tolist(), *multiples.tolist(), *integers.tolist())]
    offsets = np.ldexp(rng.random(len(raws)), rng.integers(-300, -30, len(raws))).tolist()
    return raws + [mpf_sub(raw, from_float(o)) for raw, o in zip(raws, offsets, strict=True)]


@pytest.mark.parametrize("wp", [40, 61, 75, 105, 116, 210, 420, 599, 601, 900])
def test_exp_of_mpmath_is_as_good_as_the_proof_assumes(wp: int) -> None:
    for raw in hard_exponents(np.random.default_rng(wp), 150):
        with ctx.workprec(wp + 64):
            error = raw_to_arb(mpf_exp(raw, wp, "n")) / raw_to_arb(raw).exp() - 1
            assert abs(error) < arb((8, -wp)), f"exp({raw}) at {wp} bits: relative error {error}"


# Against Arb, element by element -----------------------------------------------------------------


def rows_of(regime: Regime, fmt: FloatFormat, rows: int, length: int) -> np.ndarray:
    """Rows of the regime as float64; none where the format has none."""
    if not regime.supports(fmt, length):
        return np.zeros((0, length))
    return fmt.to_float64(regime.rows(fmt, rows, length, seed=2, batch=0))


each_regime = pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)


@each_regime
@each_format
def test_arb_contradicts_no_rounding_residual_or_sign(fmt: FloatFormat, regime: Regime) -> None:
    for length in (1, 2, 3, 8, 33):
        x = rows_of(regime, fmt, sample(min(13, 1 + 25 // length), 1 + 50 // length), length)
        assert contradictions(x, truth_mpmath(x, fmt)) == []


@each_regime
def test_outputs_may_be_of_another_format(regime: Regime) -> None:
    x = rows_of(regime, F64, 4, 9)
    for fmt in FORMATS.values():
        assert contradictions(x, truth_mpmath(x, fmt)) == []


def test_arb_contradicts_no_element_of_a_long_row() -> None:
    x = rows_of(REGIMES["wide-normal"], F64, 1, 5001)
    assert contradictions(x, truth_mpmath(x, F64)) == []


@pytest.mark.slow
@each_regime
@each_format
def test_arb_contradicts_none_of_many_elements(fmt: FloatFormat, regime: Regime) -> None:
    for length in (2, 5, 17):
        x = rows_of(regime, fmt, 500, length)
        assert contradictions(x, truth_mpmath(x, fmt)) == []


def test_arb_does_contradict_a_wrong_truth() -> None:
    x = np.array([[0.0, -200.0, 1.0]])
    truth = truth_mpmath(x, F64)
    for broken in (truth.nearest + 2.0**-53, np.nextafter(truth.nearest, 0)):
        object.__setattr__(truth, "nearest", broken)
        assert len(contradictions(x, truth)) == 3
    truth = truth_mpmath(x, F64)
    object.__setattr__(truth, "residual", truth.residual + 2.0**-19)
    assert len(contradictions(x, truth)) == 3


@given(
    row=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6),
    ties=st.integers(1, 9),
    fmt=st.sampled_from(list(FORMATS.values())),
)
@settings(max_examples=sample(250, 500))
def test_arb_contradicts_nothing_that_hypothesis_finds(row: list[float], ties: int, fmt: FloatFormat) -> None:
    x = np.array([row + [max(row)] * (ties - 1)])
    assert contradictions(x, truth_mpmath(x, fmt)) == []


# Cases with known answers -------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [200.0, 700.0, 1e5, 1e300, 2 * BIG])
def test_a_dominating_entry_stays_strictly_below_one(depth: float) -> None:
    row = [BIG, -BIG] if depth > BIG else [0.0, -depth]
    (top, _), (residual, _) = truth_of(row)
    assert top == 1.0
    assert -0.5 < residual < 0, f"r = 1 - exp(-{depth}) lies below 1; residual {residual!r}"


@each_format
@pytest.mark.parametrize("k", range(9))
def test_ties_at_a_power_of_two_with_a_far_entry_lie_below_it(fmt: FloatFormat, k: int) -> None:
    alone, with_another = truth_of([0.0] * 2**k, fmt), truth_of([0.0] * 2**k + [-1e300], fmt)
    assert alone == ([2.0**-k] * 2**k, [0.0] * 2**k)
    assert with_another[0][:-1] == [2.0**-k] * 2**k
    assert all(-0.5 < residual < 0 for residual in with_another[1][:-1])


def test_deep_underflow_is_resolved() -> None:
    (_, nearest), (_, residual) = truth_of([0.0, -700.0])
    expected = raised_until(
        lambda: Softmax([0.0, -700.0]).probability(-700.0), lambda ball: ball.rel_accuracy_bits() > 90
    )
    assert nearest == float(expected)
    assert abs(residual) <= 0.5
    assert truth_of([0.0, -746.0])[0][1] == 0.0
    assert truth_of([0.0, -745.0])[0][1] == 5e-324


def test_the_plain_path_leaves_no_element_to_itself() -> None:
    fmt = FORMATS["float64"]
    assert truth_mpmath(np.array([[0.0, -700.0]]), fmt).fallbacks == 0


@each_format
@pytest.mark.parametrize("depth", [745.0, 760.0, 800.0, 1400.0, 1500.0, 5e4, 1e308])
def test_far_below_the_format_the_residual_is_r_in_ulps_and_never_zero(
    fmt: FloatFormat, depth: float
) -> None:
    depth += 745.0 * (fmt is F64)  # float64 holds exp(-745)
    with ctx.workprec(2000):
        expected = float((-arb(depth)).exp() / (1 + (-arb(depth)).exp()) / arb((1, fmt.quantum_exponent)))
    nearest, residual = truth_of([0.0, -depth], fmt)
    assert nearest[1] == 0.0
    assert residual[1] == pytest.approx(max(expected, 5e-324), rel=1e-11, abs=5e-324), f"{residual[1]!r}"
    assert residual[1] > 0


def test_half_the_smallest_subnormal_rounds_to_an_even_zero() -> None:
    fmt = FORMATS["float8_e4m3fn"]
    assert fmt.smallest_subnormal == Fraction(2, 1024)
    assert truth_of([1.0] * 1024, fmt) == ([0.0] * 1024, [0.5] * 1024)
    nearest, residual = truth_of([1.0] * 1024 + [-448.0], fmt)
    assert set(nearest) == {0.0}
    assert set(residual[:-1]) == {0.5}, "just below the midpoint: 1/2 in float64, and still rounded down"
    a_hair_apart = truth_of([0.0] * 1023 + [1e-300], fmt)[0]
    assert a_hair_apart == [0.0] * 1023 + [float(fmt.smallest_subnormal)], (
        "r lies on both sides of the midpoint"
    )
    assert truth_of([1.0] * 1023, fmt)[0] == [float(fmt.smallest_subnormal)] * 1023


@each_format
def test_equal_entries_give_exactly_one_over_their_number(fmt: FloatFormat) -> None:
    for count in (*range(1, 70), 1000, 1023, 1025, 4097):
        r = Fraction(1, count)
        nearest, residual = truth_of([-7.0] * count, fmt)
        expected = fmt.decode(fmt.round(r))
        assert expected is not None
        assert set(nearest) == {float(expected)}
        assert set(residual) == {float((r - expected) / fmt.ulp(r))}


def test_signed_zeros_are_equal_logits() -> None:
    assert truth_of([0.0, -0.0]) == ([0.5, 0.5], [0.0, 0.0])


def test_masked_entries_are_exactly_zero_and_change_nothing() -> None:
    nearest, residual = truth_of([1.0, -math.inf, 0.0, -math.inf])
    bare = truth_of([1.0, 0.0])
    assert (nearest[1], residual[1], nearest[3], residual[3]) == (0, 0, 0, 0)
    assert ([nearest[0], nearest[2]], [residual[0], residual[2]]) == bare
    assert truth_of([3.0, -math.inf]) == ([1.0, 0.0], [0.0, 0.0])


def test_policy_rows_have_no_truth() -> None:
    x = np.array([[0, math.nan], [math.inf, 0], [-math.inf, -math.inf], [math.inf, math.nan], [0, -math.inf]])
    truth = truth_mpmath(x, F64)
    kinds = [RowKind.NAN, RowKind.POS_INF, RowKind.ALL_NEG_INF, RowKind.NAN, RowKind.MASKED]
    assert truth.kinds.tolist() == kinds
    assert np.isnan(truth.nearest[:4]).all()
    assert np.isnan(truth.residual[:4]).all()


# softmax ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "digits"),
    [
        ([1, 2, 3, 4, 5], "0.01165623 0.03168492 0.08612854 0.23412166 0.63640865"),
        ([12345, 67890, 99999999], "0.00000000 0.00000000 1.00000000"),
    ],
)
def test_published_results_are_reproduced(row: list[int], digits: str) -> None:
    assert " ".join(f"{float(p):.8f}" for p in reference.softmax(row)) == digits


@pytest.mark.parametrize("bits", [1, 53, 200, 700])
def test_every_result_lies_within_its_stated_bound(bits: int) -> None:
    exact = [regime for regime in REGIMES.values() if not regime.policy]
    for rows in (rows_of(regime, F64, 2, 7) for regime in exact):
        for row, result in zip(rows.tolist(), reference.softmax(rows, bits), strict=True):
            for logit, value in zip(row, result, strict=True):
                assert_within(row, logit, value, bits)


def assert_within(row: list[float], logit: float, value: Any, bits: int) -> None:
    if logit == -math.inf:
        assert value == 0
        return

    def error() -> arb:
        r = Softmax(row).probability(logit)
        return abs(raw_to_arb(value._mpf_) / r - 1) * arb((1, bits))

    reached = raised_until(error, lambda ball: ball.is_finite() and (ball < 1 or ball > 1), bits + 64)
    assert reached < 1, f"{logit.hex()} in {row}: {value} is off by {reached} * 2^-{bits}"


def test_results_are_rounded_to_two_bits_more_than_are_asked_for() -> None:
    for bits in (1, 53, 200):
        digits = [int(v.man).bit_length() for v in reference.softmax([0.0, 1.5, -2.25], bits=bits)]
        assert max(digits) <= bits + 2, digits


def test_results_keep_the_shape_and_sum_to_one() -> None:
    result = reference.softmax(np.arange(24.0).reshape(2, 3, 4))
    assert result.shape == (2, 3, 4)
    assert all(abs(sum(row) - 1) < mpmath.mpf(2) ** -197 for row in result.reshape(-1, 4))
    assert reference.softmax(np.zeros((0, 3))).shape == (0, 3)


def test_the_global_context_is_left_alone() -> None:
    before = mpmath.mp.prec
    assert reference.softmax([0, 1], bits=999)[0].context is not mpmath.mp
    assert mpmath.mp.prec == before


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, 1], [math.nan, 0]], "row 1 holds a NaN"),
        ([[[0, 1]], [[math.inf, 0]]], r"row 1, 0 holds \+inf"),
        ([-math.inf, -math.inf], "row 0 holds nothing but -inf"),
        ([], "rows of length 0"),
        (np.zeros((3, 0)), "rows of length 0"),
        (1.0, r"shape \(\): softmax needs a last axis"),
        ([2**53 + 1, 0.5], "9007199254740993: float64 must hold it exactly"),
        (np.array([2**53 + 1]), "9007199254740993: float64 must hold it exactly"),
        ([10**400], "float64 must hold it exactly"),
        ([Fraction(1, 3)], r"Fraction\(1, 3\): float64 must hold it exactly"),
        (["1"], "'1': float64 must hold it exactly"),
        ([[0, 1], [2]], "row of 2 values among rows of other lengths"),
        (np.zeros(2, dtype=np.complex128), "dtype complex128: it is one of float16"),
    ],
)
def test_bad_logits_are_refused_in_one_line(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        reference.softmax(x)
    assert "\n" not in str(caught.value)


def test_no_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="bits 0: a result needs at least 1"):
        reference.softmax([0, 1], bits=0)


def test_integers_and_formats_are_taken_exactly() -> None:
    exact = reference.softmax([2.0**53, 2.0**53 - 2])
    assert (reference.softmax([2**53, 2**53 - 2]) == exact).all()
    for fmt in FORMATS.values():
        assert (reference.softmax(fmt.from_float64([1.0, 3.5])) == reference.softmax([1, 3.5])).all()
