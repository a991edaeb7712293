"""The tiers: what the libraries reach, what the tiers refuse, and what they excuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import scipy.special
from numpy.typing import NDArray

from reference.bounds import element_bounds
from reference.bounds.summation import height, sum_growth
from reference.certified import truth_certified
from reference.declaration import Algorithm
from reference.errors import ulp_of
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.oracle import truth_mpmath
from reference.row_kinds import RowKind
from reference.tiers import FAITHFUL, FAST, ROUNDED, STANDARD, TIERS, WIDE, Tier
from strategies.regimes import REGIMES
from tests.longer import few_of
from tests.machines import (
    by_the_logarithm,
    cuts,
    near,
    pushes,
    rows_past_a_power_of_two,
    rows_rounding_one_way,
    run,
)
from tests.more_formats import EIGHT

Floats = NDArray[np.float64]
IEEE = ("float16", "float32", "float64")


def max_shifted(x: NDArray) -> NDArray:
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def scipy_softmax(x: NDArray) -> NDArray:
    with np.errstate(all="ignore"):
        return scipy.special.softmax(x, axis=-1)


def ratios(y: Floats, truth: Truth, bounds: Floats) -> Floats:
    """Errors over bounds; 0 where there is no bound, infinite where the output is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual)
        return np.where(np.isnan(bounds), 0.0, np.where(np.isfinite(y), errors, np.inf) / bounds)


def drawn(fmt: FloatFormat, n: int, rows: int = 6) -> NDArray:
    """A few rows of every regime that has any of this length."""
    found = [r.rows(fmt, rows, n, 5, 0) for r in REGIMES.values() if r.supports(fmt, n)]
    return np.concatenate(found)


@cache
def drawn_with_truth(fmt: FloatFormat, n: int) -> tuple[NDArray, Truth]:
    x = drawn(fmt, n)
    return x, truth_mpmath(fmt.to_float64(x), fmt)


@pytest.mark.parametrize("softmax", [max_shifted, scipy_softmax])
@pytest.mark.parametrize("name", IEEE)
def test_numpy_and_scipy_meet_standard_in_every_regime(name: str, softmax) -> None:
    fmt, highest = FORMATS[name], 0.0
    for n in (2, 5, 33, 260):
        x, truth = drawn_with_truth(fmt, n)
        values = fmt.to_float64(x)
        found = ratios(fmt.to_float64(softmax(x)), truth, STANDARD.bounds(values, truth, fmt))
        row, i = np.unravel_index(np.argmax(found), found.shape)
        assert found[row, i] <= 1, (found[row, i], i, [v.hex() for v in values[row].tolist()])
        highest = max(highest, found[row, i])
    assert highest > 0.4, f"the bound is {1 / highest} times what {softmax.__name__} does at worst"


@pytest.mark.parametrize(
    ("name", "tier"),
    few_of(product(["float16", "bfloat16", "float32", *EIGHT], [STANDARD, FAST]), 5),
    ids=lambda case: case if isinstance(case, str) else case.name,
)
def test_standard_and_fast_are_reached_by_what_they_allow(name: str, tier: Tier) -> None:
    """By rows of all regimes, by such as round every argument of `fast` one way, and by the worst nearby."""
    fmt, rng = FORMATS[name], np.random.default_rng(0)
    families = [rows_past_a_power_of_two(fmt, rng, 4000), rows_rounding_one_way(fmt, rng, 8000)]
    x = np.concatenate([fmt.to_float64(drawn(fmt, 3, rows=60)), *families])
    for _ in range(3):
        found = greatest_ratios(tier, fmt, x)
        assert found.max() <= 1
        x = near(fmt, x[np.argsort(-found)[:400]], rng, 15)
    assert 0.7 < greatest_ratios(tier, fmt, x).max() <= 1


def greatest_ratios(tier: Tier, fmt: FloatFormat, x: Floats) -> Floats:
    """How much of a bound each row reaches at worst where the tier's algorithm is pushed to it."""
    truth = truth_certified(x, fmt)
    algorithm = replace(tier.algorithm_for(fmt, 3), summation="sequential", accumulator_precision=None)
    bounds = tier.bounds(x, truth, fmt)
    outputs = (y for push in pushes(x, np.random.default_rng(0), 2) for y in allowed(algorithm, fmt, x, push))
    judged = truth.kinds < RowKind.NAN
    return np.max([np.where(judged, ratios(y, truth, bounds).max(axis=1), 0.0) for y in outputs], axis=0)


