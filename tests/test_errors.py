"""ULP errors, classes and row failures, held against their definitions in exact fractions."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reference
from reference.errors import ElementClass, Judgement, RowFailure, judge, ulp_of
from reference.formats import FORMATS, FloatFormat
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.oracle import softmax, truth_mpmath
from reference.row_kinds import RowKind
from reference.truth import truth
from tests.longer import few_of, sample
from tests.more_formats import EIGHT

each_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
F16, F64 = FORMATS["float16"], FORMATS["float64"]
INF, NAN = math.inf, math.nan


def judged(row: list[float], outputs: list[float], fmt: FloatFormat = F64) -> Judgement:
    return judge(np.array([outputs], dtype=np.float64), truth_of(tuple(row), fmt))


@cache
def truth_of(row: tuple[float, ...], fmt: FloatFormat) -> Truth:
    return truth_mpmath(np.array([row], dtype=np.float64), fmt)


# The definitions, in fractions, from the exact softmax -----------------------------------------------


def exact_rows(row: list[float]) -> list[Fraction]:
    """r to 2000 bits: exact where the row is tied, and elsewhere close enough that nothing below can tell."""
    return list(_exact(tuple(row)))


@cache
def _exact(row: tuple[float, ...]) -> tuple[Fraction, ...]:
    return tuple(int(p.man) * Fraction(2) ** int(p.exp) for p in softmax(row, bits=2000))


def value_of(fmt: FloatFormat, code: int) -> Fraction:
    value = fmt.decode(code)
    assert value is not None
    return value


@cache
def rounded_code(fmt: FloatFormat, r: Fraction) -> int:
    return fmt.round(r)


@cache
def down_and_up(r: Fraction, fmt: FloatFormat) -> tuple[Fraction, Fraction]:
    """RD(r) and RU(r)."""
    code = rounded_code(fmt, r)
    nearest = value_of(fmt, code)
    if nearest == r:
        return r, r
    other = value_of(fmt, code + 1 if nearest < r else code - 1)
    return min(nearest, other), max(nearest, other)


def class_by_definition(y: float, r: Fraction, fmt: FloatFormat) -> ElementClass:
    """The table of classes, top to bottom."""
    nearest = value_of(fmt, rounded_code(fmt, r))
    if not math.isfinite(y):
        return ElementClass.NONFINITE
    if r == 0:
        return ElementClass.MASKED_ZERO if y == 0 else ElementClass.MASK_LEAK
    if y < 0 or y > 1:
        return ElementClass.OUT_OF_RANGE
    if y == 0 and nearest != 0:
        return ElementClass.FLUSHED if nearest < fmt.smallest_normal else ElementClass.LOST
    if nearest == 0:
        return ElementClass.UNAVOIDABLE_ZERO if y == 0 else ElementClass.SPURIOUS_NONZERO
    return ElementClass.GRADUAL if nearest < fmt.smallest_normal else ElementClass.NORMAL


def assert_error(figure: float, y: float, r: Fraction, fmt: FloatFormat, what: str) -> None:
    if not math.isfinite(y):
        assert math.isnan(figure), what
        return
    error = abs(Fraction(y) - r) / fmt.ulp(r)
    if math.isinf(figure):
        assert error >= 2**1024 * (1 - Fraction(1, 2**53)), what
    else:
        allowed = max(Fraction(1, 10**6), error / 2**52)
        assert abs(Fraction(figure) - error) <= allowed, f"{what}: {float(error)!r} expected"


def assert_by_definition(row: list[float], outputs: list[float], fmt: FloatFormat) -> None:
    """Every column of a judgement on one exact row, element by element."""
    verdict = judged(row, outputs, fmt)
    for i in range(len(row)):
        assert_element_by_definition(verdict, 0, i, row, outputs, fmt)


def assert_element_by_definition(
    verdict: Judgement, place: int, i: int, row: list[float], outputs: list[float], fmt: FloatFormat
) -> None:
    """Every column of a judgement on an element of the row at a place."""
    y, r = outputs[i], exact_rows(row)[i]
    what = f"{fmt}, x={[v.hex() for v in row]}, y[{i}]={y.hex()}: ulp {verdict.ulp[place, i]!r}"
    assert_error(verdict.ulp[place, i], y, r, fmt, what)
    assert verdict.classes[place, i] == class_by_definition(y, r, fmt), what
    exact_y = Fraction(y) if math.isfinite(y) else None
    assert verdict.correct[place, i] == (exact_y == value_of(fmt, rounded_code(fmt, r))), what
    assert verdict.faithful[place, i] == (exact_y in down_and_up(r, fmt)), what
    assert verdict.negative_zero[place, i] == (y == 0 and math.copysign(1, y) < 0), what


def assert_row_by_definition(row: list[float], outputs: list[float], fmt: FloatFormat) -> None:
    """The row's sums and failure, from exact sums."""
    verdict = judged(row, outputs, fmt)
    nearest = sum((value_of(fmt, rounded_code(fmt, r)) for r in exact_rows(row)), Fraction(0))
    what = f"{fmt}, x={[v.hex() for v in row]}, y={[v.hex() for v in outputs]}"
    assert verdict.nearest_sum[0] == float(nearest), what
    if not all(map(math.isfinite, outputs)):
        assert verdict.failure[0] == RowFailure.NONFINITE, what
        assert not math.isfinite(verdict.row_sum_error[0]), what
        return
    total = sum(map(Fraction, outputs), Fraction(0))
    assert verdict.row_sum[0] == rounded(total), what
    assert verdict.row_sum_error[0] == rounded(abs(total - nearest)), what
    expected = RowFailure.NONE
    if nearest:
        expected = RowFailure.COLLAPSED if total < nearest / 2 else expected
        expected = RowFailure.INFLATED if total > 2 * nearest else expected
    assert verdict.failure[0] == expected, what


