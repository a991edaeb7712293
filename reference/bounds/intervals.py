"""The interval of every output, evaluated outward in float64 without cancellation.

The notation and the proof of each line are in `reference.bounds`. Only differences from the exact result
are formed (how far U lies above w, the computed sum above W, ..), all of them nonnegative,
so float64 keeps their relative precision even where they are below 2^-53: a few dozen
roundings and a sum cost less than `OUTWARD`, applied wherever a difference is closed.
Elements are in ulps of r, so float64's own extremes stay in range.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.arguments import Arguments, Chain, arguments_of, chain_of, leaves_range, rescalings
from reference.bounds.elementary import LN2_ABOVE, LN2_BELOW, STEEP, exp_parts, expm1_above, log, log1p_above
from reference.bounds.exact import Exact, exact_of
from reference.bounds.setting import Setting
from reference.bounds.summation import sum_growth
from reference.formats import FloatFormat
from reference.model import RESIDUAL_TOLERANCE, Truth

__all__ = ["bounds_from", "bounds_of_rows", "half_ulp_of", "may_overflow", "once_rounded", "sum_of"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ABSOLUTE: Final = 2.0**-50
"""More than the roundings of a few sums of numbers up to 2: a difference is taken that much smaller."""

OUTWARD: Final = 1 + 2.0**-40
"""More than n + 60 roundings of 2^-53, NumPy's pairwise sums having height below 100."""

_LARGEST: Final = float(np.finfo(np.float64).max)

_LOG_EXCESS: Final = 1.53
"""How much worse a log may be than the exp beside it: NumPy states 3.83 ULP and 2.52 in binary32."""


@dataclass(frozen=True)
class _Deviation:
    """How far something may lie above and below its exact value."""

    up: Floats
    down: Floats


@dataclass(frozen=True)
class _Eta:
    """The smallest subnormal over the exact sum, in ulps of each r: at most significand 2^exponent.

    Attributes:
        significand: its significand, from above.
        least: the same from below.
        exponent: the exponent of both.
    """

    significand: Floats
    least: Floats
    exponent: NDArray[Any]

    @property
    def ulps(self) -> Floats:
        return np.asarray(np.ldexp(self.significand, self.exponent))

    def step(self, value: Floats, precision: int) -> Floats:
        """Return one ulp of the arithmetic at a value, both in ulps of each r, from above.

        The binade is that of value / eta, which is known no better than the truth's residuals are: r_i lies
        within RESIDUAL_TOLERANCE = T ulps of the output, so both r_i and r_max, of which eta is made, may be
        off by T ulp(r) / r. That is T 2^(1 - p) for a normal r in the p bits of the *output*, whatever the
        arithmetic, and T n eta_out for an r_max = 1 / n below the output's least normal number. So no fixed
        allowance will do: the value is taken from above and eta from below, by what the row leaves
        open. Beside a power of two the greater ulp then counts.
        """
        m, e = np.frexp(value * OUTWARD)
        m_eta, e_eta = np.frexp(self.least)
        binade = e - e_eta - (m < m_eta) - self.exponent
        return np.asarray(np.ldexp(self.significand, self.exponent + np.maximum(binade - precision + 1, 0)))


@dataclass(frozen=True)
class _Sum:
    """The computed sum, shape (rows, 1): relative deviation from the exact one, and its size.

    size(e) is an upper bound of the computed sum times 2^e, size_low(e) a lower one.

    Attributes:
        deviation: how far the computed sum may lie from the exact one.
        terms: the same of the exact sum of the computed terms: A and B of line (Q).
        grown: how far the computed sum may lie from that, relatively: `summation.sum_growth`.
        at_least: how far the greatest term alone may lie below the exact sum; infinite where the computed sum
            may be smaller.
        fraction, exponent: f and e such that the exact sum is 1 / (f 2^e r), r being the largest result.
        exact: the exact results.
        most: the most that an exponential is of the exact sum.
    """

    deviation: _Deviation
    terms: _Deviation
    grown: tuple[float, float]
    at_least: Floats
    fraction: Floats
    exponent: NDArray[np.int32]
    exact: Exact
    most: Floats | float

    def size(self, exponent: int) -> Floats:
        high = (1 + self.deviation.up) / (self.fraction * self.exact.largest_low)
        return np.ldexp(high * OUTWARD, exponent - self.exponent)

    def size_low(self, exponent: int) -> Floats:
        low = (1 - self.deviation.down) / (self.fraction * self.exact.largest)
        return np.ldexp(low / OUTWARD, exponent - self.exponent)