def allowed(algorithm: Algorithm, fmt: FloatFormat, x: Floats, push: Floats) -> Iterator[Floats]:
    """Outputs of the algorithm; of `fast` also exp(t - log s) with a rounded exp.

    It rounds the difference twice, so it errs upward in bfloat16, where exp2 cannot: there log2 e is 0.46 u
    too great, which lowers every exponential.
    """
    for first in cuts(algorithm):
        yield run(algorithm, fmt, x, push, first)
    if algorithm.exp2:
        yield by_the_logarithm(replace(algorithm, exp_ulps=0.5), fmt, x, push)


def test_fast_allows_whatever_standard_does() -> None:
    for fmt in FORMATS.values():
        for n in (2, 33, 260):
            x = fmt.to_float64(drawn(fmt, n, rows=2))
            truth = truth_certified(x, fmt)
            standard, fast = (tier.bounds(x, truth, fmt) for tier in (STANDARD, FAST))
            assert (np.isnan(fast) | (fast >= standard)).all(), fmt


@pytest.mark.parametrize("n", [2, 30, 100, 257, 300, 5000, 10**6])
def test_fast_takes_the_loosest_sum_that_it_allows(n: int) -> None:
    for name, accumulator in (("float16", 24), ("bfloat16", 24), ("float32", 24), ("float64", 53)):
        fmt = FORMATS[name]
        chosen = FAST.algorithm_for(fmt, n)
        growth = sum_growth(chosen, n, fmt.precision)
        assert growth is not None
        one_by_one = replace(chosen, summation="sequential", accumulator_precision=accumulator)
        pairwise = replace(chosen, summation="pairwise", accumulator_precision=None)
        own = replace(one_by_one, accumulator_precision=None)
        allowed = [one_by_one, pairwise] + ([own] if (n - 1) * 2.0**-fmt.precision <= 1 / 8 else [])
        assert growth[0] == max(sum_growth(a, n, fmt.precision)[0] for a in allowed)  # type: ignore[index]


def test_eight_bits_op_by_op_are_not_certified() -> None:
    """All pairs of a lattice: every step rounded to 8 bits leaves the tier, one final rounding keeps it."""
    for name in EIGHT:
        fmt = FORMATS[name]
        x = fmt.to_float64(fmt.from_float64(np.array([(0.0, -d / 8) for d in range(40)])))
        truth = truth_mpmath(x, fmt)
        bounds = STANDARD.bounds(x, truth, fmt)
        by_step = fmt.to_float64(max_shifted(fmt.from_float64(x)))
        once = fmt.to_float64(fmt.from_float64(max_shifted(x.astype(np.float32))))
        assert ratios(by_step, truth, bounds).max() > 1
        assert ratios(once, truth, bounds).max() <= 1


def test_overflow_of_a_long_float16_row_is_excused() -> None:
    fmt = FORMATS["float16"]
    for n, excused in ((60_000, False), (65_600, True)):
        x = np.zeros((1, n))
        bounds = STANDARD.bounds(x, truth_mpmath(x, fmt), fmt)
        assert np.isnan(bounds).all() == excused, n


def test_standard_is_the_algorithm_that_it_is_written_down_as() -> None:
    algorithm = STANDARD.algorithm_for(FORMATS["float32"], 100)
    assert (algorithm.argument, algorithm.exp_ulps, algorithm.arithmetic) == ("shifted", 3.0, None)
    for name, n, summed in (
        ("float32", 100, 25 + 8),
        ("float32", 70_001, 17_501 + 8),
        ("float64", 70_001, 35_001 + 4),
        ("float16", 70_001, 17 + 24),
        ("bfloat16", 70_001, 17 + 24),
    ):
        assert height(STANDARD.algorithm_for(FORMATS[name], n), n) == summed, (name, n)
    assert STANDARD.algorithm_for(FORMATS["float8_e5m2"]).arithmetic == "float32"