def rounded(value: Fraction) -> float:
    return float(F64.to_float64(F64.from_bits([F64.round(value)]))[0])


# Any row, any outputs ----------------------------------------------------------------------------------


@st.composite
def rows_and_outputs(draw: st.DrawFn) -> tuple[FloatFormat, list[float], list[float]]:
    """Logits, and outputs at the truth, a few steps off it, or anywhere in the format."""
    fmt = draw(st.sampled_from(list(FORMATS.values())))
    logit = st.sampled_from([0.0, 1.0, -1200.0, -INF]) | st.floats(-20, 20) | st.floats(-800, 0)
    row = draw(st.lists(logit, min_size=1, max_size=5).filter(lambda r: max(r) > -INF))
    nearest = fmt.to_bits(fmt.from_float64(truth_mpmath(np.array([row]), fmt).nearest[0])).tolist()
    step = (
        st.just(0)
        | st.integers(-2, 2)
        | st.integers(-(2 ** (fmt.storage_bits - 2)), 2 ** (fmt.storage_bits - 2))
    )
    anywhere = st.integers(0, 2**fmt.storage_bits - 1)
    codes = [
        draw(step.map(lambda s, c=code: max(c + s, 0)) | anywhere | st.just(fmt.sign_bit)) for code in nearest
    ]
    return fmt, row, fmt.to_float64(fmt.from_bits(codes)).tolist()


@given(case=rows_and_outputs())
@settings(max_examples=sample(150, 400))
@example(case=(F64, [0.0, -200.0], [1 - 2.0**-53, 0.0]))
@example(case=(F64, [0.0, -700.0], [1.0, 1.7e308]))
@example(case=(F64, [0.0, -800.0], [5e-324, -0.0]))
@example(case=(F64, [0.0, 0.0], [1.7e308, 1.7e308]))
@example(case=(F64, [0.0, 0.0, 0.0], [1.7e308, 1.7e308, INF]))
@example(case=(F64, [0.0, 0.0, 0.0], [INF, -INF, 1.0]))
def test_a_judgement_is_what_the_definitions_say(case: tuple[FloatFormat, list[float], list[float]]) -> None:
    fmt, row, outputs = case
    assert_by_definition(row, outputs, fmt)
    assert_row_by_definition(row, outputs, fmt)


