"""log_softmax and logsumexp by the certified path: what mpmath says, and what Arb cannot refute."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations_with_replacement

import mpmath
import numpy as np
import pytest
from arb import contradictions
from log_rows import cancelling, hard_rows

from reference.certified.logarithms import plan_for, truth_by_plan, truth_of_log_softmax
from reference.errors import Judgement
from reference.formats import FORMATS, FloatFormat
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.ops import OPS
from reference.row_kinds import RowKind
from strategies import REGIMES, Regime
from tests.disagreements import disagreements

F16, F32, F64, BF16 = (FORMATS[name] for name in ("float16", "float32", "float64", "bfloat16"))
PAIRS = [*((f, f) for f in FORMATS.values()), (BF16, F32), (F32, F64), (F64, F16), (F64, F32)]
EIGHT = [f for f in FORMATS.values() if f.storage_bits == 8]
DEPTHS = [20.0, 50.0, 103.0, 104.0, 150.0, 300.0, 600.0, 744.0, 746.0, 801.0, 1e5, 1e300]
each_op = pytest.mark.parametrize("op", ["log_softmax", "logsumexp"])
each_pair = pytest.mark.parametrize(("fmt", "out"), PAIRS, ids=lambda f: f.name)


def against_mpmath(x: np.ndarray, fmt: FloatFormat, op: str) -> list[str]:
    return disagreements(x, OPS[op].certified(x, fmt, 1), OPS[op].by_mpmath(x, fmt))


@each_op
@each_pair
def test_certified_is_mpmath_in_hard_rows(fmt: FloatFormat, out: FloatFormat, op: str) -> None:
    for n in (1, 2, 3, 8, 33):
        assert against_mpmath(hard_rows(fmt, 1 + 20 // n, n), out, op) == []


@each_op
@pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)
def test_certified_is_mpmath_in_every_regime(regime: Regime, op: str) -> None:
    for fmt, out in ((F16, F16), (F32, F32), (F64, F64), (BF16, F32)):
        if regime.supports(fmt, 9):
            assert against_mpmath(fmt.to_float64(regime.rows(fmt, 2, 9, seed=4, batch=0)), out, op) == []


@each_op
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_results_in_every_binade_are_what_mpmath_says(fmt: FloatFormat, op: str) -> None:
    """Up to the last of float64, where what rounds to the format by an addition is an infinity."""
    size = np.array(
        [m * 2.0**k for k in (*range(-40, 960, 50), *range(960, 1024)) for m in (1.0, 1.4, 1.875)]
    )
    rows = np.stack([np.zeros(size.size), -size, np.zeros(size.size)], axis=1)
    assert against_mpmath(rows, fmt, op) == []
    assert against_mpmath(rows + size[:, None], fmt, op) == []


@each_op
@pytest.mark.parametrize("fmt", EIGHT, ids=str)
def test_pairs_of_8_bits_are_what_mpmath_says(fmt: FloatFormat, op: str) -> None:
    assert against_mpmath(pairs_of(fmt)[::50], fmt, op) == []


@pytest.mark.slow
@each_op
@pytest.mark.parametrize("fmt", EIGHT, ids=str)
def test_every_pair_of_8_bits_is_what_mpmath_says(fmt: FloatFormat, op: str) -> None:
    assert against_mpmath(pairs_of(fmt), fmt, op) == []


def pairs_of(fmt: FloatFormat) -> np.ndarray:
    values = fmt.values[~np.isnan(fmt.values) & (fmt.values < np.inf)]
    return np.array(list(combinations_with_replacement(np.unique(values), 2)))


@each_op
@pytest.mark.parametrize("length", [31, 32, 33, 1023, 2047, 2048, 2049, 70_001])
def test_rows_are_cut_into_blocks_without_a_trace(length: int, op: str) -> None:
    rng = np.random.default_rng(length)
    x = rng.standard_normal((1, length)) * rng.choice([0.01, 3.0, 60.0])
    coarse = BF16.to_float64(BF16.from_float64(x))  # few distinct values: mpmath is quick
    for out in (F32, F64):
        assert against_mpmath(coarse, out, op) == []
    assert contradictions(x[:, :2049], OPS[op].certified(x[:, :2049], F64, 1), op) == []


@each_op
def test_sums_that_cancel_are_as_mpmath_has_them(op: str) -> None:
    rng = np.random.default_rng(7)
    for fmt, out in ((F32, F32), (F64, F64), (F64, F32)):
        for n in (2, 3, 17):
            x = fmt.to_float64(fmt.from_float64(cancelling(rng, 3 * rng.standard_normal((60, n)))))
            assert against_mpmath(x, out, op) == []
    halves = np.array([[-np.log(2.0), -np.log(2.0) + 2.0**-53]])
    assert contradictions(halves, OPS[op].certified(halves, F64, 1), op) == []


@pytest.mark.parametrize("length", [2, 3, 17, 100])
def test_sums_that_cancel_in_float64_need_no_mpmath(length: int) -> None:
    """Of log-probabilities an ulp is 2^-106: beyond double-doubles, not beyond 192 places."""
    x = F64.to_float64(REGIMES["log-probabilities"].rows(F64, 30, length, seed=1, batch=0))
    truth = OPS["logsumexp"].certified(x, F64, 1)
    assert np.abs(truth.nearest).max() < 2.0**-49
    assert truth.fallbacks == 0
    assert contradictions(x[:12], truth_of_some(truth, 12), "logsumexp") == []


def truth_of_some(truth: Truth, rows: int) -> Truth:
    return Truth(truth.format, truth.nearest[:rows], truth.residual[:rows], truth.kinds[:rows])


@each_op
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_dominating_entry_leaves_no_doubt(depth: float, op: str) -> None:
    """On which side of a number or a midpoint a result lies, a log of exp(-depth) decides, however small."""
    for top in (0.0, 1.0, -3.0, 100.0, -100.25, 2.0**30, -(2.0**53)):
        odd = np.nextafter(top - depth, -np.inf)
        x = np.array([[top, top - depth, odd], [top, top - depth, -np.inf]])
        for fmt in (F16, F32, F64, BF16):
            truth = OPS[op].certified(x, fmt, 1)
            assert contradictions(x, truth, op) == []
            assert truth.fallbacks == 0 or fmt == F64


def test_policy_rows_and_single_entries() -> None:
    x = np.array([[0.0, np.nan], [np.inf, 0.0], [-np.inf, -np.inf], [3.0, -np.inf], [-np.inf, 1e300]])
    for op in ("log_softmax", "logsumexp"):
        for fmt in FORMATS.values():
            assert against_mpmath(x, fmt, op) == []


@each_op
def test_a_row_is_judged_alike_wherever_it_stands_and_by_any_number_of_threads(op: str) -> None:
    x = np.random.default_rng(5).standard_normal((3000, 50)) * 20
    x[::7, 5] = np.nan
    x[1::5] = -np.inf
    x[1::5, 3] = 1.0
    for out in (F32, F64):
        one, three = OPS[op].certified(x, out, 1), OPS[op].certified(x, out, 3)
        alone = [OPS[op].certified(row[None], out, 1) for row in x[:40]]
        for name in ("nearest", "residual", "kinds"):
            assert getattr(one, name).tobytes() == getattr(three, name).tobytes()
            assert getattr(one, name)[:40].tobytes() == b"".join(getattr(t, name).tobytes() for t in alone)


@each_op
def test_few_results_are_left_to_mpmath(op: str) -> None:
    rng = np.random.default_rng(3)
    for fmt in FORMATS.values():
        x = fmt.to_float64(fmt.from_float64(rng.standard_normal((2000, 16)) * 4))
        assert OPS[op].certified(x, fmt, 1).fallbacks == 0


def test_the_bounds_leave_residuals_as_well_known_as_they_say() -> None:
    for fmt in FORMATS.values():
        for n in (1, 70_001, 1 << 26):
            plan = plan_for(fmt, n, reduces=False)
            bound = plan.quick.bound + 2.5 * 2.0**-53 if plan.starts_quick else plan.fine.bound
            assert 2.0**fmt.precision * bound < 0.9 * RESIDUAL_TOLERANCE


@pytest.mark.parametrize("fmt", [f for f in FORMATS.values() if f.precision <= 24], ids=str)
def test_what_binary64_decides_is_what_the_finer_tier_says(fmt: FloatFormat) -> None:
    """A double-double of the logarithm and a sum of three numbers, where binary64 takes one of each."""
    rng = np.random.default_rng(5)
    for n in (1, 2, 7, 64, 257):
        plan = plan_for(fmt, n, reduces=False)
        rows = max(2, 4096 // n)
        bits = rng.integers(0, 1 << fmt.storage_bits, (rows, n)).astype(fmt.bits_dtype)
        normal = rng.standard_normal((rows, n)) * 10.0 ** rng.uniform(-4, 3, (rows, 1))
        for x in (fmt.from_bits(bits), fmt.from_float64(normal), fmt.from_float64(np.rint(normal))):
            values = fmt.to_float64(x)
            quick = truth_by_plan(values, fmt, plan)
            fine = truth_by_plan(values, fmt, plan._replace(starts_quick=False))
            judged = fine.kinds < RowKind.NAN
            differ = np.flatnonzero((quick.nearest != fine.nearest).any(axis=1) & judged)
            assert not differ.size, fmt.to_hex(x[differ[0]])
            apart = np.abs(quick.residual - fine.residual)[judged]
            assert apart.max(initial=0.0) <= 2 * RESIDUAL_TOLERANCE


@pytest.mark.parametrize("target", [0.3, 1.0, 2.5, 17.0])
def test_results_next_to_midpoints_and_numbers_are_right(target: float) -> None:
    """The logsumexp of two entries within 2^-50 of a midpoint of float32, of three within 2^-100."""
    mp = mpmath.MPContext()
    mp.prec = 300
    midpoint = float(np.float32(target)) + 0.5 * float(np.spacing(np.float32(target)))
    first = midpoint - 1.0
    second = float(np.nextafter(float(mp.log(mp.exp(midpoint) - mp.exp(first))), -np.inf))
    third = float(mp.log(mp.exp(midpoint) - mp.exp(first) - mp.exp(second)))
    for row in ([first, second], [first, second, third]):
        x = np.array([row, [v - midpoint for v in row]])
        for op in ("log_softmax", "logsumexp"):
            for fmt in (F16, F32, F64):
                assert contradictions(x, OPS[op].certified(x, fmt, 1), op) == []
    assert OPS["logsumexp"].certified(x[:1], F64, 1).fallbacks == 0


# The verdict --------------------------------------------------------------------------------------


@each_op
def test_the_verdict_is_that_of_the_specification(op: str) -> None:
    rng = np.random.default_rng(9)
    for fmt in (F16, F32, F64, FORMATS["float8_e4m3fn"], FORMATS["float8_e5m2"]):
        for n in (2, 40):
            x = hard_rows(fmt, 4, n)
            x[3] = np.nan
            truth = OPS[op].certified(x, fmt, 1)
            for y in outputs_near(truth, rng):
                array = fmt.from_float64(y)
                plain = OPS[op].judge(fmt.to_float64(array), truth)
                for judgement in (
                    OPS[op].judge_certified(array, truth, 1),
                    OPS[op].evaluate(x, array, fmt, 2)[0],
                ):
                    require_same(judgement, plain)


def outputs_near(truth: Truth, rng: np.random.Generator) -> list[np.ndarray]:
    shape, right = truth.nearest.shape, truth.nearest
    with np.errstate(all="ignore"):
        close = right * (1 + np.ldexp(rng.standard_normal(shape), rng.integers(-60, 3, shape)))
        specials = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-3, 400.0, -1e300, 0.7], shape)
        return [right, close, right + 0.7, right - 0.7, np.where(rng.random(shape) < 0.2, specials, right)]


def require_same(judgement: Judgement, plain: Judgement) -> None:
    for field in fields(Judgement):
        a, b = getattr(judgement, field.name), getattr(plain, field.name)
        if field.name in ("row_sum", "nearest_sum"):
            np.testing.assert_allclose(a, b, rtol=2.0**-40, atol=1e-120)
        elif field.name == "row_sum_error":
            finite = np.isfinite(plain.row_sum) & np.isfinite(plain.nearest_sum)
            scale = plain.row_sum[finite] + 1
            assert (np.abs(a[finite] - b[finite]) <= 2.0**-38 * scale).all()
            np.testing.assert_array_equal(a[~finite], b[~finite])
        else:
            np.testing.assert_array_equal(a, b, err_msg=field.name)


# Many -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(7200)
@each_op
def test_arb_refutes_none_of_two_million_elements(op: str) -> None:
    """Two million elements of rows, of every format, half of them hard, each with its own result."""
    elements, seed = 0, 0
    while elements < 2_000_000:
        for fmt, out in PAIRS:
            n = (2, 3, 5, 8, 16, 64, 257)[seed % 7]
            hard = hard_rows(fmt, max(1, 64 // n), n, seed)
            normal = np.random.default_rng(seed).standard_normal((len(hard), n)) * (seed % 11)
            x = np.concatenate([hard, fmt.to_float64(fmt.from_float64(normal))])
            truth = OPS[op].certified(x, out, 2)
            assert contradictions(x, truth, op) == []
            elements += x.size
            seed += 1


def test_truth_of_log_softmax_is_refused_what_has_no_rows() -> None:
    with pytest.raises(ValueError, match="rows of length 0"):
        truth_of_log_softmax(np.zeros((2, 0)), F32)
