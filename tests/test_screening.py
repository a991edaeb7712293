"""No row is ruled out that has the greatest ratio of error to bound.

Evidence: the bounds themselves, on hard rows of every format, pairs of an 8-bit one, and long rows; an
error is put at each entry alone that is just above a ratio.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from harness.measurement import Judged, Rows
from harness.measurement.kernels.greatest import first_greatest
from reference.bounds import element_bounds
from reference.bounds.compiled import constants_of, fill_bounds
from reference.bounds.screening import may_exceed, may_exceed_closely
from reference.bounds.setting import Setting, setting_of
from reference.declaration import Declaration
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.tiers import STANDARD
from strategies.regimes import REGIMES
from tests.pair_truths import truth_of_pairs
from tests.test_bounds import ALGORITHMS, TWO_PASS, Floats, algorithm_in, hard_rows, numbers, setting_in

ABOVE = 1 + 2.0**-30


def assert_found(setting: Setting | None, x: Floats, truth: Truth) -> None:
    """An error alone in its row, just above a ratio of its bound, is never ruled out."""
    if setting is None or (constants := constants_of(setting, x.shape[1])) is None:
        return
    bounds = np.empty_like(x)
    fill_bounds(x, truth, setting, bounds)
    rows = np.flatnonzero(~np.isnan(bounds).any(axis=1))
    for row, ratio in product(rows.tolist(), (0.02, 1.0)):
        for j in range(x.shape[1]):
            errors = np.zeros((1, x.shape[1]))
            errors[0, j] = bounds[row, j] * ratio * ABOVE
            nearest, residual = truth.nearest[row : row + 1], truth.residual[row : row + 1]
            for test in (may_exceed, may_exceed_closely):
                found = test(x[row : row + 1], nearest, residual, errors, 0, ratio, constants)
                assert found, (test, setting, [v.hex() for v in x[row].tolist()], j, bounds[row, j].hex())


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_error_above_the_ratio_is_found_on_hard_rows(format_name: str) -> None:
    for name, n in product(TWO_PASS, (1, 2, 3, 9)):
        assert_found(setting_in(name, FORMATS[format_name]), *hard_rows(format_name, n, 4 if n == 9 else 8))


@pytest.mark.parametrize("name", ["shifted", "one reciprocal", "split exp2", "plain", "upcast"])
def test_an_error_above_the_ratio_is_found_on_pairs(name: str) -> None:
    x = np.array(list(product(numbers("float8_e5m2"), numbers("float8_e5m2")[::5])))
    fmt = FORMATS["float8_e5m2"]
    assert_found(setting_in(name, fmt), x, truth_of_pairs(x, fmt))


def test_an_error_above_the_ratio_is_found_whatever_the_formats() -> None:
    """Output formats that are wider or narrower than the arithmetic, and accumulators of few bits."""
    rng = np.random.default_rng(0)
    names = ("float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")
    for fmt, out, inner in product(*[[FORMATS[name] for name in names]] * 3):
        algorithm = replace(
            ALGORITHMS[str(rng.choice(TWO_PASS))],
            arithmetic=inner.name,
            accumulator_precision=int(rng.choice([3, 8, 24])),
        )
        x = fmt.to_float64(
            fmt.from_float64(rng.choice([1.0, 9.0]) * rng.normal(size=(4, int(rng.choice([2, 9])))))
        )
        if (setting := setting_of(algorithm, fmt, out)) is not None:
            assert_found(setting, x, Rows.of(fmt, fmt.from_float64(x), out).truth)


def test_rows_of_many_equal_entries_are_held_by_what_their_sum_may_lose() -> None:
    """Sums that may lose nearly all, where what the greatest result leaves counts instead."""
    for format_name, n in product(("float8_e4m3fn", "bfloat16", "float16"), (64, 300, 5000)):
        fmt = FORMATS[format_name]
        rng = np.random.default_rng(n)
        x = np.concatenate([np.zeros((1, n)), rng.normal(size=(2, n)), 8 * rng.normal(size=(2, n))])
        x = fmt.to_float64(fmt.from_float64(x))
        rows = Rows.of(fmt, fmt.from_float64(x), fmt)
        for name in ("shifted", "plain", "lanes", "one reciprocal"):
            algorithm = algorithm_in(name, fmt)
            assert algorithm is not None
            setting = setting_of(algorithm, fmt, fmt)
            assert setting is not None
            constants = constants_of(setting, n)
            assert constants is not None
            bounds = element_bounds(x, rows.truth, algorithm, fmt)
            for row in np.flatnonzero(~np.isnan(bounds).any(axis=1)).tolist():
                for j in (0, n - 1, int(np.argmax(x[row])), int(np.argmin(x[row]))):
                    errors = np.zeros_like(x)
                    errors[row, j] = bounds[row, j] * ABOVE
                    truth = rows.truth
                    for test in (may_exceed, may_exceed_closely):
                        found = test(x, truth.nearest, truth.residual, errors, row, 1.0, constants)
                        assert found, (test, name, row, j)


def test_an_exponential_that_is_exactly_one_adds_nothing_wherever_it_is() -> None:
    """Of exp(x) it is that of 0, and of exp(x + c) that of -c, also where greater entries are about."""
    for format_name, n, argument in product(
        ("float8_e4m3fn", "float8_e5m2", "bfloat16"), (2, 5, 64), ("plain", "constant", "shifted")
    ):
        fmt, rng = FORMATS[format_name], np.random.default_rng(n)
        base = ALGORITHMS["constant" if argument == "constant" else "plain"]
        algorithm = replace(base, argument=argument, exp_ulps=0.5, one_at_zero=True)
        x = fmt.to_float64(fmt.from_float64(rng.normal(size=(12, n)) - algorithm.constant))
        x[:, 0] = -algorithm.constant
        x[:6, 1] = -algorithm.constant + np.arange(6)
        assert_found(setting_of(algorithm, fmt, fmt), x, Rows.of(fmt, fmt.from_float64(x), fmt).truth)


def rows_left(x: Floats, fmt: FloatFormat) -> tuple[int, int]:
    """Return how many rows of a softmax are left by either test once their greatest ratio is known."""
    algorithm, n = ALGORITHMS["lanes"], x.shape[1]
    rows = Rows.of(fmt, fmt.from_float64(x), fmt)
    e = np.exp(rows.x - rows.x.max(axis=1, keepdims=True))
    errors = Judged(rows, e / e.sum(axis=1, keepdims=True), Declaration()).judgement.ulp
    greatest = first_greatest(errors, element_bounds(rows.values, rows.truth, algorithm, fmt))
    setting = setting_of(algorithm, fmt, fmt)
    assert setting is not None
    assert greatest is not None
    constants, truth = constants_of(setting, n), rows.truth
    assert constants is not None
    at_first, closely = (
        sum(
            test(rows.values, truth.nearest, truth.residual, errors, row, greatest[0], constants)
            for row in range(len(x))
        )
        for test in (may_exceed, may_exceed_closely)
    )
    return at_first, closely


def test_few_rows_are_left_when_the_greatest_ratio_is_known() -> None:
    assert max(rows_left(np.random.default_rng(0).normal(size=(2000, 64)), FORMATS["float32"])) < 200


def test_rows_whose_errors_are_those_of_their_differences_are_ruled_out_closely() -> None:
    at_first, closely = rows_left(5 * np.random.default_rng(0).normal(size=(2000, 8)), FORMATS["float32"])
    assert closely < 100 < 1000 < at_first


@pytest.mark.parametrize("format_name", ["float16", "float32", "float8_e5m2"])
def test_the_greatest_declared_ratio_of_very_long_rows_is_that_of_all_bounds(format_name: str) -> None:
    fmt, n = FORMATS[format_name], 70_001
    for name in ("tied", "masked", "result-underflow", "subnormal-inputs"):
        rows = Rows.of(fmt, REGIMES[name].rows(fmt, 2, n, 0, 0), fmt)
        y = fmt.from_float64(rows.truth.nearest * (1 + 2.0**-fmt.precision))
        judged = Judged(rows, y, Declaration(algorithm=ALGORITHMS["lanes"]))
        bounds = element_bounds(rows.values, rows.truth, ALGORITHMS["lanes"], fmt)
        assert judged.figures.algorithm_ratio == first_greatest(judged.judgement.ulp, bounds), name


@pytest.mark.parametrize("length", [1, 3, 8, 65, 1500])
@pytest.mark.parametrize("format_name", FORMATS)
def test_the_greatest_declared_ratio_is_that_of_all_bounds(format_name: str, length: int) -> None:
    """Value and place, the first of equals, over every regime in one batch."""
    fmt = FORMATS[format_name]
    named = [r for r in REGIMES.values() if r.supports(fmt, length)]
    x = np.concatenate([r.rows(fmt, 2, length, 0, 0) for r in named])
    rows = Rows.of(fmt, np.concatenate([x, x]), fmt)
    with np.errstate(all="ignore"):
        values = fmt.to_float64(rows.x)
        e = np.exp(values - values.max(axis=1, keepdims=True))
        y = fmt.from_float64(e / e.sum(axis=1, keepdims=True) * (1 + 2.0**-fmt.precision))
    for declared in (ALGORITHMS["shifted"], ALGORITHMS["plain reciprocal"], STANDARD.algorithm_for(fmt)):
        judged = Judged(rows, y, Declaration(algorithm=declared))
        found = judged.figures.algorithm_ratio
        bounds = element_bounds(rows.values, rows.truth, declared, fmt)
        assert found == first_greatest(judged.judgement.ulp, bounds), declared.name