@pytest.mark.parametrize("name", few_of(EIGHT, 1))
def test_every_output_of_a_small_format_is_judged_by_definition(name: str) -> None:
    fmt = FORMATS[name]
    outputs = fmt.to_float64(fmt.from_bits(np.arange(256, dtype=np.uint8))).tolist()
    for row in ([0.0, 0.0], [0.0, -3.0], [0.0, -5.5, -9.0], [2.0, 2.0, 2.0], [0.0, -8.0, -INF]):
        exact = truth_mpmath(np.tile(row, (len(outputs), 1)), fmt)
        for at in range(len(row)):
            rows = [[*[0.25] * at, y, *[0.25] * (len(row) - at - 1)] for y in outputs]
            verdict = judge(np.array(rows), exact)
            for place, others in enumerate(rows):
                for i in [at] if math.isfinite(others[at]) else range(len(row)):
                    assert_element_by_definition(verdict, place, i, row, others, fmt)


@each_format
@pytest.mark.parametrize("ulps", [0, 1, 2, 3, 10, 1000, 2**20, 2**31, 2**32, 2**33, 2**44, 2**53])
def test_known_distances_are_measured(fmt: FloatFormat, ulps: int) -> None:
    row = [0.0, -1.0, -3.25, -8.0]
    nearest = truth_mpmath(np.array([row]), fmt).nearest[0]
    codes = fmt.to_bits(fmt.from_float64(nearest)).astype(np.int64) + ulps
    outputs = fmt.to_float64(fmt.from_bits(np.minimum(codes, fmt.largest_ordinal))).tolist()
    assert_by_definition(row, outputs, fmt)


def test_the_figure_is_right_even_where_subtraction_rounds_and_the_residual_is_off() -> None:
    """y - RN(r) is a tie of 2^51 ulps, and the residual as far off as its tolerance allows."""
    residual = np.array([[0.25]])
    claimed = Truth(F64, np.array([[0.5]]), residual, np.array([RowKind.FINITE], dtype=np.uint8))
    r = Fraction(1, 2) + (Fraction(1, 4) + Fraction(RESIDUAL_TOLERANCE)) / 2**53
    y = 0.25 - 2.0**-55
    assert_error(judge(np.array([[y]]), claimed).ulp[0, 0], y, r, F64, "2^51 ulps")


# Edges ----------------------------------------------------------------------------------------------------


def test_the_binade_below_one_is_measured_in_its_own_ulp() -> None:
    verdict = judged(
        [0.0, -200.0], [1 - 2.0**-53, float(truth_mpmath(np.array([[0.0, -200.0]]), F64).nearest[0, 1])]
    )
    assert abs(verdict.ulp[0, 0] - 1) < 1e-6, "r < 1, so an ulp is 2^-53 and the error just below one"
    assert verdict.faithful[0].all()
    assert verdict.correct[0].tolist() == [False, True]


def test_above_one_is_not_faithful_though_less_than_an_ulp_away() -> None:
    verdict = judged([0.0, -60.0], [1 + 2.0**-52, 0.0])
    assert verdict.ulp[0, 0] == pytest.approx(2, abs=1e-6)
    assert verdict.classes[0, 0] == ElementClass.OUT_OF_RANGE
    assert not verdict.faithful[0, 0]


def test_exactly_half_the_smallest_subnormal_is_not_decided_by_the_figure() -> None:
    fmt = FORMATS["float8_e4m3fn"]
    eta = float(fmt.smallest_subnormal)
    verdict = judged([0.0] * 1024, [0.0, eta] * 512, fmt)
    assert set(verdict.ulp[0]) == {0.5}
    assert verdict.correct[0, :2].tolist() == [True, False]
    assert verdict.faithful[0].all()
    assert verdict.classes[0, :2].tolist() == [ElementClass.UNAVOIDABLE_ZERO, ElementClass.SPURIOUS_NONZERO]
    assert verdict.nearest_sum[0] == 0
    assert verdict.failure[0] == RowFailure.NONE, "no sum to hold it against"


