"""The bounds of two-pass algorithms that divide, compiled: loops without branches or gathers.

The specification is `reference.bounds.intervals`, whose notation holds here. The results are the same but for
their last bits: `_Row.outward` covers the roundings here, as `OUTWARD` does there.

Powers of two are made from their exponent fields. Those below 2^-1022 are split into a
factor 2^512 and the rest, so that float64's own subnormals stay exact.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.bounds.elementary import (
    EXP_DEGREE,
    LN2_ABOVE,
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
from reference.rows import RowKind
from reference.truth import RESIDUAL_TOLERANCE, Truth

__all__ = ["fill_bounds"]

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


class Constants(NamedTuple):
    """A `Setting` as kernels take it; `inner` and `outer` stand for arithmetic and output."""

    argument: int
    constant: float
    inner_precision: int
    inner_emin: int
    inner_emax: int
    inner_largest: float
    outer_precision: int
    outer_emin: int
    exp_error: float
    exp_ulps: float
    v: float
    scaling: float
    grown: float
    shrunk: float
    monotone: bool
    reciprocal: bool
    rounds_quotient: bool
    rounds_result: bool
    reach: float


def fill_bounds(x: NDArray[np.float64], truth: Truth, setting: Setting, bounds: NDArray[np.float64]) -> None:
    """Store the bounds of a two-pass algorithm that divides; NaN where there is none."""
    constants = _constants_of(setting, x.shape[1])
    if constants is None:
        bounds[:] = np.nan
        return
    _fill(x, truth.nearest, truth.residual, truth.kinds, bounds, constants)


def _constants_of(setting: Setting, n: int) -> Constants | None:
    algorithm, inner, outer = setting.algorithm, setting.arithmetic, setting.output
    growth = sum_growth(algorithm, n, inner.precision)
    if growth is None:
        return None
    product = LOG2E_ABOVE * (1 + 2 * setting.v) if setting.scaling else 1.0
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
        v=setting.v,
        scaling=setting.scaling,
        grown=growth[0],
        shrunk=growth[1],
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
    unit_exponent: int
    largest: float
    largest_low: float
    largest_rest: float
    fraction: float
    exponent: int
    outward: float


@inlined
def _two_to(exponent: int) -> float:
    """Return 2^exponent, -1022 <= exponent <= 1023."""
    power: float = float_of((exponent + _BIAS) << FRACTION_BITS)
    return power


@inlined
def _near(exponent: int) -> int:
    """Return an exponent that `_two_to` takes: beyond 2^+-1000 nothing is left to decide."""
    return min(max(exponent, -_FARTHEST), _FARTHEST)


@inlined
def _ulp_exponent(nearest: float, residual: float, c: Constants) -> int:
    """Return the exponent of ulp(r): the encoding before a power of two belongs to the binade below."""
    bits = pattern(nearest) - np.int64(residual < 0.0)
    binade = (bits >> FRACTION_BITS) - _BIAS
    exponent: int = max(binade, c.outer_emin) - c.outer_precision + 1
    return exponent


@inlined
def _in_ulps(value: float, exponent: int) -> float:
    """Return value / 2^exponent for exponents of ulps, -1074 and more."""
    return (value * _two_to(-exponent - _SPLIT)) * _TO


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
def _wrong(x: float, shift: float, t: float, c: Constants) -> float:
    """Return k: `arguments._half_ulp`, and what exp2 adds; anything where t is infinite."""
    size = abs(t)
    virtual = t - x
    rest = (x - (t - virtual)) + (shift - virtual)
    # Differences too small for the field of half their ulp are exact, in every format.
    least = max(c.inner_emin, c.inner_precision - 1000)
    binade = max((pattern(size) >> FRACTION_BITS) - _BIAS, least)
    adder = _two_to(min(binade + 53 - c.inner_precision, _BIAS))
    exact = (rest == 0.0) & ((c.inner_precision == 53) | ((size + adder) - adder == size))
    k = 0.0 if exact else _two_to(binade - c.inner_precision)
    small = (size < _two_to(c.inner_emin + 1)) & (size > 0.0)
    quantum = _two_to(max(c.inner_emin - c.inner_precision, -1022)) * LN2_ABOVE
    scaled = k + ((size + k) * c.scaling + (quantum if small else 0.0))
    return scaled if c.scaling > 0.0 else k


@inlined
def _half_ulp(q: float, exponent: int, c: Constants) -> float:
    """`intervals._half_ulp` of the output format."""
    binade = (pattern(q) >> FRACTION_BITS) - _BIAS
    lowest = c.outer_emin - c.outer_precision + 1 - exponent
    return 0.5 * _two_to(_near(max(binade - c.outer_precision + 1, lowest)))


@compiled
def _lanes_sum(values: Any, lanes: Any) -> float:
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


@compiled
def _fill(x: Any, nearest: Any, residual: Any, kinds: Any, bounds: Any, c: Constants) -> None:
    n = x.shape[1]
    down, up_terms, down_terms, lanes = np.empty(n), np.empty(n), np.empty(n), np.empty(8)
    for row in range(x.shape[0]):
        if kinds[row] >= _POLICY:
            bounds[row, :] = np.nan
            continue
        top = _top_of(x[row])
        shared = _shared(x[row], nearest[row, top], residual[row, top], top, c)
        up = bounds[row]
        _exponentials(x[row], nearest[row], residual[row], shared, up, down, up_terms, down_terms, c)
        excess = _lanes_sum(up_terms, lanes) * _FROM * shared.outward
        lack = _lanes_sum(down_terms, lanes) * _FROM * shared.outward
        excess = (excess + c.grown + excess * c.grown) * shared.outward
        lack = (lack + c.shrunk * (1.0 - min(lack, 1.0))) * shared.outward
        if c.monotone:
            lack = min(lack, (shared.largest_rest + down_terms[top] * _FROM) * shared.outward)
        if _impossible(x[row], shared, excess, lack, c):
            bounds[row, :] = np.nan
        else:
            _quotients(nearest[row], residual[row], shared, excess, lack, up, down, c)


@inlined
def _top_of(x: Any) -> int:
    top = 0
    for j in range(1, x.size):
        top = j if x[j] > x[top] else top
    return top


@inlined
def _shared(x: Any, nearest: float, residual: float, top: int, c: Constants) -> _Row:
    ulp = _two_to(max(_ulp_exponent(nearest, residual, c), -_BIAS + 1))
    slack = _TOLERANCE * ulp + 2.0**-52 * nearest
    largest = nearest + residual * ulp
    shift = 0.0
    if c.argument == _CONSTANT:
        shift = c.constant
    elif c.argument == _SHIFTED:
        shift = -x[top]
    fraction, exponent = _exp_parts(0.0 if c.argument == _SHIFTED else -(x[top] + shift))
    outward = 1.0 + 2.0**-40 + x.size * 2.0**-52
    return _Row(
        shift,
        (largest + slack) * fraction * outward,
        exponent + c.inner_emin - c.inner_precision + 1,
        largest + slack,
        max(largest - slack, (1.0 - 2.0**-52) / x.size),
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
    shared: _Row,
    up: Any,
    down: Any,
    up_terms: Any,
    down_terms: Any,
    c: Constants,
) -> None:
    """`intervals._exponentials`, and the same in units of 2^-512 for the sums."""
    depth = (c.inner_precision - c.inner_emin) * LN2_ABOVE
    for j in range(x.size):
        exponent = _ulp_exponent(nearest[j], residual[j], c)
        exact = _in_ulps(nearest[j], exponent) + residual[j]
        ulps = exact + _TOLERANCE
        unit = shared.unit * _two_to(_near(shared.unit_exponent - exponent))
        t = x[j] + shared.shift
        infinite = abs(t) == math.inf
        k = _wrong(x[j], shared.shift, t, c)
        k = 0.0 if infinite else k
        masked = x[j] == -math.inf
        deep = (t + k <= -depth) & (not masked)
        z = _expm1_above(0.0 if deep else k)
        floor = c.exp_ulps * unit
        above = ulps * z + max(c.exp_error * (ulps * (1.0 + z)), floor)
        low = ulps / (1.0 + z)
        below = min(ulps, low * z + max(c.exp_error * low, floor))
        above = max(floor + 0.5 * unit - max(exact - _TOLERANCE, 0.0), 0.0) if deep else above
        below = ulps if deep else below
        up[j] = 0.0 if masked else above
        down[j] = below
        scale = _two_to(exponent + _SPLIT)
        up_terms[j] = up[j] * scale
        down_terms[j] = below * scale


@inlined
def _impossible(x: Any, shared: _Row, excess: float, lack: float, c: Constants) -> bool:
    """`intervals._may_overflow` and `arguments.leaves_range`."""
    size = (1.0 + excess) / (shared.fraction * shared.largest_low) * shared.outward
    beyond = not size * _two_to(_near(-c.inner_emax - shared.exponent)) <= c.inner_largest
    beyond |= not lack < 1.0
    if c.reciprocal:
        low = (1.0 - lack) / (shared.fraction * shared.largest) / shared.outward
        beyond |= not low * _two_to(_near(c.inner_emax - shared.exponent)) >= 1.0
    if c.reach < math.inf:
        for j in range(x.size):
            beyond |= (abs(x[j] + shared.shift) > c.reach) & (x[j] > -math.inf)
    return beyond


@inlined
def _quotients(
    nearest: Any, residual: Any, shared: _Row, excess: float, lack: float, up: Any, down: Any, c: Constants
) -> None:
    """`intervals._by_quotient`: turn the deviations of the exponentials into bounds, in place of `up`."""
    more = lack / (1.0 - lack) * shared.outward
    less = min(excess / (1.0 + excess) * shared.outward, 1.0)
    rounding = c.v
    if c.reciprocal:
        size = (1.0 + excess) / (shared.fraction * shared.largest_low) * shared.outward
        rounding = max(c.v, size * _two_to(_near(c.inner_emin - c.inner_precision - shared.exponent)))
        more = (more + rounding + more * rounding) * shared.outward
        less = min(1.0, (less + min(rounding, 1.0) * (1.0 - less)) * shared.outward)
    capped = c.monotone & (rounding <= c.v)
    for j in range(nearest.size):
        exponent = _ulp_exponent(nearest[j], residual[j], c)
        ulps = _in_ulps(nearest[j], exponent) + residual[j] + _TOLERANCE
        above = up[j] + (ulps + up[j]) * more
        below = down[j] + (ulps - down[j]) * less
        if c.rounds_quotient:
            floor = 0.5 * _two_to(_near(c.inner_emin - c.inner_precision + 1 - exponent))
            above += max(c.v * (ulps + above), floor)
            below += max(c.v * max(ulps - below, 0.0), floor)
        if c.rounds_result:
            above += _half_ulp((ulps + above) * _NEXT, exponent, c)
            below += min(_half_ulp(max(ulps - below, 0.0) * _NEXT, exponent, c), 0.5)
        room = _in_ulps(1.0 - nearest[j], exponent) - residual[j] + _TOLERANCE
        above = min(above, room) if capped else above
        up[j] = max(above, min(below, ulps)) * shared.outward + 2.0 * _TOLERANCE
