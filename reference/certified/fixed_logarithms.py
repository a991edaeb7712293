"""What double-doubles leave open of log_softmax and logsumexp, in 192 binary places (`fixed_point`).

That is, above all, a logsumexp that cancels: of log-probabilities it is 2^-53 or so, and an ulp of it 2^-106.
Let y be near Y = log sum exp(s x_j), the sum going over the sink too. Then

    Y = y + log(1 + D) = y + D - D^2 / 2,   D = sum exp(s x_j - y) - 1,

within 2^-193 where |D| <= 2^-64. y is any number: a first guess is bettered by its own D, which squares what
it is wrong by, and D itself tells whether it is good enough. A log_softmax is s x_i - Y.

In units of 2^-192: s x_j = p + e exactly (fma; below 2^-900 both are nothing here), each of which is rounded
by 1; p + e - y is exact; exp(..) / 4 is off by 22 + 0.51 * 2, or by 1.2 where it is taken for 0. That is
below 93 for each entry of the sum, and for the sink. The last line adds 1 + 3 and, for log_softmax, 2. So
100 (n + 2) + 10 is enough. That decides all results but those below 2^-100 or so, those within it of a number
or a midpoint, and those of rows that reach 2^59.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from reference.certified.compiled import compiled, fma, inlined
from reference.certified.double_log import log_of_sum
from reference.certified.doubledouble import SCALE, weight
from reference.certified.fixed_point import (
    PLACES,
    Fixed,
    Fraction192,
    add,
    exp_below,
    is_negative,
    magnitude,
    negated,
    of_float,
    parts_at,
    product,
    top_bit,
)
from reference.certified.layout import Outputs, Rounding, classify_row
from reference.certified.log_rounding import WIDEST

__all__ = ["decide_in_fixed_point"]

_NEG_INF: Final = -math.inf
_FARTHEST: Final = 2.0**60
_DOWN: Final = 2.0**-SCALE
_PASSES: Final = 4
_RESIDUAL_ERROR: Final = 2.0**-50
"""More than the rounding of a residual next to 1/2."""

_ZERO: Final = np.uint64(0)
_ALL: Final = np.uint64(2**64 - 1)
_ONE: Final = np.uint64(1)
_TWO: Final = np.uint64(2)
_LEFT: Final = np.uint64(62)
_TOP: Final = np.uint64(63)


@compiled
def decide_in_fixed_point(
    x: Any, scale: float, sink: float, outputs: Outputs, rounding: Rounding, reduces: bool
) -> None:
    """Decide what is open of the rows s x with a sink, NaN standing for none, and count what is left."""
    has_sink = not np.isnan(sink)
    error = 100.0 * (x.shape[1] + 2) + 10.0
    for i in np.flatnonzero(outputs.undecided):
        top, _ = classify_row(x, i)
        most = scale * top
        if has_sink:
            most = max(most, sink)
        if not abs(most) < 0.5 * _FARTHEST:
            continue
        log, known = _log_sum_exp(x, i, scale, sink, has_sink, most)
        if not known:
            continue
        left = 0
        for j in range(outputs.residual.shape[1]):
            if not np.isnan(outputs.residual[i, j]):
                continue
            value, factor = (x[i, j], scale) if j < x.shape[1] else (sink, 1.0)
            if reduces:
                outputs.nearest[i, j], outputs.residual[i, j] = _rounded(log, error, rounding)
            elif abs(factor * value) < _FARTHEST:
                outputs.nearest[i, j], outputs.residual[i, j] = _rounded(
                    add(_multiple(factor, value), negated(log)), error, rounding
                )
            left += int(np.isnan(outputs.residual[i, j]))
        outputs.undecided[i] = left


@inlined
def _multiple(factor: float, value: float) -> Fixed:
    """Return factor value, within 2 units."""
    head = factor * value
    return add(of_float(head), of_float(fma(factor, value, -head)))


@compiled
def _log_sum_exp(
    x: Any, i: Any, scale: float, sink: float, has_sink: bool, most: float
) -> tuple[Fixed, bool]:
    """Return log sum exp(s x_j) of a row, and whether it is known."""
    total = weight(sink, most)[0] if has_sink else 0.0
    for j in range(x.shape[1]):
        total += weight(scale * x[i, j], most)[0]
    others = total * _DOWN - 1.0
    log, low = log_of_sum(1, others, 0.0) if others > 0.0 else (0.0, 0.0)
    guess = add(of_float(most), add(of_float(log), of_float(low)))
    for _ in range(_PASSES):
        more, known = _excess(x, i, scale, sink, has_sink, negated(guess))
        if not known:
            break
        if ((more.whole == _ZERO) | (more.whole == _ALL)) & (more.high == more.whole):
            return add(guess, _log1p(more)), True
        guess = add(guess, more)
    return guess, False


@inlined
def _excess(x: Any, i: Any, scale: float, sink: float, has_sink: bool, less: Fixed) -> tuple[Fixed, bool]:
    """Return the sum of all exponentials of a row, less 1, and whether it was computed and below 1."""
    total, known = Fixed(_ZERO, _ZERO, _ZERO, _ZERO), True
    # What is lower is nothing beside one of half that size, and no number in fixed point.
    if has_sink and sink > -_FARTHEST:
        total, known = exp_below(add(of_float(sink), less))
    for j in range(x.shape[1]):
        if scale * x[i, j] > -_FARTHEST:
            power, fine = exp_below(add(_multiple(scale, x[i, j]), less))
            total, known = add(total, power), known & fine
    high = (total.high << _TWO) | (total.middle >> _LEFT)
    middle = (total.middle << _TWO) | (total.low >> _LEFT)
    whole = (total.whole << _TWO) | (total.high >> _LEFT)
    return Fixed(whole - _ONE, high, middle, total.low << _TWO), known & (whole < _TWO)


@inlined
def _log1p(d: Fixed) -> Fixed:
    """Return log(1 + d) of |d| <= 2^-64, within 4 units and 2^-193."""
    size = magnitude(d)
    fraction = Fraction192(size.high, size.middle, size.low)
    square = product(fraction, fraction)
    low = (square.low >> _ONE) | (square.middle << _TOP)
    half = Fixed(_ZERO, square.high >> _ONE, (square.middle >> _ONE) | (square.high << _TOP), low)
    return add(d, negated(half))


@inlined
def _rounded(r: Fixed, error: float, rounding: Rounding) -> tuple[float, float]:
    """Return RN(r) and the residual of r, which is off by so many units; NaN where that leaves it open."""
    size, sign = magnitude(r), -1.0 if is_negative(r) else 1.0
    place = max(top_bit(size), rounding.emin + PLACES) - rounding.precision + 1
    if place <= 0:
        return 0.0, np.nan
    whole, rest = parts_at(size, place)
    width = math.ldexp(error, -place)
    unsure = (abs(rest) <= width) | (0.5 - abs(rest) <= width + _RESIDUAL_ERROR) | (width > WIDEST)
    nearest = sign * math.ldexp(whole, place - PLACES) + 0.0
    return nearest, (np.nan if unsure else sign * rest + 0.0)
