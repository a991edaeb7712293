"""The bounds of two-pass algorithms that divide, compiled: loops without branches or gathers.

The specification is `reference.bounds.intervals`, whose notation holds here. The results are the same but for
their last bits: `_Row.outward` covers the roundings here, as `OUTWARD` does there.

Powers of two are made from their exponent fields. Those below 2^-1022 are split into a
factor 2^512 and the rest, so that float64's own subnormals stay exact.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.bounds.arguments import HALF
from reference.bounds.elementary import (
    EXP_DEGREE,
    LN2_ABOVE,
    LN2_BELOW,
    LN2_HIGH,
    LN2_LOW,
    LOG2E_ABOVE,
    PER_LN2,
    REACH,
    STEEP,
)
from reference.bounds.setting import Setting
from reference.bounds.summation import sum_growth
from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern
from reference.certified.layout import key_of
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.row_kinds import RowKind

__all__ = [
    "Constants",
    "argument_rounding",
    "constants_of",
    "depth_of",
    "fill_bounds",
    "fill_row",
    "in_ulps",
    "lanes_sum",
    "room_for",
    "two_to",
    "ulp_exponent",
    "zero_of",
]

_PLAIN: Final = 0
_CONSTANT: Final = 1
_SHIFTED: Final = 2
_KINDS: Final = {"plain": _PLAIN, "constant": _CONSTANT, "shifted": _SHIFTED}

_POLICY: Final = int(RowKind.NAN)
_TOLERANCE: Final = RESIDUAL_TOLERANCE
_FIELD: Final = 0x7FF << FRACTION_BITS
_MAGNITUDE: Final = (1 << 63) - 1
_BIAS: Final = 1023
_SPLIT: Final = 512
_TO: Final = 2.0**_SPLIT
_FROM: Final = 2.0**-_SPLIT
_FARTHEST: Final = 1000
_BEYOND: Final = 2.0**1000
_ROUNDED_UP: Final = 1 + 2.0**-40
_NEXT: Final = 1 + 2.0**-51
_ABSOLUTE: Final = 2.0**-50


class Constants(NamedTuple):
    """A `Setting` and a length as kernels take them; `inner` and `outer` stand for arithmetic and output.

    That of all zeros stands for none.
    """

    argument: int = 0
    constant: float = 0.0
    inner_precision: int = 0
    inner_emin: int = 0
    inner_emax: int = 0
    inner_largest: float = 0.0
    outer_precision: int = 0
    outer_emin: int = 0
    exp_error: float = 0.0
    exp_ulps: float = 0.0
    one_at_zero: bool = False
    rescaled: bool = False
    rescaled_floor: float = 0.0
    rescaled_deep: float = 0.0
    products: float = 0.0
    v: float = 0.0
    factor: float = 0.0
    factor_error: float = 0.0
    grown: float = 0.0
    shrunk: float = 0.0
    monotone: bool = False
    reciprocal: bool = False
    rounds_quotient: bool = False
    rounds_result: bool = False
    reach: float = 0.0


class Room(NamedTuple):
    """Scratch for the bounds of a row of n entries."""

    down: Any
    up_terms: Any
    down_terms: Any
    lanes: Any


def fill_bounds(x: NDArray[np.float64], truth: Truth, setting: Setting, bounds: NDArray[np.float64]) -> None:
    """Store the bounds of a two-pass algorithm that divides; NaN where there is none."""
    constants = constants_of(setting, x.shape[1])
    if constants is None:
        bounds[:] = np.nan
        return
    _fill(x, truth.nearest, truth.residual, truth.kinds, bounds, constants)


def constants_of(setting: Setting, n: int) -> Constants | None:
    """Return the constants for rows of n entries; None where their sums have no bound."""
    growth = sum_growth(setting.algorithm, n, setting.arithmetic.precision)
    if growth is None:
        return None
    return _fixed_constants_of(setting)._replace(grown=growth[0], shrunk=growth[1])


@lru_cache(maxsize=256)
def _fixed_constants_of(setting: Setting) -> Constants:
    """Return the constants for a sum without rounding errors, as of rows of one entry."""
    algorithm, inner, outer = setting.algorithm, setting.arithmetic, setting.output
    product = LOG2E_ABOVE * (1 + 2 * setting.v) if algorithm.exp2 else 1.0
    return Constants(
        argument=_KINDS[algorithm.argument],
        constant=float(inner.to_float64(inner.from_float64(algorithm.constant))),
        inner_precision=inner.precision,
        inner_emin=inner.emin,
        inner_emax=inner.emax,
        inner_largest=float(inner.largest / 2**inner.emax),
        outer_precision=outer.precision,
        outer_emin=outer.emin,
        exp_error=setting.exp_error,
        exp_ulps=algorithm.exp_ulps,
        one_at_zero=algorithm.one_at_zero,
        rescaled=algorithm.rescaled,
        rescaled_floor=setting.rescaled_floor,
        rescaled_deep=setting.rescaled_floor + 0.5 * (1 + setting.exp_error / 2) ** 2,
        products=setting.products,
        v=setting.v,
        factor=setting.factor if algorithm.exp2 else 0.0,
        factor_error=setting.factor_error,
        grown=0.0,
        shrunk=0.0,
        monotone=setting.is_monotone,
        reciprocal=algorithm.division == "reciprocal",
        rounds_quotient=inner != outer,
        rounds_result=inner == outer or setting.rounds_result,
        reach=math.inf if inner.has_infinity else float(inner.largest) / product,
    )


# Parts -------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """What the entries of a row share; see `intervals._Sum` and `intervals._inverse_deviation`."""

    shift: float
    unit: float
    per_unit: float
    unit_exponent: int
    largest: float
    largest_low: float
    largest_rest: float
    fraction: float
    exponent: int
    outward: float


class _Sum(NamedTuple):
    """The computed sum of a row; see `intervals._Sum`: `excess` and `lack` are its deviation."""

    up: float
    down: float
    at_least: float
    excess: float
    lack: float


@inlined
def two_to(exponent: int) -> float:
    """Return 2^exponent, -1022 <= exponent <= 1023."""
    power: float = float_of((exponent + _BIAS) << FRACTION_BITS)
    return power


@inlined
def _near(exponent: int) -> int:
    """Return an exponent that `two_to` takes: beyond 2^+-1000 nothing is left to decide."""
    return min(max(exponent, -_FARTHEST), _FARTHEST)


@inlined
def ulp_exponent(nearest: float, residual: float, c: Constants) -> int:
    """Return the exponent of ulp(r): the encoding before a power of two belongs to the binade below."""
    bits = pattern(nearest) - np.int64(residual < 0.0)
    binade = (bits >> FRACTION_BITS) - _BIAS
    exponent: int = max(binade, c.outer_emin) - c.outer_precision + 1
    return exponent


@inlined
def in_ulps(value: float, exponent: int) -> float:
    """Return value / 2^exponent for exponents of ulps, -1074 and more."""
    return (value * two_to(-exponent - _SPLIT)) * _TO


@inlined
def _expm1_above(k: float) -> float:
    """`elementary.expm1_above`."""
    z = min(k, STEEP) * 0.0625
    zz = z * z
    e = z * (120.0 + 2.0 * zz) / ((120.0 + 12.0 * zz) - z * (60.0 + zz))
    e = e * (2.0 + e)
    e = e * (2.0 + e)
    e = e * (2.0 + e)
    e = e * (2.0 + e)
    return _BEYOND if k > STEEP else e * _ROUNDED_UP


@inlined
def _exp_parts(t: float) -> tuple[float, int]:
    """`elementary.exp_parts`."""
    t = min(max(t, -REACH), REACH)
    k = np.rint(t * PER_LN2)
    r = (t - k * LN2_HIGH) - k * LN2_LOW
    value = 1.0
    for i in range(EXP_DEGREE):
        value = 1.0 + value * r / (EXP_DEGREE - i)
    return value, int(k)


@inlined
def _leading(value: float, two: bool) -> float:
    """`arguments._leading`: what the highest bit is worth, or the two highest; no more of subnormals."""
    first: float = float_of(pattern(value) & _FIELD)
    second: float = float_of(pattern(value - first) & _FIELD)
    return first + second if two else first


@inlined
def argument_rounding(x: float, shift: float, t: float, c: Constants) -> float:
    """`arguments.rounding_of`; anything where t is infinite."""
    size = abs(t)
    virtual = t - x
    rest = (x - (t - virtual)) + (shift - virtual)
    # Differences too small for the field of half their ulp are exact, in every format.
    least = max(c.inner_emin, c.inner_precision - 1000)
    binade = max((pattern(size) >> FRACTION_BITS) - _BIAS, least)
    adder = two_to(min(binade + 53 - c.inner_precision, _BIAS))
    exact = (rest == 0.0) & ((c.inner_precision == 53) | ((size + adder) - adder == size))
    return 0.0 if exact else two_to(binade - c.inner_precision)


@inlined
def _wrong(x: float, shift: float, t: float, c: Constants) -> float:
    """Return k of `arguments.arguments_of`; anything where t is infinite."""
    size = abs(t)
    k = argument_rounding(x, shift, t, c)
    ulp = two_to(1 - c.inner_precision)
    k = ulp * _leading(size * HALF, c.rescaled) if c.rescaled else k
    small = ((size < two_to(c.inner_emin + 1)) | c.rescaled) & (size > 0.0)
    quantum = two_to(max(c.inner_emin - c.inner_precision, -1022)) * LN2_ABOVE
    quantum = 2.0 * quantum if c.rescaled else quantum
    reached = size + k
    product = ulp * _leading(reached * (c.factor * HALF), c.rescaled) * LN2_ABOVE
    scaled = k + (reached * c.factor_error + product + (quantum if small else 0.0))
    return scaled if c.factor > 0.0 else k


@inlined
def _half_ulp(q: float, exponent: int, c: Constants) -> float:
    """`intervals._half_ulp` of the output format."""
    binade = (pattern(q) >> FRACTION_BITS) - _BIAS
    lowest = c.outer_emin - c.outer_precision + 1 - exponent
    return 0.5 * two_to(_near(max(binade - c.outer_precision + 1, lowest)))


@compiled
def lanes_sum(values: Any, lanes: Any) -> float:
    """Sum by eight lanes: at most n / 8 + 16 roundings for each term."""
    lanes[:] = 0.0
    whole = values.size // 8 * 8
    for first in range(0, whole, 8):
        for lane in range(8):
            lanes[lane] += values[first + lane]
    total = 0.0
    for lane in range(8):
        total += lanes[lane]
    for j in range(whole, values.size):
        total += values[j]
    return total


# Rows --------------------------------------------------------------------------------------


@inlined
def room_for(n: int) -> Room:
    """Return scratch for rows of n entries."""
    return Room(np.empty(n), np.empty(n), np.empty(n), np.empty(8))


@compiled
def _fill(x: Any, nearest: Any, residual: Any, kinds: Any, bounds: Any, c: Constants) -> None:
    room = room_for(x.shape[1])
    for row in range(x.shape[0]):
        if kinds[row] >= _POLICY or _has_none(x, nearest, residual, row, c):
            bounds[row, :] = np.nan
        else:
            _fill_row(x, nearest, residual, row, bounds, row, room, c)


@compiled
def fill_row(
    x: Any, nearest: Any, residual: Any, row: int, bounds: Any, place: int, room: Room, c: Constants
) -> None:
    """Store the bounds of a row with an exact result in row `place` of some; NaN where it may overflow.

    Rows are told by their numbers: to take one out of an array costs as much as the bounds of some entries.
    """
    if _has_none(x, nearest, residual, row, c):
        bounds[place, :] = np.nan
    else:
        _fill_row(x, nearest, residual, row, bounds, place, room, c)


@compiled
def _has_none(x: Any, nearest: Any, residual: Any, row: int, c: Constants) -> bool:
    """Tell whether a row has no bound whatever the errors of its exponentials: cheaper than to make them."""
    if (c.argument == _SHIFTED) & (c.reach == math.inf):
        return False
    top = _top_of(x, row)
    shared = _shared(x, row, nearest[row, top], residual[row, top], top, c)
    beyond: bool = _may_overflow(shared, 0.0, 0.0, c) or _leaves_range(x, row, shared, c)
    return beyond


@inlined
def _fill_row(
    x: Any, nearest: Any, residual: Any, row: int, bounds: Any, place: int, room: Room, c: Constants
) -> None:
    down, up_terms, down_terms = room.down, room.up_terms, room.down_terms
    top = _top_of(x, row)
    shared = _shared(x, row, nearest[row, top], residual[row, top], top, c)
    _exponentials(x, nearest, residual, row, shared, bounds, place, down, up_terms, down_terms, c)
    total = _sum_of(
        lanes_sum(up_terms, room.lanes) * _FROM * shared.outward,
        lanes_sum(down_terms, room.lanes) * _FROM * shared.outward,
        (shared.largest_rest + down_terms[top] * _FROM) * shared.outward,
        shared.outward,
        c,
    )
    if _may_overflow(shared, total.excess, total.lack, c):
        bounds[place, :] = np.nan
    else:
        _quotients(nearest, residual, row, shared, total, bounds, place, down, up_terms, down_terms, c)


@inlined
def _sum_of(up: float, down: float, at_least: float, outward: float, c: Constants) -> _Sum:
    at_least = at_least if c.monotone else math.inf
    excess = (up + c.grown + up * c.grown) * outward
    lack = (down + c.shrunk * (1.0 - min(down, 1.0))) * outward
    return _Sum(up, down, at_least, excess, min(lack, at_least))


@inlined
def _top_of(x: Any, row: int) -> int:
    greatest = key_of(-math.inf)
    for j in range(x.shape[1]):
        greatest = max(greatest, key_of(x[row, j]))
    top = 0
    while key_of(x[row, top]) < greatest:
        top += 1
    return top


@inlined
def zero_of(largest: float, c: Constants) -> float:
    """Return the entry whose argument is exactly 0, in a row with that largest entry."""
    if c.argument == _SHIFTED:
        return largest
    return -c.constant if c.argument == _CONSTANT else -0.0


@inlined
def depth_of(c: Constants) -> float:
    """Return how far below 0 an exponential is at most half the smallest subnormal."""
    depth: float = (c.inner_precision - c.inner_emin) * LN2_ABOVE
    return depth


@inlined
def _shared(x: Any, row: int, nearest: float, residual: float, top: int, c: Constants) -> _Row:
    ulp = two_to(max(ulp_exponent(nearest, residual, c), -_BIAS + 1))
    slack = _TOLERANCE * ulp + 2.0**-52 * nearest
    largest = nearest + residual * ulp
    shift = -zero_of(x[row, top], c)
    fraction, exponent = (1.0, 0) if c.argument == _SHIFTED else _exp_parts(-(x[row, top] + shift))
    outward = 1.0 + 2.0**-40 + x.shape[1] * 2.0**-52
    unit = (largest + slack) * fraction * outward
    largest_low = max(largest - slack, (1.0 - 2.0**-52) / x.shape[1])
    return _Row(
        shift,
        unit,
        outward * outward / (largest_low * fraction),
        exponent + c.inner_emin - c.inner_precision + 1,
        largest + slack,
        largest_low,
        (1.0 - nearest) - residual * ulp + _TOLERANCE * ulp,
        fraction,
        exponent,
        outward,
    )


@inlined
def _exponentials(
    x: Any,
    nearest: Any,
    residual: Any,
    row: int,
    shared: _Row,
    up: Any,
    place: int,
    down: Any,
    up_terms: Any,
    down_terms: Any,
    c: Constants,
) -> None:
    """`intervals._exponentials`, and the same in units of 2^-512 for the sums."""
    depth = depth_of(c)
    for j in range(x.shape[1]):
        exponent = ulp_exponent(nearest[row, j], residual[row, j], c)
        exact = in_ulps(nearest[row, j], exponent) + residual[row, j]
        ulps = exact + _TOLERANCE
        unit = shared.unit * two_to(_near(shared.unit_exponent - exponent))
        t = x[row, j] + shared.shift
        infinite = abs(t) == math.inf
        k = _wrong(x[row, j], shared.shift, t, c)
        k = 0.0 if infinite else k
        masked = x[row, j] == -math.inf
        deep = (t + k <= -depth) & (not masked)
        z = _expm1_above(0.0 if deep else k)
        raised = ulps * (1.0 + z)
        binade = (pattern(raised * shared.per_unit) >> FRACTION_BITS) - _BIAS
        power = shared.unit_exponent - exponent
        step = shared.unit * two_to(_near(power + max(binade - power - c.inner_precision + 1, 0)))
        above, below = (
            _product_of_two(ulps, unit, z, k - t, c) if c.rescaled else _single(ulps, unit, step, z, c)
        )
        deep_above = c.rescaled_deep if c.rescaled else c.exp_ulps + 0.5
        above = max(deep_above * unit - max(exact - _TOLERANCE, 0.0), 0.0) if deep else above
        below = ulps if deep else below
        one = c.one_at_zero & (t == 0.0) & (k == 0.0)
        above = 0.0 if one else above
        below = 0.0 if one else below
        up[place, j] = 0.0 if masked else above
        down[j] = below
        scale = two_to(exponent + _SPLIT)
        up_terms[j] = up[place, j] * scale
        down_terms[j] = below * scale


@inlined
def _single(ulps: float, unit: float, step: float, z: float, c: Constants) -> tuple[float, float]:
    """Lines (U) and (L)."""
    wrong, low = c.exp_ulps * step, ulps / (1.0 + z)
    above = ulps * z + wrong
    wrong = min(wrong, max(c.exp_error * low, c.exp_ulps * unit))
    return above, min(ulps, low * z + wrong)


@inlined
def _product_of_two(ulps: float, unit: float, z: float, depth: float, c: Constants) -> tuple[float, float]:
    """Lines (U2) and (L2)."""
    floor = c.rescaled_floor * unit if depth > -c.inner_emin * LN2_BELOW else 0.0
    above = ulps * z + (ulps * (1.0 + z)) * (c.exp_error * (1.0 + c.exp_error * 0.25)) + floor
    lost = z + min(c.exp_error, 1.0)
    return above, min(ulps, ulps * (lost / (1.0 + z)) + floor)


@inlined
def _may_overflow(shared: _Row, excess: float, lack: float, c: Constants) -> bool:
    """`intervals.may_overflow`; it holds for greater deviations of the sum if it does for some."""
    size = (1.0 + excess) / (shared.fraction * shared.largest_low) * shared.outward
    beyond = not size * two_to(_near(-c.inner_emax - shared.exponent)) <= c.inner_largest
    beyond |= not lack < 1.0
    if c.reciprocal:
        low = (1.0 - lack) / (shared.fraction * shared.largest) / shared.outward
        beyond |= not low * two_to(_near(c.inner_emax - shared.exponent)) >= 1.0
    return beyond


@inlined
def _leaves_range(x: Any, row: int, shared: _Row, c: Constants) -> bool:
    """`arguments.leaves_range`."""
    beyond = False
    if c.reach < math.inf:
        for j in range(x.shape[1]):
            beyond |= (abs(x[row, j] + shared.shift) > c.reach) & (x[row, j] > -math.inf)
    return beyond


@inlined
def _quotients(
    nearest: Any,
    residual: Any,
    row: int,
    shared: _Row,
    total: _Sum,
    up: Any,
    place: int,
    down: Any,
    up_terms: Any,
    down_terms: Any,
    c: Constants,
) -> None:
    """`intervals._by_quotient`: turn the deviations of the exponentials into bounds, in place of `up`."""
    outward = shared.outward
    kept, least = 1.0 - c.shrunk - _ABSOLUTE, total.at_least / (1.0 - total.at_least) * outward
    least = least if total.at_least < 1.0 else math.inf
    more = c.shrunk / kept if kept > 0.0 else math.inf
    kept_inverse = 1.0 / kept if kept > 0.0 else math.inf
    less, grown_inverse = c.grown / (1.0 + c.grown), 1.0 / (1.0 + c.grown)
    rounding = c.v
    if c.reciprocal:
        size = (1.0 + total.excess) / (shared.fraction * shared.largest_low) * outward
        rounding = max(c.v, size * two_to(_near(c.inner_emin - c.inner_precision - shared.exponent)))
    capped = c.monotone & (rounding <= c.v)
    for j in range(nearest.shape[1]):
        exponent = ulp_exponent(nearest[row, j], residual[row, j], c)
        ulps = in_ulps(nearest[row, j], exponent) + residual[row, j] + _TOLERANCE
        ulp = two_to(max(exponent, -_BIAS + 1))
        rest = ((1.0 - nearest[row, j]) - (residual[row, j] - _TOLERANCE) * ulp) * _NEXT
        own_up, own_down = up_terms[j] * _FROM, down_terms[j] * _FROM
        others_up, others_down = max(total.up - own_up, 0.0), max(total.down - own_down, 0.0)
        least_sum = (1.0 + own_up) - others_down - _ABSOLUTE
        above = (up[place, j] * rest + ulps * others_down) / least_sum * kept_inverse + ulps * more
        above = above if least_sum > 0.0 else math.inf
        above = min(above, up[place, j] + (ulps + up[place, j]) * least)
        most_sum = (1.0 - own_down) + others_up - _ABSOLUTE
        below = (down[j] * rest + ulps * others_up) / most_sum * grown_inverse + ulps * less
        below = min(below, ulps) if most_sum > 0.0 else ulps
        if c.rescaled:
            unit = shared.unit * two_to(_near(shared.unit_exponent - exponent))
            half = 0.5 * two_to(_near(c.inner_emin - c.inner_precision + 1 - exponent))
            lost = (half + unit / (1.0 - total.lack)) * (1.0 + c.exp_error)
            above += (ulps + above) * c.products + lost
            below += max(ulps - below, 0.0) * c.products + lost
        if c.reciprocal:
            above += (ulps + above) * rounding
            below += max(ulps - below, 0.0) * min(rounding, 1.0)
        if c.rounds_quotient:
            floor = 0.5 * two_to(_near(c.inner_emin - c.inner_precision + 1 - exponent))
            above += max(c.v * (ulps + above), floor)
            below += max(c.v * max(ulps - below, 0.0), floor)
        if c.rounds_result:
            above += _half_ulp((ulps + above) * _NEXT, exponent, c)
            below += min(_half_ulp(max(ulps - below, 0.0) * _NEXT, exponent, c), 0.5)
        room = in_ulps(1.0 - nearest[row, j], exponent) - residual[row, j] + _TOLERANCE
        above = min(above, room) if capped else above
        up[place, j] = max(above, min(below, ulps)) * outward + 2.0 * _TOLERANCE
