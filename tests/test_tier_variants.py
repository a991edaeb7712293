"""Which honest ways of writing a softmax keep which tier, and which nearly right ones are refused.

Every candidate sees rows of every regime at lengths from 1 on; the ratio is that of its worst element.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reference.certified import truth_certified
from reference.errors import ulp_of
from reference.formats import FORMATS
from reference.model import Truth
from reference.row_kinds import RowKind
from reference.tiers import TIERS
from strategies.regimes import REGIMES
from tests.longer import few_of
from tests.machines import rows_past_a_power_of_two
from tests.variants import BROKEN, FAST, STANDARD, by_a_poor_logarithm

Floats = NDArray[np.float64]
Softmax = Callable[[NDArray[Any]], NDArray[Any]]
LENGTHS = (1, 2, 3, 9, 33, 260)
WIDE = ("float32", "float64")


@cache
def rows(name: str, n: int) -> tuple[NDArray[Any], Floats, Truth]:
    """Finite and masked rows of every regime, and their truth."""
    fmt = FORMATS[name]
    x = np.concatenate([r.rows(fmt, 6, n, 11, 0) for r in REGIMES.values() if r.supports(fmt, n)])
    x = x[truth_certified(fmt.to_float64(x), fmt).kinds < RowKind.NAN]
    values = fmt.to_float64(x)
    return x, values, truth_certified(values, fmt)


@cache
def bounds(tier: str, name: str, n: int) -> Floats:
    _, values, truth = rows(name, n)
    return TIERS[tier].bounds(values, truth, FORMATS[name])


def worst(softmax: Softmax, tier: str, name: str, lengths: tuple[int, ...] = LENGTHS) -> float:
    """The worst error over its bound."""
    found = 0.0
    for n in lengths:
        x, _, truth = rows(name, n)
        with np.errstate(all="ignore"):
            y = FORMATS[name].to_float64(softmax(x))
            errors = np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual)
            ratios = np.where(np.isfinite(y), errors, np.inf) / bounds(tier, name, n)
        found = max(found, float(ratios[~np.isnan(bounds(tier, name, n))].max(initial=0.0)))
    return found


@pytest.mark.parametrize("fmt", WIDE)
@pytest.mark.parametrize("name", STANDARD)
def test_what_standard_takes(name: str, fmt: str) -> None:
    assert worst(STANDARD[name], "standard", fmt) <= 1


@pytest.mark.parametrize("fmt", WIDE)
@pytest.mark.parametrize("name", FAST)
def test_what_fast_takes(name: str, fmt: str) -> None:
    assert worst(FAST[name], "fast", fmt) <= 1


@pytest.mark.parametrize("name", ["exp2", "exp(t - log s)", "split rows by exp2"])
def test_what_fast_alone_takes(name: str) -> None:
    assert worst(FAST[name], "standard", "float32") > 1


@pytest.mark.parametrize(
    ("name", "tier", "fmt"),
    [(name, tier, fmt) for name, (_, tiers) in BROKEN.items() for tier in tiers for fmt in WIDE],
)
def test_what_is_nearly_right_is_refused(name: str, tier: str, fmt: str) -> None:
    if (name, fmt) == ("a low reciprocal", "float64"):
        pytest.skip("3.5e-7 is a defect of binary32's size")
    assert worst(BROKEN[name][0], tier, fmt, (2, 3, 33)) > 1


@pytest.mark.parametrize("n", few_of([2047, 4096, 70_001], 1))
def test_four_lanes_of_binary32_and_two_of_binary64_keep_standard_in_long_rows(n: int) -> None:
    """What PyTorch does where a register has 128 bits; equal entries lose most."""
    from tests.variants import in_lanes, numpys, shifted

    for name, lanes in (("float32", 4), ("float64", 2)):
        fmt = FORMATS[name]
        rng = np.random.default_rng(n)
        x = np.concatenate([np.full((1, n), 0.1), np.sort(rng.random((2, n))), rng.normal(size=(2, n))])
        x = fmt.from_float64(x)
        values = fmt.to_float64(x)
        truth = truth_certified(values, fmt)
        allowed = TIERS["standard"].bounds(values, truth, fmt)
        for total in (in_lanes(lanes), numpys):
            y = fmt.to_float64(shifted(np.exp, total)(x))
            errors = np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual)
            assert (errors <= allowed).all(), (errors / allowed).max()


@pytest.mark.parametrize("name", WIDE)
def test_a_difference_that_is_rounded_twice_keeps_fast_and_nearly_reaches_it(name: str) -> None:
    """exp(t - log s) where t lies just past a power of two: why fast passes a truncated difference."""
    fmt = FORMATS[name]
    x = rows_past_a_power_of_two(fmt, np.random.default_rng(0), 20_000)
    truth = truth_certified(x, fmt)
    y = fmt.to_float64(FAST["exp(t - log s)"](fmt.from_float64(x)))
    ratios = np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual) / TIERS["fast"].bounds(
        x, truth, fmt
    )
    assert 0.8 < ratios.max() <= 1


def rows_for_a_poor_logarithm(name: str, n: int) -> NDArray[Any]:
    """Ties, halves and less of the greatest, all just above powers of two, and differences of every size."""
    rng = np.random.default_rng(n)
    steps = -np.log(2) * rng.integers(0, 5, (400, n)) + rng.random((400, n)) * 1e-5
    spread = -rng.random((400, n)) * 10 ** rng.uniform(-6, 2.8, (400, 1))
    x = np.concatenate([np.zeros((1, n)), steps, spread])
    x[:, 0] = x.max(axis=1)
    return np.maximum(FORMATS[name].from_float64(x), FORMATS[name].from_float64(np.float64([-80]))[0])


def worst_with_a_logarithm_of(ulps: float, name: str, x: NDArray[Any]) -> float:
    """The worst share of fast's bound that exp(t - log s) takes, its exps off by 3 ULP both ways."""
    fmt = FORMATS[name]
    values = fmt.to_float64(x)
    truth = truth_certified(values, fmt)
    allowed = TIERS["fast"].bounds(values, truth, fmt)
    outputs = [fmt.to_float64(by_a_poor_logarithm(3, ulps, sign)(x)) for sign in (-1, 1)]
    errors = [np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual) for y in outputs]
    return max(float((each / allowed).max()) for each in errors)


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("n", [2, 3, 4, 8, 32])
def test_exp_of_a_difference_of_logarithms_keeps_fast_by_a_logarithm_of_1_ulp_and_no_poorer(
    n: int, name: str
) -> None:
    """The last exponential is none of those that are summed, and the logarithm's error counts besides."""
    x = rows_for_a_poor_logarithm(name, n)
    assert worst_with_a_logarithm_of(1, name, x) <= 1
    if n in (3, 4, 8):
        assert worst_with_a_logarithm_of(4, name, x) > 1


