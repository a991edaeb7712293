"""log_softmax and logsumexp in mpmath, held against Arb balls, exact figures and cases with known answers."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from arb import LogSoftmax, contradictions
from flint import arb, ctx, fmpz
from hypothesis import example, given, settings
from hypothesis import strategies as st
from log_rows import hard_rows
from mpmath.libmp import from_float, from_man_exp, mpf_log

import reference
from reference.attribution import RowOutcome, attribute
from reference.declaration import Declaration
from reference.errors import ElementClass, Judgement, RowFailure
from reference.formats import FORMATS, FloatFormat, floor_log2
from reference.fused import Fused
from reference.ops import OPS, Op, with_settings
from strategies import REGIMES

F16, F32, F64, BF16 = (FORMATS[name] for name in ("float16", "float32", "float64", "bfloat16"))
E4M3, E5M2, FNUZ = (FORMATS[name] for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"))
each_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
each_op = pytest.mark.parametrize("op", ["log_softmax", "logsumexp"])


def raw_to_arb(raw: tuple[int, Any, Any, int]) -> arb:
    negative, significand, exponent, _ = raw
    return arb((fmpz(-int(significand) if negative else int(significand)), fmpz(int(exponent))))


@pytest.mark.parametrize("wp", [40, 75, 116, 210, 420, 601, 900, 2500])
def test_log_of_mpmath_is_as_good_as_the_proof_assumes(wp: int) -> None:
    rng = np.random.default_rng(wp)
    for _ in range(60 if wp < 1000 else 12):
        depth = int(rng.integers(1, 2 * wp))
        above_one = from_man_exp((1 << depth) + int(rng.integers(1, 1 << min(depth, 60))), -depth)
        for raw in (
            above_one,
            from_float(float(rng.uniform(1, 1e6))),
            from_float(float(rng.integers(2, 99))),
        ):
            with ctx.workprec(2 * depth + wp + 64):
                error = raw_to_arb(mpf_log(raw, wp, "n")) / raw_to_arb(raw).log() - 1
                assert abs(error) < arb((8, -wp)), f"log({raw}) at {wp} bits: relative error {error}"


# Against Arb, element by element ---------------------------------------------------------------


@each_op
@each_format
def test_arb_contradicts_nothing_in_hard_rows(fmt: FloatFormat, op: str) -> None:
    for n in (1, 2, 3, 9):
        x = hard_rows(fmt, 3, n)
        assert contradictions(x, OPS[op].by_mpmath(x, fmt), op) == []


@each_op
def test_outputs_may_be_of_another_format(op: str) -> None:
    x = hard_rows(F64, 1, 5)
    for fmt in FORMATS.values():
        assert contradictions(x, OPS[op].by_mpmath(x, fmt), op) == []


@each_op
@pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)
def test_arb_contradicts_nothing_in_any_regime(regime: Any, op: str) -> None:
    for fmt in (F16, F64):
        if regime.supports(fmt, 5):
            x = fmt.to_float64(regime.rows(fmt, 3, 5, seed=3, batch=0))
            assert contradictions(x, OPS[op].by_mpmath(x, fmt), op) == []


@each_op
@given(
    row=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6),
    ties=st.integers(1, 9),
    fmt=st.sampled_from(list(FORMATS.values())),
)
@settings(max_examples=150)
def test_arb_contradicts_nothing_that_hypothesis_finds(
    op: str, row: list[float], ties: int, fmt: FloatFormat
) -> None:
    x = np.array([row + [max(row)] * (ties - 1)])
    assert contradictions(x, OPS[op].by_mpmath(x, fmt), op) == []


@each_op
def test_arb_does_contradict_a_wrong_truth(op: str) -> None:
    x = np.array([[0.0, -200.0, 1.0]])
    for nearest, residual in ((1 + 2.0**-51, 0.0), (1.0, 2.0**-19)):
        truth = OPS[op].by_mpmath(x, F64)
        truth = replace(truth, nearest=truth.nearest * nearest, residual=truth.residual + residual)
        assert len(contradictions(x, truth, op)) == truth.nearest.size


# Cases with known answers -----------------------------------------------------------------------


@each_format
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 96.0])
def test_a_single_entry_has_the_results_zero_and_itself(fmt: FloatFormat, value: float) -> None:
    row = [value, -math.inf] if fmt.has_infinity else [value]
    for method in ("mpmath", "certified"):
        logs = reference.correctly_rounded([row], fmt, method, op="log_softmax")
        assert fmt.to_bits(logs)[0, 0] == 0
        assert fmt.to_float64(reference.correctly_rounded([row], fmt, method, op="logsumexp"))[0] == value
    assert reference.log_softmax(row).tolist() == [0, -math.inf][: len(row)]
    assert reference.logsumexp(row) == value


@pytest.mark.parametrize("depth", [20.0, 200.0, 700.0, 1e5, 1e300])
def test_a_dominating_entry_lies_strictly_below_zero_and_its_logsumexp_above_it(depth: float) -> None:
    x = np.array([[0.0, -depth]])
    logs, sums = (OPS[op].by_mpmath(x, F64) for op in ("log_softmax", "logsumexp"))
    assert logs.nearest[0, 0] == -sums.nearest[0, 0] <= 0
    assert logs.residual[0, 0] == -sums.residual[0, 0] != 0
    assert logs.nearest[0, 1] <= -depth
    assert logs.residual[0, 1] < 0, "-d - log(1 + exp(-d)) lies below -d"


@each_op
def test_mpmath_numbers_are_as_good_as_they_say(op: str) -> None:
    for bits in (1, 53, 200, 600):
        x = hard_rows(F64, 1, 4)
        for row, values in zip(x, getattr(reference, op)(x, bits).reshape(len(x), -1), strict=True):
            with ctx.workprec(4000 + 2 * bits):
                balls = LogSoftmax(row.tolist())
                log = balls.log()
                for v, value in zip(row.tolist(), values.tolist(), strict=False):
                    if v == -math.inf and op == "log_softmax":
                        assert value == -math.inf
                        continue
                    exact = arb(v) - arb(balls.top) - log if op == "log_softmax" else arb(balls.top) + log
                    error = abs(raw_to_arb(value._mpf_) - exact)
                    assert error <= abs(exact) * arb((1, -bits)) or error == 0


def test_results_of_mpmath_are_taken_at_the_shapes_of_numpy() -> None:
    x = np.zeros((2, 3, 4))
    assert reference.log_softmax(x).shape == (2, 3, 4)
    assert reference.logsumexp(x).shape == (2, 3)
    assert isinstance(reference.logsumexp([0.0, 0.0], 53), mpmath.ctx_mp_python._mpf)
    assert reference.ulp_errors(x, np.zeros((2, 3)), op="logsumexp").shape == (2, 3)
    assert reference.ulp_errors([0.0, 0.0], np.log(2.0), op="logsumexp") == pytest.approx(0.2088, abs=1e-4)
    assert reference.correctly_rounded(np.zeros((0, 3)), op="logsumexp").shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reference.log_softmax([1.0], 0), "bits 0: a result needs at least 1 bit"),
        (lambda: reference.logsumexp([[0.0], [np.nan]]), "row 1 holds a NaN: logsumexp is exact only where"),
        (lambda: reference.log_softmax([-np.inf]), "row 0 holds nothing but -inf: log_softmax is exact"),
        (lambda: reference.ulp_errors([0.0], [0.0], op="lse"), "op 'lse': it is one of softmax, log_softmax"),
        (lambda: reference.ulp_errors([0.0], [0.0], op="logsumexp"), r"logsumexp of it has shape \(\)"),
        (lambda: reference.ulp_errors([0.0], 0.0, op="log_softmax"), "they must be the same"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ULP errors --------------------------------------------------------------------------------------


def test_an_absolute_error_next_to_zero_is_millions_of_ulp() -> None:
    """log(1 + exp(-20)) is 2.06e-9: 0 in its stead is wrong by 2^23 ulps of its binade and more."""
    x = np.array([0.0, -20.0], np.float32)
    errors = reference.ulp_errors(x, np.array([0.0, -20.0], np.float32), op="log_softmax", method="mpmath")
    assert 2**23 <= errors[0] < 2**24
    assert errors[1] < 0.01
    assert reference.ulp_errors(x, np.float32(0.0), op="logsumexp", method="mpmath") == errors[0]


@each_op
def test_ulp_errors_are_those_of_exact_arithmetic(op: str) -> None:
    rng = np.random.default_rng(3)
    for fmt in (F16, F64, E4M3, E5M2):
        x = hard_rows(fmt, 2, 3)
        truth = OPS[op].by_mpmath(x, fmt)
        shape = truth.nearest.shape
        with np.errstate(over="ignore"):
            scattered = fmt.to_float64(fmt.from_float64(truth.nearest * (1 + rng.normal(size=shape))))
        for y in (fmt.to_float64(fmt.from_float64(truth.nearest)), scattered, np.zeros(shape)):
            exact = getattr(reference, op)(x, 2200).reshape(shape)
            figures = OPS[op].judge(y, truth).ulp
            for value, r, figure in zip(
                y.ravel().tolist(), exact.ravel().tolist(), figures.ravel(), strict=True
            ):
                assert_figure(value, r, figure, fmt)


def assert_figure(y: float, r: Any, figure: float, fmt: FloatFormat) -> None:
    if not math.isfinite(y):
        assert figure == 0 if y == r else np.isnan(figure)
    elif r == -math.inf:
        assert figure == math.inf
    else:
        exponent = max(mpmath.frexp(r)[1] - 1, fmt.emin) if r else fmt.emin
        wanted = abs(r.context.mpf(y) - r) * r.context.mpf(2) ** (fmt.precision - 1 - exponent)
        if wanted < 2**1023:
            assert abs(wanted - float(figure)) <= max(1e-6, 2.0**-52 * wanted), (
                f"{y} for {r}: {figure} in {fmt}"
            )
        else:
            assert figure >= 2.0**1022


# Beyond the format, masks and policy -----------------------------------------------------------


@pytest.mark.parametrize("fmt", [F16, F32, F64, BF16, E5M2], ids=str)
def test_a_result_beyond_the_format_is_its_infinity_and_no_failure(fmt: FloatFormat) -> None:
    omega = float(fmt.largest)
    x = np.array([[omega, -omega]])
    for method in ("mpmath", "certified"):
        y = fmt.to_float64(reference.correctly_rounded(x, fmt, method, op="log_softmax"))
        assert y.tolist() == [[0.0, -math.inf]]
        judgement = OPS["log_softmax"].judge(y, OPS["log_softmax"].truth(x, fmt, method))
        assert (judgement.correct & judgement.faithful).all()
        assert judgement.failure[0] == 0
        errors = reference.ulp_errors(x, [[0.0, -omega]], fmt, method, op="log_softmax")
        assert errors[0, 1] == pytest.approx(omega / 2.0 ** (fmt.emax + 2 - fmt.precision), abs=1e-6)


def test_a_format_without_infinities_has_nan_there() -> None:
    x = np.array([[448.0, -448.0]])
    y = E4M3.to_float64(reference.correctly_rounded(x, E4M3, op="log_softmax"))
    np.testing.assert_array_equal(y, [[0.0, np.nan]])
    judgement = OPS["log_softmax"].judge(y, OPS["log_softmax"].truth(x, E4M3))
    assert judgement.correct.all()
    assert judgement.failure[0] == 0


def verdicts(op: Op, x: list[float], y: list[float], fmt: FloatFormat) -> list[Judgement]:
    """The verdict of the specification, and those of the compiled paths."""
    rows, encoded = np.array([x]), fmt.from_float64([y])
    truth = op.truth(rows, fmt)
    return [
        op.judge(fmt.to_float64(encoded), truth),
        op.judge_certified(encoded, truth, 1),
        op.evaluate(rows, encoded, fmt, 1)[0],
    ]


@pytest.mark.parametrize(
    ("fmt", "x", "y", "failure"),
    [
        (F16, [70000.0], np.inf, "NONE"),
        (F16, [70000.0], 65504.0, "NONE"),  # the number next to the infinity
        (F16, [70000.0], 30000.0, "COLLAPSED"),
        (F16, [70000.0], np.nan, "NONFINITE"),
        (F16, [70000.0], -np.inf, "NONFINITE"),
        (F16, [-1e30], -np.inf, "NONE"),
        (F16, [-1e30, -1e30], -65504.0, "NONE"),
        (F16, [65504.0, 65504.0, 65536.0], np.inf, "NONE"),
        *((F16, [x], 65504.0, "NONE") for x in (65520.0, 65536.0, 131072.0, 131072.0078125)),
        (E4M3, [512.0], 448.0, "NONE"),
        (E4M3, [1000.0], np.nan, "NONE"),
        (E4M3, [1000.0], 448.0, "NONE"),
        (E4M3, [1000.0], 1.0, "COLLAPSED"),
    ],
)
def test_a_logsumexp_beyond_the_format_fails_where_it_is_not_faithful(
    fmt: FloatFormat, x: list[float], y: float, failure: str
) -> None:
    for judgement in verdicts(OPS["logsumexp"], x, [y], fmt):
        assert RowFailure(judgement.failure[0]).name == failure
        assert judgement.faithful[0, 0] == (failure == "NONE")


@pytest.mark.parametrize(
    ("fmt", "y", "ulp", "is_faithful"),
    [
        (F64, -math.ulp(1.0) * 2.0**1023 * (2**53 - 1), 0.5, True),
        (F64, -np.inf, math.nan, True),
        (F16, -65504.0, 1024.0 * (1 - 65504 * 2.0**-1024), True),
        (E4M3, -448.0, 8.0, True),
        (E4M3, 0.0, 8.0, False),
    ],
)
def test_a_logsumexp_of_minus_two_to_the_1024_is_no_masked_entry(
    fmt: FloatFormat, y: float, ulp: float, is_faithful: bool
) -> None:
    """It is -inf in float64 with residual 0, as a masked entry is, and judged as a number."""
    op = with_settings(OPS["logsumexp"], Fused(scale=2.0))
    for judgement in verdicts(op, [-(2.0**1023)], [y], fmt):
        assert judgement.ulp[0, 0] == pytest.approx(ulp, nan_ok=True)
        assert judgement.faithful[0, 0] == is_faithful
        assert judgement.classes[0, 0] == ElementClass.NORMAL
        assert RowFailure(judgement.failure[0]).name == ("NONE" if is_faithful else "INFLATED")


@given(
    x=st.floats(2.0**990, 1.7976931348623157e308),
    power=st.integers(0, 100),
    significand=st.sampled_from([1.0, 1.5, 2 - 2.0**-52, 1 + 2.0**-52]),
    sign=st.sampled_from([-1.0, 1.0]),
    name=st.sampled_from(sorted(FORMATS)),
    output=st.sampled_from([0.0, 1.0, -1.0]),
)
@example(x=float.fromhex("0x1.3p1023"), power=2, significand=1.0, sign=1.0, name="float8_e4m3fn", output=0.0)
@example(x=2.0**1023, power=99, significand=1.0, sign=-1.0, name="float8_e5m2", output=1.0)
@example(x=1.7976931348623157e308, power=99, significand=1.0, sign=1.0, name="float64", output=-1.0)
@example(  # 2^1084 (1 - 2^-56), whose residual rounds to that of 2^1084
    x=(1 + 2.0**-28) * 2.0**1023, power=60, significand=2 - 2.0**-27, sign=1.0, name="float32", output=0.0
)
def test_results_beyond_float64_are_measured_in_their_own_ulp(
    x: float, power: int, significand: float, sign: float, name: str, output: float
) -> None:
    """A logsumexp of one entry is s x, exactly."""
    scale = min(significand * 2.0**power, 2.0**100)
    fmt, exact = FORMATS[name], Fraction(scale) * Fraction(sign * x)
    y = output * float(fmt.largest)
    wanted = abs(Fraction(y) - exact) / Fraction(2) ** (floor_log2(abs(exact)) - fmt.precision + 1)
    op = with_settings(OPS["logsumexp"], Fused(scale=scale))
    for judgement in verdicts(op, [sign * x], [y], fmt):
        assert judgement.ulp[0, 0] == pytest.approx(float(wanted), rel=2.0**-50), (x.hex(), scale.hex())


@pytest.mark.parametrize(
    ("fmt", "x", "y", "failure", "row_sum"),
    [
        (FNUZ, [0.0, 0.0, -np.inf], [-0.6875, -0.6875, np.nan], "NONE", 2 * math.exp(-0.6875)),
        (FNUZ, [0.0, 0.0, -np.inf], [240.0, 240.0, np.nan], "INFLATED", 2 * math.exp(240.0)),
        (FNUZ, [0.0, 0.0, -np.inf], [-240.0, -240.0, np.nan], "COLLAPSED", 2 * math.exp(-240.0)),
        (FNUZ, [0.0, 0.0, -np.inf], [np.nan, -0.6875, np.nan], "NONFINITE", math.nan),
        (E4M3, [0.0, -1000.0], [0.0, np.nan], "NONE", 1.0),
        (E4M3, [0.0, -1000.0], [240.0, np.nan], "INFLATED", math.exp(240.0)),
    ],
)
def test_a_rightful_nan_hides_no_failed_row(
    fmt: FloatFormat, x: list[float], y: list[float], failure: str, row_sum: float
) -> None:
    for judgement in verdicts(OPS["log_softmax"], x, y, fmt):
        assert RowFailure(judgement.failure[0]).name == failure
        assert judgement.row_sum[0] == pytest.approx(row_sum, rel=1e-12, nan_ok=True)
        assert math.isnan(judgement.row_sum_error[0]) == math.isnan(row_sum)


@pytest.mark.parametrize(
    ("x", "is_noticed"),
    [([0.0, 0.0], True), ([0.0, -1.0], True), ([-math.log(2), -math.log(2)], True), ([-1.0, -1.0], False)],
)
def test_minus_zero_is_noticed_where_the_logsumexp_is_zero_or_above(x: list[float], is_noticed: bool) -> None:
    """The first result lies above RN(r), the second below it, the third is 2.3e-17, the last -0.31."""
    for judgement in verdicts(OPS["logsumexp"], x, [-0.0], F32):
        assert judgement.negative_zero[0, 0] == is_noticed


def test_a_masked_entry_is_minus_infinity() -> None:
    x = np.array([[0.0, -np.inf, 1.0]])
    op = OPS["log_softmax"]
    truth = op.truth(x, F32)
    for value, name, figure in ((-np.inf, "MASKED_ZERO", 0.0), (-1e30, "MASK_LEAK", np.inf)):
        y = F32.to_float64(F32.from_float64(truth.nearest))
        y[0, 1] = value
        judgement = op.judge(F32.to_float64(F32.from_float64(y)), truth)
        assert judgement.classes[0, 1] == reference.errors.ElementClass[name]
        assert judgement.ulp[0, 1] == figure
    y[0, 1] = np.nan
    assert op.judge(y, truth).classes[0, 1] == reference.errors.ElementClass.NONFINITE


@pytest.mark.parametrize(
    ("outputs", "failure", "element"),
    [
        ([-1.3132617, -0.3132617], "NONE", "NORMAL"),
        ([-np.inf, -0.3132617], "NONFINITE", "NONFINITE"),
        ([np.inf, -0.3132617], "NONFINITE", "NONFINITE"),
        ([1e-7, -0.3132617], "NONE", "OUT_OF_RANGE"),
        ([-1.3132617, 0.69], "INFLATED", "NORMAL"),
        ([-9.0, -0.8], "COLLAPSED", "NORMAL"),
    ],
)
def test_rows_of_log_softmax_fail_as_defined(outputs: list[float], failure: str, element: str) -> None:
    y = F32.to_float64(F32.from_float64([outputs]))
    judgement = OPS["log_softmax"].judge(y, OPS["log_softmax"].truth(np.array([[0.0, 1.0]]), F32))
    assert RowFailure(judgement.failure[0]).name == failure
    assert reference.errors.ElementClass(judgement.classes[0, 0]).name == element


@pytest.mark.parametrize(
    ("row", "output", "failure"),
    [
        ([0.0, 1.0], 1.3132617, "NONE"),
        ([0.0, 1.0], 1.3132617 + 0.69, "NONE"),
        ([0.0, 1.0], 1.3132617 + 0.70, "INFLATED"),
        ([0.0, 1.0], 1.3132617 - 0.70, "COLLAPSED"),
        ([0.0, 1.0], np.inf, "NONFINITE"),
        ([1e8, 0.0], 1e8 + 8, "NONE"),
        ([1e8, 0.0], 1e8 + 16, "INFLATED"),
    ],
)
def test_rows_of_logsumexp_fail_as_defined(row: list[float], output: float, failure: str) -> None:
    y = F32.to_float64(F32.from_float64([[output]]))
    judgement = OPS["logsumexp"].judge(y, OPS["logsumexp"].truth(np.array([row]), F32))
    assert RowFailure(judgement.failure[0]).name == failure


@each_format
def test_correctly_rounded_outputs_of_many_equal_entries_are_no_failure(fmt: FloatFormat) -> None:
    """With 3 bits -log 8200 = -9.01 is rounded to -10, and the sum of exp(y) is 0.37."""
    x = np.zeros((1, 8200))
    truth = OPS["log_softmax"].truth(x, fmt)
    judgement = OPS["log_softmax"].judge(fmt.to_float64(fmt.from_float64(truth.nearest)), truth)
    assert judgement.correct.all()
    assert judgement.failure[0] == 0
    assert fmt.precision > 3 or judgement.row_sum[0] < 0.4


@pytest.mark.parametrize("method", ["mpmath", "certified"])
def test_policy_rows_give_what_the_op_says_by_default(method: Any) -> None:
    x = [[0.0, np.nan], [np.inf, 0.0], [-np.inf, -np.inf], [np.inf, np.nan]]
    sums = reference.correctly_rounded(x, "float32", method, op="logsumexp")
    np.testing.assert_array_equal(sums, np.array([np.nan, np.inf, -np.inf, np.nan], np.float32))
    assert np.isnan(reference.correctly_rounded(x, "float32", method, op="log_softmax")).all()
    assert np.isnan(reference.ulp_errors(x, np.zeros(4), method=method, op="logsumexp")).all()


# Attribution ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "row", "outputs", "argument", "outcome"),
    [
        ("logsumexp", [100.0, 0.0], [np.inf], "plain", "OVERFLOW"),
        ("logsumexp", [100.0, 0.0], [np.inf], "shifted", "UNEXPLAINED"),
        ("logsumexp", [-200.0, -201.0], [-np.inf], "plain", "TOTAL_UNDERFLOW"),
        ("logsumexp", [0.0, 1.0], [0.0], "shifted", "INACCURATE"),
        ("logsumexp", [0.0, 1.0], [1.3132617], "shifted", "OK"),
        ("log_softmax", [100.0, 0.0], [-np.inf, -np.inf], "plain", "OVERFLOW"),
        ("log_softmax", [-200.0, -201.0], [np.inf, np.inf], "plain", "TOTAL_UNDERFLOW"),
        ("log_softmax", [0.0, -200.0], [0.0, -np.inf], "shifted", "UNEXPLAINED"),
        ("log_softmax", [0.0, 0.0], [0.0, 0.0], "shifted", "INACCURATE"),
        ("log_softmax", [0.0, -np.inf], [0.0, -np.inf], "shifted", "OK"),
        ("log_softmax", [np.nan, 0.0], [0.0, 0.0], "shifted", "POLICY"),
    ],
)
def test_failed_rows_are_attributed_to_what_is_exponentiated(
    op: str, row: list[float], outputs: list[float], argument: Any, outcome: str
) -> None:
    x, y = np.array([row]), F32.from_float64([outputs])
    truth = OPS[op].by_mpmath(x, F32)
    judgement = OPS[op].judge(y, truth)
    found = attribute(x, y, truth, judgement.failure, Declaration(argument), F32, OPS[op])
    assert RowOutcome(found[0]).name == outcome