def bounds_of_rows(x: Floats, truth: Truth, setting: Setting) -> Floats:
    """Return the bound of each element in ulps of its exact result; NaN where there is none."""
    with np.errstate(all="ignore"):
        return bounds_from(x, truth, arguments_of(x, setting), setting)


def bounds_from(x: Floats, truth: Truth, arguments: Arguments, setting: Setting) -> Floats:
    """Return the same of rows whose arguments are known; of x only the order of a row's entries counts then.

    That is so of algorithms that shift by the maximum and divide.
    """
    with np.errstate(all="ignore"):
        exact = exact_of(x, truth)
        total, own = sum_of(x, exact, arguments, setting)
        if total is None:
            return np.full(x.shape, np.nan)
        if setting.algorithm.division == "none":
            bound = _by_logarithm(x, exact, arguments, total, setting)
        else:
            bound = _by_quotient(exact, own, total, setting)
        bound = bound * OUTWARD + 2 * RESIDUAL_TOLERANCE
        impossible = may_overflow(x, total, setting) | leaves_range(arguments, setting)
        return np.where(impossible | np.isnan(exact.largest), np.nan, bound)


# Exponentials ------------------------------------------------------------------------------


def _exponentials(ulps: Floats, eta: _Eta, arguments: Arguments, setting: Setting) -> _Deviation:
    """Bound ê - w and w - ê for exponentials of value `ulps`: lines (U) and (L)."""
    z = expm1_above(arguments.k)
    wrong = setting.algorithm.exp_ulps * eta.step(ulps * (1 + z), setting.arithmetic.precision)
    if arguments.most is not None:
        wrong = np.where(arguments.most > 0, np.maximum(wrong, setting.exp_error * ulps * (1 + z)), wrong)
    up = ulps * z + wrong
    low, floor = ulps / (1 + z), setting.algorithm.exp_ulps * eta.ulps
    wrong = np.minimum(wrong, np.maximum(setting.exp_error * low, floor))
    down = np.minimum(ulps, low * z + wrong)
    rest = floor + 0.5 * eta.ulps - np.maximum(ulps - 2 * RESIDUAL_TOLERANCE, 0.0)
    up = np.where(arguments.deep, np.maximum(rest, 0.0), np.where(arguments.k > STEEP, np.inf, up))
    up = np.minimum(up, _most(ulps, eta, arguments, setting))
    down = np.where(arguments.deep, ulps, down)
    known = arguments.masked | _is_one(arguments, setting)
    return _Deviation(np.where(known, 0.0, up), np.where(known & ~arguments.masked, 0.0, down))


def _most(ulps: Floats, eta: _Eta, arguments: Arguments, setting: Setting) -> Floats | float:
    """Return how far above w an exponential lies at most whose computed argument is known not to be large.

    In ulps of a result far below 1 that may be beyond float64, and infinite: see `_share`.
    """
    one = _share(eta, arguments, setting, 0)
    return np.asarray(np.maximum(one - np.maximum(ulps - 2 * RESIDUAL_TOLERANCE, 0.0), 0.0))


def _share(
    eta: _Eta, arguments: Arguments, setting: Setting, exponents: NDArray[np.int32] | int
) -> Floats | float:
    """Return 2^exponents times the most that an exponential is of the exact sum, in ulps of each r.

    It is at most exp(most) (1 + E), and 1 over the exact sum is eta over it, without the eta.
    """
    if arguments.most is None:
        return np.inf
    factor = (1 + expm1_above(arguments.most)) * (1 + setting.exp_error) * OUTWARD
    shift = exponents - setting.arithmetic.quantum_exponent
    return np.asarray(np.ldexp(eta.significand * factor, eta.exponent + shift))