@pytest.mark.parametrize("name", WIDE)
def test_a_difference_that_is_rounded_twice_keeps_fast_by_exps_of_3_ulp(name: str) -> None:
    x = rows_past_a_power_of_two(FORMATS[name], np.random.default_rng(0), 20_000)
    assert 0.8 < worst_with_a_logarithm_of(1, name, FORMATS[name].from_float64(x)) <= 1


def test_a_truncated_difference_is_refused_in_float16() -> None:
    """Differences of 8 to 9.7, where half an ulp of the difference is 8 u and the maximum is next to 1."""
    fmt, n = FORMATS["float16"], 2
    rng = np.random.default_rng(0)
    x = fmt.from_float64(np.stack([rng.random(4000), -8 - 1.5 * rng.random(4000)], axis=1))
    values = fmt.to_float64(x)
    truth = truth_certified(values, fmt)
    allowed = TIERS["standard"].bounds(values, truth, fmt)
    exact = values - values.max(axis=1, keepdims=True)
    t = fmt.from_float64(exact)
    over = np.abs(fmt.to_float64(t)) > np.abs(exact)
    cut = np.where(over, np.nextafter(t, np.float16(0)), t).astype(np.float16)
    worst_of = {}
    for name, argument in (("rounded", t), ("truncated", cut)):
        e = np.exp(argument)
        y = fmt.to_float64(e / e.sum(axis=1, keepdims=True))
        worst_of[name] = (np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual) / allowed).max()
    assert x.shape[1] == n
    assert worst_of["rounded"] <= 1 < worst_of["truncated"], worst_of