def test_rounded_and_faithful_have_no_bound() -> None:
    for tier in (ROUNDED, FAITHFUL):
        assert tier.every is not None
        with pytest.raises(ValueError, match=f"tier {tier.name}: .* has no bound"):
            tier.algorithm_for(FORMATS["float32"])
    assert list(TIERS) == ["rounded", "faithful", "wide", "standard", "fast"]


def test_a_narrower_input_is_computed_in_the_output_format() -> None:
    fmt, out = FORMATS["bfloat16"], FORMATS["float32"]
    x = fmt.to_float64(drawn(fmt, 5, rows=2))
    truth = truth_mpmath(x, out)
    own = element_bounds(x, truth, replace(STANDARD.algorithm_for(out, 5), arithmetic="float32"), fmt)
    np.testing.assert_array_equal(STANDARD.bounds(x, truth, fmt), own)


# wide ----------------------------------------------------------------------------------------


def test_wide_is_standard_in_binary32_and_one_rounding() -> None:
    for name in ("float16", "bfloat16"):
        fmt = FORMATS[name]
        x = fmt.to_float64(drawn(fmt, 5, rows=2))
        truth = truth_mpmath(x, fmt)
        inside = replace(STANDARD.algorithm_for(FORMATS["float32"], 5), arithmetic="float32")
        np.testing.assert_array_equal(WIDE.bounds(x, truth, fmt), element_bounds(x, truth, inside, fmt))
        standard = STANDARD.bounds(x, truth, fmt)
        counted = ~np.isnan(standard) & (x > -np.inf)
        assert (WIDE.bounds(x, truth, fmt)[counted] <= standard[counted]).all()


def test_wide_is_what_standard_asks_of_8_bits() -> None:
    fmt = FORMATS["float8_e5m2"]
    x = fmt.to_float64(drawn(fmt, 5, rows=2))
    truth = truth_mpmath(x, fmt)
    np.testing.assert_array_equal(WIDE.bounds(x, truth, fmt), STANDARD.bounds(x, truth, fmt))


def test_wide_speaks_of_no_more_than_16_bits() -> None:
    assert [name for name, fmt in FORMATS.items() if not WIDE.takes(fmt)] == ["float32", "float64"]
    with pytest.raises(ValueError, match=r"tier wide: float32 has 32 bits.* take standard"):
        WIDE.algorithm_for(FORMATS["float32"])


def in_binary32(x: NDArray) -> NDArray:
    return max_shifted(x.astype(np.float32))


def truncated(y: NDArray) -> NDArray:
    return (y.view(np.uint32) >> 16).astype(np.uint16).view(FORMATS["bfloat16"].dtype)


def off_by_two_percent(x: NDArray) -> NDArray:
    """An exp with an error that goes up and down."""
    with np.errstate(all="ignore"):
        t = x.astype(np.float32) - x.astype(np.float32).max(axis=-1, keepdims=True)
        e = np.exp(t) * (1 + np.float32(0.02) * np.sin(np.where(np.isfinite(t), t, 0)))
        return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("softmax", "n", "kept"),
    [
        (in_binary32, 33, True),
        (lambda x: truncated(in_binary32(x)), 2, False),
        (off_by_two_percent, 2, False),
        (lambda x: in_binary32(x) * np.float32(0.95), 2, False),
        (lambda x: in_binary32(x) * np.float32(299 / 300), 300, False),
    ],
    ids=["binary32 inside", "a truncating store", "an exp off by 2 %", "5 % low", "(n - 1) / n"],
)
def test_in_bfloat16_wide_takes_one_rounding_of_binary32_and_nothing_coarser(softmax, n, kept) -> None:
    fmt = FORMATS["bfloat16"]
    x = drawn(fmt, n, rows=4)
    values = fmt.to_float64(x)
    truth = truth_mpmath(values, fmt)
    found = ratios(fmt.to_float64(softmax(x).astype(x.dtype)), truth, WIDE.bounds(values, truth, fmt))[
        truth.kinds < RowKind.NAN
    ]
    assert (found.max() <= 1) == kept, found.max()