def _is_one(arguments: Arguments, setting: Setting) -> Flags:
    """Tell which exponentials are exactly 1: line (1)."""
    one: Flags = (arguments.t == 0) & (arguments.k == 0) & setting.algorithm.one_at_zero
    return one


def _rescaled(ulps: Floats, eta: _Eta, arguments: Arguments, setting: Setting) -> _Deviation:
    """Bound the same for the products of two exponentials: lines (U2) and (L2)."""
    z, error, unit = expm1_above(arguments.k), setting.exp_error, eta.ulps
    smallest = -setting.arithmetic.emin * LN2_BELOW
    reached = (arguments.k - arguments.t > smallest) | arguments.deep
    floor = np.where(reached, setting.rescaled_floor * unit, 0.0)
    up = ulps * z + (ulps * (1 + z)) * (error * (1 + error / 4)) + floor
    lost = z + min(error, 1.0)
    down = np.minimum(ulps, ulps * (lost / (1 + z)) + floor)
    rest = 0.5 * (1 + error / 2) ** 2 * unit - np.maximum(ulps - 2 * RESIDUAL_TOLERANCE, 0.0) + floor
    up = np.where(arguments.deep, np.maximum(rest, 0.0), np.where(arguments.k > STEEP, np.inf, up))
    up = np.minimum(up, _most(ulps, eta, arguments, setting))
    down = np.where(arguments.deep, ulps, down)
    known = arguments.masked | _is_one(arguments, setting)
    return _Deviation(np.where(known, 0.0, up), np.where(known & ~arguments.masked, 0.0, down))


def _chained(ulps: Floats, unit: Floats, arguments: Arguments, chain: Chain, setting: Setting) -> _Deviation:
    """Bound the same for terms of a running sum: lines (U') and (L')."""
    link_up, link_down = setting.link
    z_up = expm1_above(chain.k + chain.links * link_up)
    z_down = expm1_above(chain.k + np.where(chain.links == 0, 0.0, chain.links * link_down))
    floor = _chained_floor(chain, setting) * unit
    smallest = -setting.arithmetic.emin * LN2_BELOW
    lost = np.where(chain.links == 0, 0.0, (chain.links + 1) * link_down)
    reached = chain.k - arguments.t + lost > smallest
    floor = np.where(reached | arguments.deep, floor, 0.0)
    up = ulps * z_up + setting.exp_error * (ulps * (1 + z_up)) + floor
    down = np.minimum(ulps, ulps * (z_down + setting.exp_error) / (1 + z_down) + floor)
    rest = floor - np.maximum(ulps - 2 * RESIDUAL_TOLERANCE, 0.0)
    up = np.where(arguments.deep, np.maximum(rest, 0.0), up)
    down = np.where(arguments.deep, ulps, down)
    one = _is_one(arguments, setting) & (chain.links == 0)
    return _Deviation(np.where(arguments.masked | one, 0.0, up), np.where(one, 0.0, down))


def _chained_floor(chain: Chain, setting: Setting) -> Floats:
    c, links = setting.algorithm.exp_ulps, chain.links
    growth = 1 + expm1_above(np.asarray((links + 2) * setting.link[0]))
    return ((links + 1) * (c + 0.5) + c + 0.5) * growth


# The sum -----------------------------------------------------------------------------------


def sum_of(x: Floats, exact: Exact, arguments: Arguments, setting: Setting) -> tuple[_Sum | None, _Deviation]:
    """Return the computed sum, None where it has no bound, and how far the exponentials may lie off."""
    fraction, exponent = exp_parts(-_top_argument(arguments, setting))
    unit = _unit(exact, fraction, exponent, setting.arithmetic)
    own = (_rescaled if setting.algorithm.rescaled else _exponentials)(exact.ulps, unit, arguments, setting)
    terms = own
    if setting.algorithm.argument == "running":
        terms = _chained(exact.ulps, unit.ulps, arguments, chain_of(x, arguments, setting), setting)
    grown = setting.sums(x.shape[1])
    if grown is None:
        return None, own
    most = _share(unit, arguments, setting, exact.exponents)
    up = np.minimum(np.ldexp(terms.up, exact.exponents), most).sum(axis=1, keepdims=True) * OUTWARD
    down = np.ldexp(terms.down, exact.exponents).sum(axis=1, keepdims=True) * OUTWARD
    at_least = _greatest_term(exact, terms, setting)
    deviation = _Deviation(
        (up + grown[0] + up * grown[0]) * OUTWARD,
        np.minimum((down + grown[1] * (1 - np.minimum(down, 1.0))) * OUTWARD, at_least),
    )
    return _Sum(deviation, _Deviation(up, down), grown, at_least, fraction, exponent, exact, most), own


