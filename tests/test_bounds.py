"""The a-priori bounds hold for whatever an algorithm may produce, and are not vacuous.

Evidence: algorithms run step by step with an exp pushed as far as its ULPs let it
(`machines`), on all pairs of both 8-bit formats and on hard rows of every format; and the same
bound evaluated a second time, as intervals in mpmath (`interval_form`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from reference.bounds import element_bounds, growth, working_format
from reference.bounds.compiled import fill_bounds
from reference.bounds.intervals import bounds_of_rows
from reference.bounds.setting import Setting, setting_of
from reference.declaration import Algorithm
from reference.errors import ulp_of
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.oracle import truth_mpmath
from tests.interval_form import IntervalForm
from tests.longer import few_of, sample
from tests.machines import cuts, pushes, run
from tests.more_formats import EIGHT
from tests.pair_truths import truth_of_pairs

Floats = NDArray[np.float64]

LN2 = 0.6931471805599453
AT_ONCE = 1 << 14

ALGORITHMS = {
    a.name: a
    for a in (
        Algorithm("shifted", "shifted", 3.0, "sequential"),
        Algorithm("rounded exp", "shifted", 0.55, "pairwise"),
        Algorithm("one at zero", "shifted", 3.0, "sequential", one_at_zero=True),
        Algorithm("one reciprocal", "shifted", 1.0, "pairwise", division="reciprocal", one_at_zero=True),
        Algorithm("split", "shifted", 1.0, "sequential", one_at_zero=True, rescaled=True),
        Algorithm(
            *("split exp2", "shifted", 1.0, "pairwise", None, "reciprocal"),
            exp2=True,
            one_at_zero=True,
            rescaled=True,
        ),
        Algorithm("reciprocal", "shifted", 1.0, "sequential", division="reciprocal"),
        Algorithm("exp2", "shifted", 1.0, "sequential", exp2=True),
        Algorithm("accumulated", "shifted", 1.0, "sequential", accumulator_precision=24),
        Algorithm("lanes", "shifted", 1.0, "lanes"),
        Algorithm("compensated", "shifted", 1.0, "compensated"),
        Algorithm("upcast", "shifted", 1.0, "sequential", arithmetic="float32"),
        Algorithm("lse", "shifted", 1.0, "sequential", division="none"),
        Algorithm("plain", "plain", 1.0, "sequential"),
        Algorithm("plain reciprocal", "plain", 1.0, "sequential", division="reciprocal"),
        Algorithm("plain exp2", "plain", 1.0, "sequential", exp2=True),
        Algorithm("plain lse", "plain", 1.0, "sequential", division="none"),
        Algorithm("constant", "constant", 1.0, "sequential", constant=-3.0),
        Algorithm("online", "running", 1.0, "sequential"),
        Algorithm("online one", "running", 1.0, "sequential", one_at_zero=True),
        Algorithm("online exp2", "running", 1.0, "sequential", exp2=True),
    )
}


def algorithm_in(name: str, fmt: FloatFormat) -> Algorithm | None:
    """The algorithm of that name in a format, None where it has no wider arithmetic to use."""
    algorithm = ALGORITHMS[name]
    if fmt.precision == 53:  # where one ULP is left to binary64's own exp, see `machines`
        algorithm = replace(algorithm, exp_ulps=algorithm.exp_ulps + 3)
    if name == "upcast" and fmt.precision >= 24:
        return None if fmt.precision == 53 else replace(algorithm, arithmetic="float64")
    return None if name == "accumulated" and fmt.precision == 53 else algorithm


TWO_PASS = [a.name for a in ALGORITHMS.values() if a.argument != "running" and a.division != "none"]


def setting_in(name: str, fmt: FloatFormat) -> Setting | None:
    algorithm = algorithm_in(name, fmt)
    return None if algorithm is None else setting_of(algorithm, fmt, fmt)


# Rows --------------------------------------------------------------------------------------


@cache
def numbers(name: str) -> Floats:
    fmt = FORMATS[name]
    values = fmt.to_float64(fmt.from_bits(np.arange(1 << fmt.storage_bits)))
    return np.unique(values[np.isfinite(values)])


@cache
def pairs(name: str, *, ordered: bool) -> tuple[Floats, Truth]:
    """All pairs of finite values, and their truth."""
    x = np.array(list(product(numbers(name), repeat=2)))
    x = x if ordered else x[x[:, 0] >= x[:, 1]]
    return x, truth_of_pairs(x, FORMATS[name])


@cache
def hard_rows(name: str, n: int, count: int = 25) -> tuple[Floats, Truth]:
    """Rows around every threshold of a format: underflow, overflow, ties, masks, offsets, all magnitudes."""
    fmt, rng = FORMATS[name], np.random.default_rng(n)
    shape, largest = (count, n), float(fmt.largest)
    depth = (1 - fmt.quantum_exponent) * LN2
    deep = -depth + 3 * rng.random(shape)
    deep[:, 0] = 0.0
    masked = np.where(rng.random(shape) < 0.3, -np.inf, 5 * rng.normal(size=shape))
    masked[:, 0] = 1.0
    signs = rng.choice([-1.0, 1.0], size=shape)
    families = [
        rng.normal(size=shape),
        20 * rng.normal(size=shape),
        -1.05 * depth * rng.random(shape),
        deep,
        np.ldexp(signs * (1 + rng.random(shape)), rng.integers(max(fmt.emin, -300), 8, size=shape)),
        rng.normal(size=shape) + min(1000.0, largest / 4),
        rng.normal(size=shape) + fmt.emax * LN2 - 2,
        rng.normal(size=shape) + fmt.emin * LN2,
        np.sort(3 * rng.normal(size=shape), axis=1),
        np.repeat(rng.normal(size=(count, 1)), n, axis=1),
        signs * rng.random(shape) * largest,
        *([masked] if fmt.has_infinity else []),
    ]
    x = np.concatenate(families)
    x = np.where(np.isinf(x), x, np.clip(x, -largest, largest))
    x = fmt.to_float64(fmt.from_float64(x))
    return x, truth_mpmath(x, fmt)


def worst_ratio(algorithm: Algorithm, fmt: FloatFormat, x: Floats, truth: Truth, extra: int = 1) -> float:
    """The worst error over its bound, over many pushes of the exp; fails where it is above 1."""
    bounds = element_bounds(x, truth, algorithm, fmt)
    bounded = ~np.isnan(bounds)
    worst = 0.0
    for push, y in outputs(algorithm, fmt, x, extra):
        require_finite(algorithm, x, y, bounded)
        with np.errstate(invalid="ignore"):
            ratios = np.where(bounded, ulp_errors(y, truth) / bounds, 0.0)
        row, i = np.unravel_index(np.argmax(ratios), ratios.shape)
        assert ratios[row, i] <= 1, describe(
            algorithm, fmt, x[row], y[row], int(i), bounds[row, i], push[row]
        )
        worst = max(worst, float(ratios[row, i]))
    return worst


def outputs(algorithm: Algorithm, fmt: FloatFormat, x: Floats, extra: int) -> Iterator[tuple[Floats, Floats]]:
    """Pushes and the outputs under them; several at once, for what an array costs to begin with."""
    every = list(pushes(x, np.random.default_rng(1), extra))
    together = max(1, AT_ONCE // len(x))
    for first, at in product(cuts(algorithm), range(0, len(every), together)):
        group = every[at : at + together]
        y = run(algorithm, fmt, np.tile(x, (len(group), 1)), np.concatenate(group), first)
        yield from zip(group, y.reshape(-1, *x.shape), strict=True)


def least_reach(algorithm: Algorithm, fmt: FloatFormat) -> float:
    """How much of the bound is used at least.

    With 3 or 4 bits the nine roundings of a split row cost an eighth or a sixteenth each, no row rounds all
    of them one way, and a pair has no entry between, from which a second difference would come.
    `test_tiers` climbs to 0.7 in all formats.
    """
    return 0.2 if algorithm.rescaled and fmt.storage_bits == 8 else 0.4


def ulp_errors(y: Floats, truth: Truth) -> Floats:
    with np.errstate(over="ignore"):
        return np.abs((y - truth.nearest) / ulp_of(truth) - truth.residual)


def require_finite(algorithm: Algorithm, x: Floats, y: Floats, bounded: NDArray[np.bool_]) -> None:
    for row in np.flatnonzero((~np.isfinite(y) & bounded).any(axis=1))[:1]:
        pytest.fail(f"{algorithm.name}: a bound where the outputs are {y[row]} for {hexadecimal(x[row])}")


def describe(
    algorithm: Algorithm, fmt: FloatFormat, row: Floats, y: Floats, i: int, bound: float, push: Floats
) -> str:
    return (
        f"{algorithm} in {fmt}: element {i} of {hexadecimal(row)} is {float(y[i]).hex()},"
        f" beyond {bound} ULP, with the exp pushed by {push.tolist()}"
    )


def hexadecimal(row: Iterable[float]) -> str:
    return "(" + ", ".join(float(v).hex() for v in row) + ")"


# Soundness and tightness -------------------------------------------------------------------


@pytest.mark.parametrize(("format_name", "name"), few_of(product(EIGHT, ALGORITHMS), 5))
def test_holds_on_every_pair_of_8_bits_and_is_reached(format_name: str, name: str) -> None:
    fmt = FORMATS[format_name]
    algorithm = algorithm_in(name, fmt)
    assert algorithm is not None
    x, truth = pairs(format_name, ordered=algorithm.argument == "running")
    assert least_reach(algorithm, fmt) < worst_ratio(algorithm, fmt, x, truth) <= 1


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("format_name", FORMATS)
def test_holds_on_hard_rows_and_is_reached(format_name: str, name: str) -> None:
    fmt = FORMATS[format_name]
    algorithm = algorithm_in(name, fmt)
    if algorithm is None:
        pytest.skip(f"{name} needs something wider than {fmt}")
    assert least_reach(algorithm, fmt) < worst_ratio(algorithm, fmt, *hard_rows(format_name, 3)) <= 1
    worst_ratio(algorithm, fmt, *hard_rows(format_name, 9, 6))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("format_name", FORMATS)
def test_holds_on_many_hard_rows(format_name: str, name: str) -> None:
    fmt = FORMATS[format_name]
    algorithm = algorithm_in(name, fmt)
    if algorithm is None:
        pytest.skip(f"{name} needs something wider than {fmt}")
    for n in (1, 2, 5, 17, 40):
        worst_ratio(algorithm, fmt, *hard_rows(format_name, n, 120), extra=4)


@pytest.mark.parametrize(
    ("format_name", "name"), few_of(product(EIGHT, ["shifted", "reciprocal", "exp2", "plain", "online"]), 4)
)
def test_holds_on_triples_of_8_bits(format_name: str, name: str) -> None:
    """A lattice of triples: every 8th value twice, against every value."""
    fmt, values = FORMATS[format_name], numbers(format_name)
    x = np.array(list(product(values[::8], values[3::8], values[::2])))
    rows = np.random.default_rng(2).permutation(len(x))[: sample(4000, 8000)]
    worst_ratio(ALGORITHMS[name], fmt, x[rows], truth_mpmath(x[rows], fmt), extra=0)


@pytest.mark.parametrize("name", ["shifted", "reciprocal", "exp2", "plain", "lse"])
def test_holds_on_a_lattice_of_float16_pairs(name: str) -> None:
    """Gaps next to every power of two and to the thresholds of exp, with and without a rounded difference."""
    fmt = FORMATS["float16"]
    gaps = np.concatenate([np.ldexp(1 + np.arange(64) / 64, e)[:, None] for e in range(-12, 5)]).ravel()
    tops = np.array([0.0, 1e-4, 0.3, 1.7, 8.0, 11.0])
    x = np.array([(top, top - gap) for top in tops for gap in gaps])
    x = fmt.to_float64(fmt.from_float64(x))
    assert worst_ratio(ALGORITHMS[name], fmt, x, truth_mpmath(x, fmt)) > 0.5


@pytest.mark.parametrize("output", ["float32", "float16", "float8_e4m3fn"])
def test_holds_where_input_arithmetic_and_output_differ(output: str) -> None:
    """bfloat16 in: binary32 inside, then whatever comes out; and bfloat16 inside, then widened."""
    fmt, out = FORMATS["bfloat16"], FORMATS[output]
    x, _ = hard_rows("bfloat16", 3)
    truth = truth_mpmath(x, out)
    for arithmetic in ("float32", "bfloat16"):
        algorithm = replace(ALGORITHMS["shifted"], arithmetic=arithmetic)
        bounds = element_bounds(x, truth, algorithm, fmt)
        for push in pushes(x, np.random.default_rng(3), 0):
            y = out.to_float64(out.from_float64(run(algorithm, FORMATS[arithmetic], x, push)))
            ratios = ulp_errors(y, truth) / bounds
            row, i = np.unravel_index(np.argmax(ratios), ratios.shape)
            assert ratios[row, i] <= 1, describe(
                algorithm, out, x[row], y[row], int(i), bounds[row, i], push[row]
            )


# A second evaluation -----------------------------------------------------------------------


EVALUATED = (
    *("shifted", "rounded exp", "reciprocal", "exp2", "upcast", "plain", "plain exp2", "constant"),
    *("one at zero", "one reciprocal", "split", "split exp2"),
    *("online", "online one", "online exp2", "lse", "plain lse"),
)


@pytest.mark.parametrize(("format_name", "name"), few_of(product(FORMATS, EVALUATED), 50))
def test_is_the_interval_form_evaluated_outward(format_name: str, name: str) -> None:
    fmt = FORMATS[format_name]
    algorithm = algorithm_in(name, fmt)
    if algorithm is None:
        pytest.skip(f"{name} needs something wider than {fmt}")
    x, truth = (part[::17] if isinstance(part, np.ndarray) else part for part in hard_rows(format_name, 3))
    truth = truth_mpmath(x, fmt)
    bounds = element_bounds(x, truth, algorithm, fmt)
    for row, bound, ulps in zip(x.tolist(), bounds, ulp_of(truth).tolist(), strict=True):
        if not np.isnan(bound).any():
            exact = IntervalForm(row, algorithm, fmt).bounds(ulps)
            most = IntervalForm(row, algorithm, fmt, hair=2.0**-38).bounds(ulps)
            assert_between(bound, exact, most, slack(algorithm, fmt), row)


def slack(algorithm: Algorithm, fmt: FloatFormat) -> float:
    """What the truth leaves open, 2^-21 ulp of each weight, and log1p's bound, whose excess is x^3 / 36.

    With 8 bits an ulp is coarse, and so is x, how far a sum may be off.
    """
    if fmt.storage_bits > 8:
        return 1e-5
    return 1e-2 if algorithm.division == "none" else 1e-3


def assert_between(
    bound: Floats, exact: list[float], most: list[float], slack: float, row: list[float]
) -> None:
    for got, least, greatest in zip(bound.tolist(), exact, most, strict=True):
        assert least <= got <= greatest * (1 + slack) + 2.0**-19, (hexadecimal(row), got, least, greatest)


@pytest.mark.parametrize("format_name", FORMATS)
def test_compiled_bounds_are_those_of_the_specification(format_name: str) -> None:
    fmt = FORMATS[format_name]
    for name, n in product(TWO_PASS, (1, 3, 9)):
        setting = setting_in(name, fmt)
        if setting is not None:
            x, truth = hard_rows(format_name, n, 6 if n == 9 else 25)
            compiled = np.empty_like(x)
            fill_bounds(x, truth, setting, compiled)
            np.testing.assert_allclose(compiled, bounds_of_rows(x, truth, setting), rtol=2.0**-36)


def test_compiled_bounds_hold_for_long_rows() -> None:
    fmt = FORMATS["float32"]
    x = fmt.to_float64(fmt.from_float64(8 * np.random.default_rng(4).normal(size=(1, 20_001))))
    truth = truth_mpmath(x, fmt)
    for name in ("shifted", "plain"):
        setting = setting_in(name, fmt)
        assert setting is not None
        compiled = np.empty_like(x)
        fill_bounds(x, truth, setting, compiled)
        np.testing.assert_allclose(compiled, bounds_of_rows(x, truth, setting), rtol=2.0**-30)


# No bound ----------------------------------------------------------------------------------


def bounds_of(
    row: list[float], algorithm: Algorithm, fmt: FloatFormat, out: FloatFormat | None = None
) -> Floats:
    x = np.array([row])
    return element_bounds(x, truth_mpmath(x, out or fmt), algorithm, fmt)


@pytest.mark.parametrize("row", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_policy_rows_have_none(row: list[float]) -> None:
    assert np.isnan(bounds_of(row, ALGORITHMS["shifted"], FORMATS["float32"])).all()


@pytest.mark.parametrize(
    ("name", "format_name", "row"),
    [
        ("plain", "float64", [800.0, 0.0]),
        ("plain", "float16", [11.0] * 8),  # each exp is finite, their sum is not
        ("plain", "float32", [-104.0, -104.0]),  # every exp may be 0
        ("plain reciprocal", "float32", [-100.0, -100.0]),  # 1 / sum may be infinite
        ("shifted", "float8_e4m3fn", [448.0, -448.0]),  # the difference is NaN
        ("compensated", "float8_e5m2", [0.0] * 11),
        ("lse", "float32", [1e10, 1e10]),
    ],
)
def test_rows_that_leave_the_range_have_none(name: str, format_name: str, row: list[float]) -> None:
    assert np.isnan(bounds_of(row, ALGORITHMS[name], FORMATS[format_name])).all()


def test_a_difference_that_overflows_to_minus_infinity_is_harmless() -> None:
    bounds = bounds_of([65504.0, -65504.0], ALGORITHMS["shifted"], FORMATS["float16"])
    assert (bounds < 20).all(), bounds


def test_underived_algorithms_have_none() -> None:
    fmt = FORMATS["float32"]
    for change in ({"argument": "unknown"}, {"exp2": True, "division": "none"}, {"arithmetic": "float16"}):
        algorithm = replace(ALGORITHMS["shifted"], **change)  # type: ignore[arg-type]
        assert np.isnan(bounds_of([1.0, 0.0], algorithm, fmt)).all(), algorithm


def test_shapes_must_match() -> None:
    x = np.zeros((1, 2))
    with pytest.raises(ValueError, match=r"x of shape \(1, 3\)"):
        element_bounds(
            np.zeros((1, 3)), truth_mpmath(x, FORMATS["float32"]), ALGORITHMS["plain"], FORMATS["float32"]
        )


def test_intermediates_are_in_the_output_format_if_that_holds_the_inputs() -> None:
    algorithm, f16, f32 = ALGORITHMS["shifted"], FORMATS["float16"], FORMATS["float32"]
    assert working_format(algorithm, f16, f32) == f32
    assert working_format(algorithm, f32, f16) == f32
    assert working_format(algorithm, f16, FORMATS["bfloat16"]) == f16
    assert working_format(ALGORITHMS["upcast"], f16, f16) == f32


# Growth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "plain exp2", "constant"])
@pytest.mark.parametrize("format_name", ["float16", "float32", "float64", "bfloat16", "float8_e5m2"])
def test_below_omega_over_growth_nothing_overflows(format_name: str, name: str) -> None:
    """Rows whose sum of exponentials is just below Omega / G have a bound; at Omega they have none."""
    fmt, algorithm, n = FORMATS[format_name], ALGORITHMS[name], 4
    top = fmt.emax * LN2 + np.linspace(-8, 6, 4001)[:, None]
    x = np.unique(fmt.to_float64(fmt.from_float64(np.repeat(top, n, axis=1))), axis=0)
    limit = float(fmt.largest) / growth(algorithm, n, fmt)
    with np.errstate(over="ignore"):
        total = n * np.exp(x[:, 0] + algorithm.constant)
    bounded = ~np.isnan(element_bounds(x, truth_mpmath(x, fmt), algorithm, fmt)).any(axis=1)
    below, above = bounded[total < limit * (1 - 1e-9)], bounded[total >= float(fmt.largest) * (1 - 1e-9)]
    assert len(below) > 0
    assert len(above) > 0
    assert below.all()
    assert not above.any()


def test_growth_exceeds_what_a_sum_can_gain() -> None:
    fmt = FORMATS["float16"]
    assert 1 < growth(ALGORITHMS["plain"], 2, fmt) < 1.01
    assert growth(ALGORITHMS["plain"], 4096, fmt) > growth(ALGORITHMS["plain"], 2, fmt)
    assert growth(ALGORITHMS["online"], 8, fmt, 7) > growth(ALGORITHMS["online"], 8, fmt, 0)
    assert growth(ALGORITHMS["compensated"], 1000, FORMATS["float8_e5m2"]) == np.inf
