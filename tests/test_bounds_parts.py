"""The parts of the bounds: elementary functions on their stated side, sums within their stated growth."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from reference.bounds.arguments import arguments_of
from reference.bounds.elementary import exp_parts, expm1_above, log, log1p_above
from reference.bounds.setting import setting_of
from reference.bounds.summation import height, sum_growth
from reference.declaration import Algorithm, Summation
from reference.formats import FORMATS
from tests.machines import ADDERS, Machine, sum_one_by_one

Floats = NDArray[np.float64]

MP = mpmath.MPContext()
MP.prec = 200
DEPTH = 60


def summed(summation: Summation, accumulator: int | None = None) -> Algorithm:
    return Algorithm(summation, "shifted", 1.0, summation, accumulator)


# Arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16"])
def test_the_halves_of_a_power_of_two_may_both_be_off_by_half_an_ulp(name: str) -> None:
    """Where outputs are rescaled once, t = 2^j may be two differences of 2^(j - 1)."""
    fmt = FORMATS[name]
    split = Algorithm("split", "shifted", 1.0, "sequential", one_at_zero=True, rescaled=True)
    setting = setting_of(split, fmt, fmt)
    assert setting is not None
    sizes = 2.0 ** np.arange(-3, 4)
    k = arguments_of(np.stack([np.zeros_like(sizes), -sizes], axis=1), setting).k[:, 1]
    assert (k >= setting.u * sizes).all(), [v.hex() for v in k.tolist()]


# Elementary functions ------------------------------------------------------------------------


def test_exp_is_within_its_stated_error() -> None:
    t = np.concatenate(
        [np.linspace(-1100, 800, 3001), np.ldexp(1.0, np.arange(-60, 10)), [0.0, -4999.0, 4999.0]]
    )
    for argument, f, k in zip(t.tolist(), *exp_parts(t), strict=True):
        exact = MP.exp(MP.mpf(argument))
        assert abs(MP.ldexp(MP.mpf(float(f)), int(k)) / exact - 1) < 2.0**-49, argument.hex()


def test_expm1_is_bounded_from_above_and_closely() -> None:
    k = np.concatenate([np.linspace(0, 32, 2001), np.ldexp(1.0, np.arange(-70, 5))])
    for argument, bound in zip(k.tolist(), expm1_above(k).tolist(), strict=True):
        exact = MP.expm1(MP.mpf(argument))
        assert exact <= bound <= exact * (1 + 1e-11 + 1e-9 * argument**6), argument.hex()
    assert expm1_above(np.array([32.1]))[0] == 2.0**1000


def test_logarithms_are_within_their_stated_error() -> None:
    x = np.concatenate(
        [np.ldexp(1.0 + np.linspace(0, 1, 401), e) for e in (-1074, -1022, -3, -1, 0, 5, 1000)]
    )
    for argument, value in zip(x.tolist(), log(x).tolist(), strict=True):
        exact = MP.log(MP.mpf(argument))
        assert abs(value - exact) <= 2.0**-44 * (1 + abs(exact)), argument.hex()
    x = x[(x < 8) & (x > 1e-300)]
    for argument, bound in zip(x.tolist(), log1p_above(x).tolist(), strict=True):
        exact = MP.log1p(MP.mpf(argument))
        assert exact <= bound <= exact * (1 + 1e-14 + 0.05 * argument), argument.hex()


# Sums ----------------------------------------------------------------------------------------


def numpy_depth(n: int, leaf: int) -> int:
    """How many additions an entry passes in NumPy's sum of n, seen from outside.

    With 2^60 at one place, -2^60 at another and ones elsewhere, the ones that are added below
    the place where the two meet are lost. So each sum tells how many entries lie below their
    meeting, and every addition that the leaf passes is where it meets some other (as in FPRev,
    Xie et al., 2025).
    """
    probes = np.ones((n, n))
    probes[:, leaf] = 2.0**DEPTH
    np.fill_diagonal(probes, -(2.0**DEPTH))
    survivors = [probes[i].sum() for i in range(n) if i != leaf]
    return len(set(survivors))


@pytest.mark.parametrize("n", [2, 7, 8, 127, 128, 129, 255, 300])
def test_numpys_sum_is_no_higher_than_its_bound(n: int) -> None:
    deepest = max(numpy_depth(n, leaf) for leaf in range(0, n, max(1, n // 40)))
    assert deepest <= height(summed("pairwise"), n)


def test_heights() -> None:
    assert [height(summed("sequential"), n) for n in (1, 2, 1000)] == [0, 1, 999]
    assert [height(summed("pairwise"), n) for n in (1, 2, 30, 1000, 1025)] == [0, 1, 29, 34, 35]


def within(e: Floats, sums: Floats, growth: tuple[float, float]) -> None:
    up, down = (Fraction(g) for g in growth)
    for row, s in zip(e.tolist(), sums.tolist(), strict=True):
        exact = sum(map(Fraction, row))
        assert exact * (1 - down) <= Fraction(s) <= exact * (1 + up), (row, s)


def one_by_one(depths: list[int]) -> int:
    """The additions that the deepest entry of a sum passes, given those behind each term."""
    return reduce(lambda before, term: max(before, term) + 1, depths)


def by_halving(depths: list[int]) -> int:
    half = len(depths) // 2
    return max(by_halving(depths[:half]), by_halving(depths[half:])) + 1 if half else depths[0]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 15, 31, 33, 300, 70_001])
def test_sums_in_lanes_are_no_higher_than_their_bound(n: int) -> None:
    entries = [0] * n
    for accumulator, lanes in ((24, 4), (24, 8), (53, 2), (53, 4)):
        bound = height(summed("lanes", accumulator), n)
        whole = n // lanes * lanes
        held = [one_by_one(entries[lane:whole:lanes]) for lane in range(lanes if whole else 0)]
        assert one_by_one([*held, *entries[whole:]]) <= bound
        for more in (lanes, 16, 64, 256, 1024):
            held = [one_by_one(entries[lane::more]) for lane in range(min(more, n))]
            assert by_halving(held) <= bound, more


@pytest.mark.parametrize("summation", ["sequential", "lanes", "compensated"])
@pytest.mark.parametrize(("name", "n"), [("float8_e5m2", 9), ("float8_e4m3fn", 12), ("bfloat16", 300)])
def test_sums_stay_within_their_growth(name: str, n: int, summation: Summation) -> None:
    machine = Machine(FORMATS[name], 1.0)
    rng = np.random.default_rng(n)
    e = machine.round(np.ldexp(rng.random((400, n)), -rng.integers(0, 6, size=(400, n))))
    growth = sum_growth(summed(summation), n, machine.fmt.precision)
    assert growth is not None
    within(e, ADDERS[summation](machine, e), growth)


def test_a_sum_one_by_one_reaches_a_good_part_of_its_growth() -> None:
    """1 + 1/16 + 1/16 + .. in 4 bits: every addition is a tie, rounded down."""
    machine, n = Machine(FORMATS["float8_e4m3fn"], 1.0), 9
    e = np.array([[1.0] + [1 / 16] * (n - 1)])
    growth = sum_growth(summed("sequential"), n, 4)
    assert growth is not None
    lost = 1 - sum_one_by_one(machine, e)[0] / e.sum()
    assert growth[1] * 0.8 < lost <= growth[1]


def test_an_accumulator_rounds_what_it_cannot_hold() -> None:
    own = sum_growth(summed("sequential"), 100, 11)
    wide = sum_growth(summed("sequential", 24), 100, 11)
    narrow = sum_growth(summed("sequential", 8), 100, 11)
    assert own is not None
    assert wide is not None
    assert narrow is not None
    assert 2.0**-12 < wide[0] < 1.02 * 2.0**-11 < own[0] < narrow[0]


def test_a_compensated_sum_has_no_bound_beyond_a_length() -> None:
    assert sum_growth(summed("compensated"), 10, 3) is not None
    assert sum_growth(summed("compensated"), 100, 3) is None
    longer = [growth for n in range(3, 100) if (growth := sum_growth(summed("compensated"), n, 3))]
    assert 1 <= max(down for _, down in longer) < 1 + 2.0**-40, "a sum loses all of itself at most"
    long = sum_growth(summed("compensated"), 10**6, 24)
    assert long is not None
    assert long[0] < 3.3 * 2.0**-24