def _greatest_term(exact: Exact, terms: _Deviation, setting: Setting) -> Floats:
    """Return how far the greatest term may lie below the exact sum: line (S-)."""
    if not setting.is_monotone:
        return np.full(exact.largest.shape, np.inf)
    at_top = np.ldexp(exact.at_top(terms.down), exact.at_top(exact.exponents))
    return np.asarray((exact.largest_rest + at_top) * OUTWARD)


def _top_argument(arguments: Arguments, setting: Setting) -> Floats:
    shifted = setting.algorithm.argument in ("shifted", "running")
    return np.zeros_like(arguments.top) if shifted else arguments.top


def _unit(exact: Exact, fraction: Floats, exponent: NDArray[np.int32], fmt: FloatFormat) -> _Eta:
    """Return eta over the exact sum: 1 / sum exp(t) = r_max exp(-t_max)."""
    shift = exponent + fmt.quantum_exponent - exact.exponents
    return _Eta(exact.largest * fraction * OUTWARD, exact.largest_low * fraction / OUTWARD, shift)


def may_overflow(x: Floats, total: _Sum, setting: Setting) -> Flags:
    """Tell in which rows a computed sum may exceed Omega, or its reciprocal."""
    fmt = setting.arithmetic
    largest = float(fmt.largest / 2**fmt.emax)
    beyond: Flags = ~(total.size(-fmt.emax) <= largest) | ~(total.deviation.down < 1)
    if setting.algorithm.division == "reciprocal":
        beyond = beyond | ~(total.size_low(fmt.emax) >= 1)
    if setting.algorithm.argument == "running":
        beyond = beyond | (_largest_prefix(x, setting) > float(fmt.largest))
    return beyond


def _largest_prefix(x: Floats, setting: Setting) -> Floats:
    """Bound every sum on the way: n terms of at most (1 + E) times a factor for every link."""
    growth = sum_growth(setting.algorithm, x.shape[1], setting.arithmetic.precision)
    assert growth is not None, "rows without a bound have been left before"
    links = rescalings(x)[:, :1] + 2
    factor = 1 + expm1_above(np.asarray(links * setting.link[0]))
    return np.asarray((x > -np.inf).sum(axis=1, keepdims=True) * factor * (1 + growth[0]))


# Quotients ---------------------------------------------------------------------------------


def _by_quotient(exact: Exact, own: _Deviation, total: _Sum, setting: Setting) -> Floats:
    quotient = _quotient(exact, own, total, setting)
    if setting.algorithm.rescaled:
        quotient = _by_products(quotient, exact, total, setting)
    if setting.algorithm.division == "reciprocal":
        quotient = _times(quotient, exact, _reciprocal_rounding(total, setting))
    result = _rounded(quotient, exact, setting)
    highest = np.where(_capped(total, setting), np.minimum(result.up, exact.room), result.up)
    return np.maximum(highest, np.minimum(result.down, exact.ulps))