def test_lost_and_flushed_zeros_keep_their_full_error() -> None:
    verdict = judged([0.0, -700.0, -740.0, -800.0], [1.0, 0.0, 0.0, 0.0])
    lost, flushed, unavoidable = verdict.classes[0, 1:].tolist()
    assert (lost, flushed, unavoidable) == (
        ElementClass.LOST,
        ElementClass.FLUSHED,
        ElementClass.UNAVOIDABLE_ZERO,
    )
    assert 2**52 <= verdict.ulp[0, 1] < 2**53
    assert 1 < verdict.ulp[0, 2] < 2**52
    assert 0 < verdict.ulp[0, 3] < 0.5


def test_an_error_beyond_float64_is_infinite() -> None:
    verdict = judged([0.0, -700.0], [1.0, 1.7e308])
    assert verdict.ulp[0, 1] == INF
    assert verdict.failure[0] == RowFailure.INFLATED


@pytest.mark.parametrize(
    ("outputs", "failure"),
    [
        ([0.25, 0.25], RowFailure.NONE),
        ([0.25, np.nextafter(0.25, 0)], RowFailure.COLLAPSED),
        ([1.0, 1.0], RowFailure.NONE),
        ([1.0, np.nextafter(1, 2)], RowFailure.INFLATED),
        ([0.5, 5e-324], RowFailure.NONE),
        ([0.5, -5e-324], RowFailure.COLLAPSED),
        ([2.0, 5e-324], RowFailure.INFLATED),
        ([2.0, -5e-324], RowFailure.NONE),
        ([0.0, 0.0], RowFailure.COLLAPSED),
        ([INF, 0.0], RowFailure.NONFINITE),
        ([NAN, NAN], RowFailure.NONFINITE),
    ],
)
def test_a_row_fails_exactly_outside_a_half_and_two(outputs: list[float], failure: RowFailure) -> None:
    """Sums that round to the limit are told from it by a single 2^-1074."""
    assert judged([3.0, 3.0], outputs).failure[0] == failure


def test_masked_entries_are_in_classes_of_their_own() -> None:
    verdict = judged([0.0, -INF, -INF, -INF, -INF], [1.0, 0.0, -0.0, 5e-324, NAN])
    expected = ["NORMAL", "MASKED_ZERO", "MASKED_ZERO", "MASK_LEAK", "NONFINITE"]
    assert [ElementClass(c).name for c in verdict.classes[0]] == expected
    assert verdict.negative_zero[0].tolist() == [False, False, True, False, False]
    assert verdict.correct[0].tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("row", [[NAN, 0.0], [INF, 0.0], [-INF, -INF]])
def test_policy_rows_are_recorded_and_never_called_wrong(row: list[float]) -> None:
    verdict = judged(row, [NAN, 0.25])
    assert np.isnan(verdict.ulp).all()
    assert np.isnan([verdict.nearest_sum, verdict.row_sum_error]).all()
    assert set(verdict.classes[0]) == {ElementClass.POLICY}
    assert verdict.failure[0] == RowFailure.POLICY
    assert not verdict.correct.any()
    assert not verdict.faithful.any()


@each_format
def test_ulp_of_a_truth_is_the_ulp_of_r(fmt: FloatFormat) -> None:
    rows = np.array([[0.0, -v, -v / 2] for v in (1e-3, 0.5, 3.0, 7.0, 15.0, 100.0, 710.0, 1e300)])
    ulps = ulp_of(truth_mpmath(rows, fmt))
    for row, measured in zip(rows.tolist()[:-1], ulps.tolist(), strict=False):
        assert measured == [float(fmt.ulp(r)) for r in exact_rows(row)], row
    assert ulps[-1, 0] == float(fmt.ulp(Fraction(1) / 2)), "r lies below 1, however little"


def test_outputs_of_the_format_and_their_values_are_judged_alike() -> None:
    for fmt in FORMATS.values():
        claimed = truth_mpmath(np.array([[0.0, -1.0, -30.0]]), fmt)
        y = fmt.from_float64([[0.7, 0.3, 0.0]])
        assert (judge(y, claimed).ulp == judge(fmt.to_float64(y), claimed).ulp).all()


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"y of shape \(1, 3\): the truth has shape \(1, 2\)"):
        judged([0.0, 1.0], [0.0, 0.0, 1.0])


# The public functions ------------------------------------------------------------------------------------


