"""The compiled verdict is that of `reference.errors.judge`: every figure, class and flag, bit for bit."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.certified import evaluate, judge_certified, truth_certified
from reference.certified.exact_sums import LIMBS, accumulate, rounded, sum_in_two
from reference.certified.row_sums import new_tally, sum_rows, tally_rows
from reference.errors import ElementClass, Judgement, judge
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.truth import truth
from strategies import REGIMES, Regime
from tests.longer import sample
from tests.more_formats import SMALL

F32, F64 = FORMATS["float32"], FORMATS["float64"]
each_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
each_regime = pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)


def differences(a: Judgement, b: Judgement) -> list[str]:
    """Fields that differ, with the first values that do."""
    lines = []
    for name in (field.name for field in fields(Judgement)):
        u, v = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        unlike = (u != v) & ~((u != u) & (v != v))
        if u.dtype != v.dtype or u.shape != v.shape:
            lines.append(f"{name}: {u.dtype} {u.shape} and {v.dtype} {v.shape}")
        elif unlike.any():
            lines.append(f"{name} at {np.argwhere(unlike)[0]}: {u[unlike][0]!r} and {v[unlike][0]!r}")
    return lines


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_every_encoding_is_judged_as_the_value_that_it_stands_for(fmt: FloatFormat) -> None:
    codes = np.arange(2**fmt.storage_bits)
    y = fmt.from_bits(codes).reshape(-1, 4)
    exact = truth(np.zeros(y.shape), fmt, "certified")
    judged = judge_certified(y, exact)
    assert differences(judged, judge(y, exact)) == []
    finite = np.array([fmt.is_finite(code) for code in codes.tolist()]).reshape(y.shape)
    assert ((judged.classes == ElementClass.NONFINITE) == ~finite).all()
    negative = fmt.to_bits(y) == fmt.sign_bit
    assert (judged.negative_zero == (negative & fmt.has_negative_zero)).all()


def wrong_outputs(nearest: np.ndarray, fmt: FloatFormat, rng: np.random.Generator) -> list[np.ndarray]:
    """Outputs wrong in every way: by ulps, by a bit, by anything, halved, doubled, lost, -0, infinite."""
    right = fmt.from_float64(nearest)
    bits, ordinals = fmt.to_bits(right), fmt.ordinals(fmt.to_bits(right))
    most = np.ldexp(1.0, rng.integers(0, fmt.precision + 1, right.shape)).astype(np.int64)
    moved = np.clip(ordinals + rng.integers(-most, most + 1), -fmt.largest_ordinal, fmt.largest_ordinal)
    flipped = bits ^ (np.uint64(1) << rng.integers(0, fmt.storage_bits, bits.shape, dtype=np.uint64))
    anything = rng.integers(0, 1 << fmt.storage_bits, bits.shape, dtype=np.uint64)
    some = rng.random(right.shape) < 0.3
    return [
        right,
        fmt.from_bits(fmt.from_ordinals(moved)),
        fmt.from_bits(flipped.astype(fmt.bits_dtype)),
        fmt.from_bits(anything.astype(fmt.bits_dtype)),
        fmt.from_float64(nearest / 2),
        fmt.from_float64(nearest * 2),
        fmt.from_float64(np.where(some, 0.0, nearest)),
        fmt.from_float64(np.where(some, -0.0, nearest)),
        fmt.from_float64(np.where(some, np.inf, nearest)),
    ]


def repeated(truth: Truth, times: int) -> Truth:
    nearest, residual = (np.tile(part, (times, 1)) for part in (truth.nearest, truth.residual))
    return Truth(truth.format, nearest, residual, np.tile(truth.kinds, times))


@each_regime
@each_format
def test_the_verdict_is_the_specification_s(fmt: FloatFormat, regime: Regime) -> None:
    rng = np.random.default_rng(3)
    for length in (1, 2, 8, 65):
        if regime.supports(fmt, length):
            x = fmt.to_float64(regime.rows(fmt, 1 + 30 // length, length, seed=5, batch=0))
            truth = truth_certified(x, fmt)
            right, *wrong = wrong_outputs(truth.nearest, fmt, rng)
            for y, exact in ((right, truth), (np.concatenate(wrong), repeated(truth, len(wrong)))):
                assert differences(judge(y, exact), judge_certified(y, exact)) == []


@pytest.mark.parametrize("length", [1024, 2049, 5000])
@each_format
def test_long_rows_too(fmt: FloatFormat, length: int) -> None:
    rng = np.random.default_rng(length)
    x = fmt.to_float64(fmt.from_float64(rng.standard_normal((2, length)) * [[3.0], [30.0]]))
    truth = truth_certified(x, fmt)
    for y in wrong_outputs(truth.nearest, fmt, rng):
        assert differences(judge(y, truth), judge_certified(y, truth)) == []


@each_format
def test_truth_and_verdict_in_one_pass_are_those_of_two(fmt: FloatFormat) -> None:
    rng = np.random.default_rng(7)
    for regime in REGIMES.values():
        for length in (3, 70):
            if regime.supports(fmt, length):
                x = fmt.to_float64(regime.rows(fmt, 8, length, seed=6, batch=0))
                truth = truth_certified(x, fmt)
                for y in wrong_outputs(truth.nearest, fmt, rng)[:3]:
                    judgement, fallbacks = evaluate(x, y, fmt)
                    assert differences(judge_certified(y, truth), judgement) == []
                    assert fallbacks == truth.fallbacks


def test_the_number_of_threads_changes_nothing() -> None:
    x = np.random.default_rng(6).standard_normal((4000, 40))
    truth = truth_certified(x, F32)
    y = F32.from_float64(truth.nearest * (1 + 1e-6))
    assert differences(judge_certified(y, truth), judge_certified(y, truth, jobs=3)) == []
    assert differences(evaluate(x, y, F32)[0], evaluate(x, y, F32, jobs=3)[0]) == []


def test_a_sum_of_half_or_twice_is_no_failure() -> None:
    """2 * sum(y) = sum(RN(r)) is not collapsed; a quantum less is, though rounded sums may hide it."""
    x = np.zeros((2, 4))
    truth = truth_certified(x, F64)
    quarter, less = 0.125, math.nextafter(0.125, 0)
    y = np.array([[quarter] * 4, [less, quarter, quarter, quarter]])
    assert judge_certified(y, truth).failure.tolist() == judge(y, truth).failure.tolist() == [0, 2]
    tiny = np.array([[0.5] * 4, [0.5, 0.5, 0.5, math.nextafter(0.5, 1)]])
    assert judge_certified(tiny, truth).failure.tolist() == judge(tiny, truth).failure.tolist() == [0, 3]


finite = st.floats(allow_nan=False, allow_infinity=False)


# the first call compiles
@given(st.lists(finite, min_size=1, max_size=40))
def test_sums_are_exact_and_rounded_once(values: list[float]) -> None:
    limbs = np.zeros(LIMBS, dtype=np.int64)
    accumulate(limbs, np.array(values), 1)
    total = sum(map(Fraction, values), Fraction(0))
    try:
        expected = total.numerator / total.denominator
    except OverflowError:
        expected = math.inf if total > 0 else -math.inf
    assert rounded(limbs) == expected, [v.hex() for v in values]


def exact_difference(a: list[float], b: list[float]) -> float:
    total = sum(map(Fraction, a), Fraction(0)) - sum(map(Fraction, b), Fraction(0))
    try:
        return total.numerator / total.denominator
    except OverflowError:
        return math.inf if total > 0 else -math.inf


scattered = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-1070, 1020))


@settings(max_examples=sample(300, 3000))
@given(st.lists(st.tuples(scattered | finite, scattered | finite), min_size=1, max_size=12))
def test_sums_that_two_numbers_decide_are_the_exact_ones_rounded_once(
    pairs: list[tuple[float, float]],
) -> None:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    found, is_known = sum_in_two(np.array(a), np.array(b), -1)
    assert not is_known or found == exact_difference(a, b), [v.hex() for v in (*a, *b)]


@pytest.mark.parametrize("beyond", [2.0**-120, 2.0**-1074])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_two_numbers_decide_no_sum_beside_a_tie_and_every_other(beyond: float, side: float) -> None:
    zeros = np.zeros(4)
    tie = np.array([1.0, 2.0**-53, side * beyond, 0.0])
    assert not sum_in_two(tie, zeros, -1)[1]
    assert row_sums(tie, zeros, F64)[0] == math.fsum(tie) == (1 + 2.0**-52 if side > 0 else 1.0)
    beside = np.array([1.0, 2.0**-54, side * beyond, 0.0])
    assert sum_in_two(beside, zeros, -1) == (1.0, True)
    whole = np.array([1.0, 2.0**-53, 0.0, 0.0])
    assert sum_in_two(whole, zeros, -1) == (1.0, True)


unit = st.floats(-1, 1)
sparse = st.builds(math.ldexp, st.sampled_from([1.0, -1.0, 1 + 2.0**-52, 1.5]), st.integers(-170, -1))


def row_sums(y: np.ndarray, nearest: np.ndarray, fmt: FloatFormat) -> list[float]:
    tally, sums = new_tally(), np.empty((3, 1))
    places = tally_rows(y[None], nearest[None], fmt.precision, fmt.emin, tally)
    sum_rows(y[None], nearest[None], tally, places, *sums, np.zeros(LIMBS, dtype=np.int64))
    return [float(figure) for figure in sums[:, 0]]


def expected_sums(y: np.ndarray, nearest: np.ndarray) -> list[float]:
    return [math.fsum(y), math.fsum(nearest), abs(math.fsum([*y, *-nearest]))]


@settings(max_examples=sample(200, 500))
@given(st.lists(st.tuples(unit | sparse, unit | sparse), min_size=1, max_size=12), st.booleans())
def test_row_sums_are_exact_and_rounded_once(pairs: list[tuple[float, float]], alike: bool) -> None:
    """Of numbers that straddle all the units, that cancel, and that stop just beside a tie."""
    y = np.array([a for a, _ in pairs])
    nearest = y.copy() if alike else np.array([b for _, b in pairs])
    zeros = np.zeros(40)  # make a long row of a short one
    for a, b in ((y, nearest), (np.append(y, zeros), np.append(nearest, zeros))):
        assert row_sums(a, b, F64) == expected_sums(y, nearest)


binary32 = st.floats(2.0**-76, 1, width=32)
binary16 = st.floats(0, 1, width=16)


@settings(max_examples=sample(200, 500))
@given(st.data(), st.sampled_from([(binary32, F32), (binary16, FORMATS["float16"])]))
def test_short_rows_that_need_fewer_digits_are_summed_no_less_exactly(
    data: st.DataObject, kind: tuple[st.SearchStrategy[float], FloatFormat]
) -> None:
    """Also where a sum is 4 or more, which two digits that are floats no longer hold."""
    numbers, fmt = kind
    pairs = data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=31))
    y, nearest = np.array(pairs).T.copy()
    assert row_sums(y, nearest, fmt) == expected_sums(y, nearest)


def test_thousands_of_large_significands_need_carries() -> None:
    values = np.full(5000, 1.7976931348623157e308)
    limbs = np.zeros(LIMBS, dtype=np.int64)
    accumulate(limbs, values, 1)
    accumulate(limbs, values[1:], -1)
    assert rounded(limbs) == values[0]


def test_shapes_must_match() -> None:
    truth = truth_certified(np.zeros((2, 3)), F32)
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        judge_certified(np.zeros((2, 2)), truth)