def _quotient(exact: Exact, own: _Deviation, total: _Sum, setting: Setting) -> _Deviation:
    """Bound the exact quotient of an exponential and the computed sum: line (Q)."""
    ulps = exact.ulps
    least = np.where(total.at_least < 1, total.at_least / (1 - total.at_least) * OUTWARD, np.inf)
    above_least = np.where(own.up < np.inf, own.up + (ulps + own.up) * least, np.inf)
    if setting.algorithm.argument == "running":
        more, less = _inverse_deviation(total)
        return _Deviation(own.up + (ulps + own.up) * more, own.down + (ulps - own.down) * less)
    grown, shrunk = total.grown
    own_up = np.minimum(np.ldexp(own.up, exact.exponents), total.most)
    own_down = np.ldexp(own.down, exact.exponents)
    others_up = np.maximum(total.terms.up - own_up, 0.0)
    others_down = np.maximum(total.terms.down - own_down, 0.0)
    kept = 1 - shrunk - ABSOLUTE
    least_sum = 1 + own_up - others_down - ABSOLUTE
    up = (own.up * exact.rest + ulps * others_down) / (least_sum * kept) + ulps * (shrunk / kept)
    up = np.where((least_sum > 0) & (kept > 0), up, np.inf)
    most_sum = 1 - own_down + others_up - ABSOLUTE
    down = (own.down * exact.rest + ulps * others_up) / (most_sum * (1 + grown))
    down = down + ulps * (grown / (1 + grown))
    down = np.where(most_sum > 0, np.minimum(down, ulps), ulps)
    return _Deviation(np.minimum(up, above_least), down)


def _inverse_deviation(total: _Sum) -> tuple[Floats, Floats]:
    """Bound the factor 1 / sum relative to the exact one, whatever is divided by it."""
    sums = total.deviation
    up, down = sums.down / (1 - sums.down) * OUTWARD, sums.up / (1 + sums.up) * OUTWARD
    return up, np.where(np.isnan(down), 1.0, np.minimum(down, 1.0))


def _times(value: _Deviation, exact: Exact, rounding: float | Floats) -> _Deviation:
    """Multiply by 1 +- rounding."""
    below = np.maximum(exact.ulps - value.down, 0.0)
    return _Deviation(
        value.up + (exact.ulps + value.up) * rounding, value.down + below * np.minimum(rounding, 1.0)
    )


def _by_products(quotient: _Deviation, exact: Exact, total: _Sum, setting: Setting) -> _Deviation:
    """Add the roundings of the products: line (P)."""
    unit = _unit(exact, total.fraction, total.exponent, setting.arithmetic).ulps
    rounded = _times(quotient, exact, setting.products)
    lost = 0.5 * np.ldexp(1.0, setting.arithmetic.quantum_exponent - exact.exponents)
    lost = (lost + unit / (1 - total.deviation.down)) * (1 + setting.exp_error)
    return _Deviation(rounded.up + lost, rounded.down + lost)


def _reciprocal_rounding(total: _Sum, setting: Setting) -> Floats:
    """Return the reciprocal's relative rounding error: v, more where 1 / sum is subnormal."""
    return np.maximum(setting.v, total.size(setting.arithmetic.quantum_exponent - 1))


def _capped(total: _Sum, setting: Setting) -> Flags:
    """Tell in which rows no output exceeds 1: a sum is at least each of its terms, line (C)."""
    capped = setting.algorithm.argument != "running" and setting.is_monotone
    if setting.algorithm.division == "divide":
        return np.full(total.fraction.shape, capped)
    return np.asarray(capped & (_reciprocal_rounding(total, setting) <= setting.v))


def _rounded(quotient: _Deviation, exact: Exact, setting: Setting) -> _Deviation:
    """Add the roundings of the result: line (F)."""
    up, down = quotient.up, quotient.down
    if setting.arithmetic != setting.output:
        floor = np.ldexp(0.5, setting.arithmetic.quantum_exponent - exact.exponents)
        above, below = exact.ulps + up, np.maximum(exact.ulps - down, 0.0)
        up, down = up + np.maximum(setting.v * above, floor), down + np.maximum(setting.v * below, floor)
    if setting.arithmetic == setting.output or setting.rounds_result:
        up, down = _rounded_once(_Deviation(up, down), exact, setting.output)
    return _Deviation(up, down)


