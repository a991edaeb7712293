"""The constants of the bounds lie on their safe side, and close; and what a bound never falls below."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from reference.bounds import element_bounds
from reference.bounds.intervals import bounds_of_rows
from reference.bounds.setting import Setting, further_up, holds, setting_of
from reference.bounds.summation import sum_growth
from reference.declaration import Algorithm, Argument
from reference.errors import ulp_of
from reference.formats import FORMATS, FloatFormat, floor_log2
from reference.oracle import truth_mpmath
from tests.interval_form import IntervalForm
from tests.more_formats import EVERY

MP = mpmath.MPContext()
MP.prec = 200

SHIFTED = Algorithm("shifted", "shifted", 1.0, "sequential")
ONLINE = Algorithm("online", "running", 1.0, "sequential")


def setting(algorithm: Algorithm, fmt: FloatFormat) -> Setting:
    return Setting(algorithm, fmt, fmt)


def just_above(value: float, exact: Fraction) -> bool:
    return exact <= Fraction(value) <= exact * (1 + Fraction(1, 2**48))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_relative_errors_are_rounded_up_by_next_to_nothing(fmt: FloatFormat) -> None:
    u = Fraction(1, 2**fmt.precision)
    v = u / (1 + u)
    plain, exp2 = (setting(replace(SHIFTED, exp2=exp2), fmt) for exp2 in (False, True))
    assert Fraction(plain.u) == u
    assert just_above(plain.v, v), plain.v.hex()
    assert plain.scaling == 0
    log2e = Fraction(int(MP.ldexp(1, 150) / MP.ln(2)), 2**150)
    factor = fmt.decode(fmt.round(log2e))
    assert factor == Fraction(exp2.factor)
    off = abs(factor / log2e - 1)
    assert just_above(exp2.factor_error, off), exp2.factor_error.hex()
    assert just_above(exp2.scaling, (1 + off) * (1 + v) - 1), exp2.scaling.hex()
    assert exp2.bend >= v + (1 + v) * ((1 + off) * (1 + v) - 1) - Fraction(1, 2**70)
    assert plain.factor_error == 0
    assert setting(replace(SHIFTED, argument="plain"), fmt).bend == 0


@pytest.mark.parametrize("exp_ulps", [0.55, 1.0, 3.0])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_a_link_costs_the_logarithm_of_its_factors(fmt: FloatFormat, exp_ulps: float) -> None:
    u = MP.ldexp(1, -fmt.precision)
    e, v = 2 * MP.mpf(exp_ulps) * u, u / (1 + u)
    up, down = setting(replace(ONLINE, exp_ulps=exp_ulps), fmt).link
    gained = MP.log((1 + e) * (1 + v))
    assert gained <= up <= gained * (1 + e**2 / 3 + 2.0**-47), (up, gained)
    if e >= 1:
        assert down == np.inf
        return
    lost = MP.log((1 + u) / (1 - e))
    assert lost <= down <= lost * (1 + (e / (1 - e)) ** 2 / 3 + 2.0**-47), (down, lost)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_further_up_is_the_same_format_with_twice_the_exponents(fmt: FloatFormat) -> None:
    beyond = further_up(fmt)
    assert (beyond.precision, beyond.emin) == (fmt.precision, fmt.emin)
    assert beyond.quantum_exponent == fmt.quantum_exponent
    assert beyond.largest > fmt.largest**2 / 2**10 or not fmt.has_infinity
    assert holds(beyond, fmt)
    assert not holds(fmt, beyond)
    if fmt.has_infinity:
        # all codes between the subnormals' and the one of infinities are exponents of numbers
        assert beyond.emax - beyond.emin + 1 == 2 ** (beyond.storage_bits - beyond.precision) - 2


@pytest.mark.parametrize("fmt", EVERY, ids=str)
def test_the_greatest_exponent_is_that_of_the_greatest_number(fmt: FloatFormat) -> None:
    assert floor_log2(fmt.largest) == fmt.emax
    above = further_up(fmt)
    assert floor_log2(above.largest) == above.emax > fmt.emax
    assert above.smallest_subnormal == fmt.smallest_subnormal


def test_holding_is_a_matter_of_digits_and_of_both_ends() -> None:
    names = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
    held = {(a, b) for a in names for b in names if holds(FORMATS[a], FORMATS[b])}
    expected = {(a, a) for a in names} | {("float64", b) for b in names}
    expected |= {("float32", b) for b in names[2:]} | {("float16", b) for b in names[4:]}
    expected |= {("bfloat16", b) for b in names[4:]}
    assert held == expected


@pytest.mark.parametrize("argument", ["shifted", "running", "plain"])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_no_bound_lies_below_the_tolerance_of_the_figures_held_against_it(
    fmt: FloatFormat, argument: Argument
) -> None:
    """A single entry gives exactly 1; truth and error may each be off by 2^-21 ulp all the same."""
    x = np.array([[1.5]])
    truth = truth_mpmath(x, fmt)
    algorithm = replace(SHIFTED, argument=argument)
    wanted = setting_of(algorithm, fmt, fmt)
    assert wanted is not None
    for bound in (element_bounds(x, truth, algorithm, fmt), bounds_of_rows(x, truth, wanted)):
        assert bound[0, 0] >= 2.0**-20


@pytest.mark.parametrize("kept", [8, 24])
def test_an_accumulator_of_another_precision_rounds_once_more(kept: int) -> None:
    """A single term is not added at all: what is left is that rounding, with the coarser unit of the two."""
    w = Fraction(1, 2 ** min(kept, 11))
    growth = sum_growth(replace(SHIFTED, accumulator_precision=kept), 1, 11)
    assert growth is not None
    assert just_above(growth[0], w / (1 + w))
    assert just_above(growth[1], w / (1 + w))
    assert sum_growth(replace(SHIFTED, accumulator_precision=11), 1, 11) == (0, 0)


@pytest.mark.parametrize("n", [1, 5, 100])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_a_sink_rounds_the_sum_once_more(fmt: FloatFormat, n: int) -> None:
    """The sum of n is s (1 + a), and with the sink it is rounded up by 1 + v or down by 1 - u at most."""
    u = Fraction(1, 2**fmt.precision)
    without, with_sink = (replace(setting(SHIFTED, fmt), sunk=sunk).sums(n) for sunk in (False, True))
    assert without is not None
    assert with_sink is not None
    up, down = map(Fraction, without)
    assert just_above(with_sink[0], (1 + up) * (1 + u / (1 + u)) - 1), with_sink[0].hex()
    assert just_above(with_sink[1], 1 - (1 - down) * (1 - u)), with_sink[1].hex()


@pytest.mark.parametrize("exp_ulps", [0.55, 1.0, 3.0])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_what_underflow_adds_to_a_product_of_exponentials(fmt: FloatFormat, exp_ulps: float) -> None:
    """(1 + E / 2 + c eta / 2)^2 - (1 + E / 2)^2: each factor is at most 1, and off by E / 2 and c eta / 2."""
    online = setting(replace(ONLINE, exp_ulps=exp_ulps), fmt)
    c, eta, error = Fraction(exp_ulps), Fraction(2) ** fmt.quantum_exponent, Fraction(online.exp_error)
    exact = (1 + error / 2 + c * eta / 2) ** 2 - (1 + error / 2) ** 2
    assert exact <= Fraction(online.rescaled_floor) * eta
    assert just_above(online.rescaled_floor, c * (1 + error + c * eta / 4)), online.rescaled_floor.hex()


def test_a_sum_loses_no_term_where_its_accumulator_holds_them() -> None:
    fmt = FORMATS["float16"]
    kept = {
        k: setting(replace(SHIFTED, accumulator_precision=k), fmt).is_monotone for k in (10, 11, 12, None)
    }
    assert kept == {10: False, 11: True, 12: True, None: True}
    assert not setting(replace(SHIFTED, summation="compensated"), fmt).is_monotone


ROWS = {
    "entries of one grid, few enough": [0.5, -16.0, 0.25],
    "a fine grid and a long way": [2.0**-8, -16.0, 0.5],
    "rising": [-9.0, -6.0, -3.0, 0.0],
    "falling": [0.0, -3.0, -6.0, -9.0],
    "rising by fractions": [-7.3984375, -3.69921875, -0.1, 0.2],
    "equal": [1.0, 1.0, 1.0],
    "zeros": [0.0, 0.0],
    "below the normal range on the way": [-9.6, -9.4, 0.0],
    "just within the normal range": [-9.0, -8.9, 0.0],
    "a hair within it, on one grid": [-9.703125, 0.0],
    "masked first": [-np.inf, 0.5, 2.0],
    "masked last": [0.25, -0.75, -np.inf],
    "deep": [0.0, -17.25, -17.75],
}


@pytest.mark.parametrize("exp2", [False, True])
@pytest.mark.parametrize("argument", ["running", "shifted"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_chosen_rows_have_the_bound_of_the_interval_form(
    row: list[float], argument: Argument, exp2: bool
) -> None:
    fmt = FORMATS["float16"]
    algorithm = replace(ONLINE, argument=argument, exp2=exp2)
    x = fmt.to_float64(fmt.from_float64([row]))
    truth = truth_mpmath(x, fmt)
    wanted = setting_of(algorithm, fmt, fmt)
    assert wanted is not None
    exact = IntervalForm(x[0].tolist(), algorithm, fmt).bounds(ulp_of(truth)[0].tolist())
    for bound in (element_bounds(x, truth, algorithm, fmt), bounds_of_rows(x, truth, wanted)):
        for got, least in zip(bound[0].tolist(), exact, strict=True):
            assert least <= got <= least * (1 + 1e-5) + 2.0**-19, (row, got, least)