@each_format
def test_the_correctly_rounded_softmax_errs_by_half_an_ulp_at_most(fmt: FloatFormat) -> None:
    x = fmt.from_float64(np.random.default_rng(3).normal(0, 3, (2, 5, 7)))
    y = reference.correctly_rounded(x, method="mpmath")
    assert y.dtype == fmt.dtype
    assert y.shape == x.shape
    errors = reference.ulp_errors(x, y, method="mpmath")
    assert errors.shape == x.shape
    assert (errors <= 0.5).all()
    assert (errors > 0).any()


def test_inputs_and_outputs_may_differ_in_format() -> None:
    x = np.array([1.0, 2.0, 3.5], dtype=ml_dtypes.bfloat16)
    y = reference.correctly_rounded(x, "float32", method="mpmath")
    assert y.dtype == np.float32
    assert (reference.ulp_errors(x, y, method="mpmath") <= 0.5).all()
    in_bfloat16 = reference.correctly_rounded(x, method="mpmath")
    as_float32 = reference.ulp_errors(x, in_bfloat16.astype(np.float32), method="mpmath")
    assert (reference.ulp_errors(x, in_bfloat16, method="mpmath") <= 0.5).all()
    assert (as_float32 > 100).all(), "the same values err by many of float32's ulps"


def test_strided_and_read_only_arrays_are_read_as_they_are() -> None:
    base = np.random.default_rng(4).normal(0, 3, (6, 8)).astype(np.float32)
    x = base[::2, ::-2]
    x.flags.writeable = False
    y = reference.correctly_rounded(x, method="mpmath")
    assert (y == reference.correctly_rounded(np.ascontiguousarray(x), method="mpmath")).all()
    y.flags.writeable = False
    transposed = reference.ulp_errors(x, np.asfortranarray(y), method="mpmath")
    assert (transposed == reference.ulp_errors(x.copy(), y, method="mpmath")).all()


def test_rows_without_an_exact_result_and_nonfinite_outputs_have_no_error() -> None:
    x = np.array([[NAN, 0], [INF, 0], [-INF, -INF], [0, -INF], [0, 0]])
    y = np.array([[0.5, 0.5]] * 3 + [[1, 0], [NAN, INF]])
    errors = reference.ulp_errors(x, y, method="mpmath")
    assert np.isnan(errors[[0, 1, 2, 4]]).all()
    assert (errors[3] == 0).all()
    assert np.isnan(reference.correctly_rounded(x, method="mpmath")[:3]).all()


def test_every_format_can_say_that_a_row_has_no_result() -> None:
    for fmt in FORMATS.values():
        assert np.isnan(fmt.to_float64(reference.correctly_rounded([NAN, 0.0], fmt, method="mpmath"))).all()


X = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X, "y": X[:, :2]}, r"y of shape \(2, 2\): x has shape \(2, 3\)"),
        ({"x": X[:, :0], "y": X[:, :0]}, "rows of length 0"),
        ({"x": 0.0, "y": 0.0}, "needs a last axis"),
        ({"x": X, "y": X, "format": "float17"}, "'float17': it is one of float16"),
        ({"x": X, "y": X.astype(int)}, "dtype int64: it is one of float16"),
        ({"x": X, "y": X.astype("U1")}, "dtype <U1: it is one of float16"),
        ({"x": X.astype(complex), "y": X}, "dtype complex128: it is one of float16"),
        ({"x": X, "y": X, "method": "exact"}, "'exact': it is one of certified, mpmath"),
        ({"x": X, "y": X + 0.1, "format": "float16"}, r"0\.1 \(0x1.999999999999ap-4\): no value of float16"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        reference.ulp_errors(**{"method": "mpmath"} | arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_method_is_refused_by_all() -> None:
    with pytest.raises(ValueError, match="'exact': it is one of certified, mpmath"):
        reference.correctly_rounded(X, method="exact")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'exact': it is one of certified, mpmath"):
        truth(X, F64, "exact")  # type: ignore[arg-type]


def test_importing_the_reference_loads_no_heavy_part() -> None:
    heavy = ("ml_dtypes", "mpmath", "numba", "pandas")
    probe = f"import sys, reference; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stdout