def _rounded_once(value: _Deviation, exact: Exact, fmt: FloatFormat) -> tuple[Floats, Floats]:
    """Round to a format; below, half an ulp of q- is at most that of r, which is 1/2 here."""
    above, below = (exact.ulps + value.up) * (1 + 2.0**-51), np.maximum(exact.ulps - value.down, 0.0)
    return (
        value.up + _half_ulp(above, exact.exponents, fmt),
        value.down + np.minimum(_half_ulp(below * (1 + 2.0**-51), exact.exponents, fmt), 0.5),
    )


def _half_ulp(q: Floats, exponents: NDArray[np.int32], fmt: FloatFormat) -> Floats:
    """Return half an ulp of q, both in units of 2^exponents."""
    lowest = fmt.quantum_exponent - exponents
    return np.asarray(np.ldexp(0.5, np.maximum(np.frexp(q)[1] - fmt.precision, lowest)))


# exp(x - lse) ------------------------------------------------------------------------------


def _by_logarithm(x: Floats, exact: Exact, arguments: Arguments, total: _Sum, setting: Setting) -> Floats:
    """Bound exp(x - lse), lse = max + log(sum), or log(sum) of plain exponentials: line (E)."""
    lse, wrong = _logarithm(x, arguments, total, setting)
    z = x - lse
    k = (wrong + half_ulp_of(np.abs(z) + wrong, setting.arithmetic)) * OUTWARD
    depth = (1 - setting.arithmetic.quantum_exponent) * LN2_ABOVE
    masked = arguments.masked
    deep = (z + k <= -depth) & ~masked
    steep = (k > STEEP) & ~deep & ~masked
    k = np.where(deep | masked, 0.0, k)
    one = np.ones_like(arguments.top)
    eta = _Eta(one, one, setting.arithmetic.quantum_exponent - exact.exponents)
    value = _exponentials(exact.ulps, eta, Arguments(z, k, deep, masked, arguments.top), setting)
    up, down = value.up, value.down
    beyond = np.ldexp((exact.ulps + up) * OUTWARD, exact.exponents) > float(setting.arithmetic.largest)
    beyond |= np.isnan(wrong)
    if setting.rounds_result:
        up, down = _rounded_once(value, exact, setting.output)
    return np.where(steep | beyond, np.nan, np.maximum(up, np.minimum(down, exact.ulps)))


def _logarithm(x: Floats, arguments: Arguments, total: _Sum, setting: Setting) -> tuple[Floats, Floats]:
    """Return lse and how far the computed one may lie from it, shape (rows, 1); NaN where it may overflow."""
    fmt, top = setting.arithmetic, _top_argument(arguments, setting)
    sums = total.deviation
    wrong = np.maximum(log1p_above(sums.up), log1p_above(sums.down / (1 - sums.down)))
    level = top - log(total.exact.largest_low)
    wrong = wrong + 2 * _LOG_EXCESS * setting.algorithm.exp_ulps * half_ulp_of(np.abs(level) + wrong, fmt)
    shift = x.max(axis=1, keepdims=True) - top
    lse = shift + level
    if setting.algorithm.argument in ("shifted", "running"):
        wrong = once_rounded(np.abs(lse), wrong, fmt)
    return lse, wrong + 2.0**-40 * wrong


def once_rounded(size: Floats, error: Floats, fmt: FloatFormat) -> Floats:
    """Return the error of max + log(sum) once it is rounded; NaN where it may round beyond Omega.

    Without the error it is of that size. It cannot overflow in formats as wide as float64: there half an ulp
    of Omega is more than any logarithm.
    """
    largest = float(min(fmt.largest, Fraction(_LARGEST)))
    end = largest + half_ulp_of(np.array(largest), fmt)
    beyond = np.isfinite(end) & ((size + error) * OUTWARD >= end)
    return np.where(beyond, np.nan, error + half_ulp_of(size + error, fmt))


def half_ulp_of(value: Floats, fmt: FloatFormat) -> Floats:
    """Return half an ulp of numbers from 0 up to a value."""
    finite = np.minimum(value * OUTWARD, _LARGEST)  # frexp gives infinity the exponent 0
    exponents = np.maximum(np.frexp(finite)[1] - 1, fmt.emin)
    return np.asarray(np.ldexp(0.5, exponents - fmt.precision + 1))
