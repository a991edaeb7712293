"""The exact softmax in mpmath: slow, plain, and the judge of the fast path.

Every value is an *enclosure*: integers lo <= hi and an exponent e with
lo * 2^e <= v <= hi * 2^e. Only one inexact primitive is trusted:

    mpmath's exp at precision wp has relative error at most 2^(3 - wp).      (E)

mpmath works with 14 guard bits beside those that its reduction by ln 2 and its squarings
use up, so its error is little more than that of its last rounding, 2^-wp. (E) leaves a factor of
eight, and the tests hold it against Arb. Subtractions x - max are exact; sums and
quotients are integers, rounded outward. Nothing uses mpmath's global context.

For one row with maximum x_1 of multiplicity c, S = c + t, t the sum of exp(x_j - x_1)
over the other finite entries:

* t = 0: r = 1/c, a rational number, rounded as one;
* t > 0: no r is algebraic (Lindemann-Weierstrass), so r equals no end of a rational
  enclosure and every enclosure may be read as an *open* interval. Raising the
  precision therefore decides any question about rational numbers. The maximum's own r = 1/(c + t) keeps the
  exact upper end 1/c however small t is, so that ties at c = 2^k never ask for more precision.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple

import mpmath
import numpy as np
from mpmath.libmp import MPZ_ONE, from_float, from_man_exp, mpf_exp, mpf_sub
from numpy.typing import ArrayLike, NDArray

from reference.formats import FloatFormat
from reference.inputs import logit_rows
from reference.model import Truth
from reference.rows import RowKind, row_kinds

__all__ = ["softmax", "truth_mpmath"]

_EXP_SLACK: Final = 16
"""(E) in units of the last place of a significand of wp + 1 bits: 2^(3 - wp) * 2^(wp + 1)."""

_RESIDUAL_BITS: Final = 40
"""A residual is known to 2^-40 ulp at least."""

_GUARD_BITS: Final = 8
"""Bits that the slack of one exp, one sum and one quotient can use up (see `_quotient`)."""

_TAIL_BITS: Final = 2200
"""An exp below 2^-(2200 + wp) is only bounded: over float64's smallest subnormal, 2^-1074,
it is still below float64's range, so no residual can show it."""

_SMALLEST: Final = math.ulp(0.0)

_CONSTANTS: Final = threading.Lock()
"""mpmath memoises ln 2 as a value and a precision, one after the other (`constant_memo` in
mpmath.libmp.libelefun): a second thread could read the one of them before, the other after."""


class _Enclosure(NamedTuple):
    """The numbers from lo * 2^exponent to hi * 2^exponent."""

    lo: int
    hi: int
    exponent: int


class _Rounded(NamedTuple):
    """RN(r) and (r - RN(r)) / ulp(r)."""

    nearest: float
    residual: float


_Weights = dict[float, _Enclosure]


def softmax(x: ArrayLike, bits: int = 200) -> NDArray[np.object_]:
    """Return the exact softmax along the last axis, as mpmath numbers.

    Each result has a relative error of at most 2^-bits: the quotient's enclosure is
    narrower than 2^-(bits + 1) of its lower end, which is checked, its middle is taken, and rounded
    to bits + 2 bits. Masked entries are exactly 0. The numbers belong to a context of
    their own of precision `bits`.

    Args:
        x: logits of shape (..., n): an array of a format of `FORMATS`, or anything that
            `numpy.asarray` takes and float64 holds exactly.
        bits: how many bits are right, at least 1.

    Raises:
        ValueError: a row is empty or has no exact result (NaN, +inf, all -inf), a logit
            is not exact in float64, or bits < 1.
    """
    if bits < 1:
        raise ValueError(f"bits {bits}: a result needs at least 1 bit; the default is 200")
    rows, shape = logit_rows(x)
    _refuse_policy_rows(rows, shape)
    result = np.empty(rows.shape, dtype=object)
    for i, row in enumerate(rows.tolist()):
        result[i] = _softmax_row(row, bits)
    return result.reshape(shape)


def truth_mpmath(x: NDArray[np.float64], fmt: FloatFormat) -> Truth:
    """Return RN(r) and residuals in `fmt` for (rows, n) logits, raising precision until decided.

    Ziv's strategy (ACM TOMS 17, 1991): every element's rounding, binade and residual
    sign are decided by an enclosure, and the residual is known to 2^-40 ulp.

    Raises:
        ValueError: the rows have no entries.
    """
    kinds = row_kinds(x)
    nearest = np.full(x.shape, np.nan)
    residual = np.full(x.shape, np.nan)
    for i in np.flatnonzero(kinds < RowKind.NAN):
        row = x[i].tolist()
        judged = _judge_row(Counter(row), fmt)
        nearest[i] = [judged[v].nearest for v in row]
        residual[i] = [judged[v].residual for v in row]
    return Truth(fmt, nearest, residual, kinds)


def _refuse_policy_rows(rows: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    kinds = row_kinds(rows)
    for i in np.flatnonzero(kinds >= RowKind.NAN)[:1]:
        index = ", ".join(map(str, np.unravel_index(i, shape[:-1]))) if len(shape) > 1 else "0"
        what = {RowKind.NAN: "a NaN", RowKind.POS_INF: "+inf"}.get(RowKind(kinds[i]), "nothing but -inf")
        raise ValueError(
            f"row {index} holds {what}: softmax is exact only where all entries are finite or some,"
            " not all, are -inf; leave the row out"
        )


@lru_cache(maxsize=16)
def _context(bits: int) -> Any:
    context = mpmath.MPContext()
    context.prec = bits
    return context


def _softmax_row(row: list[float], bits: int) -> list[Any]:
    counts = Counter(row)
    masked = counts.pop(-math.inf, 0)
    wp = bits + _GUARD_BITS + len(row).bit_length()
    weights = _weights(counts, wp, tail=math.inf)
    total = _total(weights, counts, wp)
    make = _context(bits).make_mpf
    values = {v: make(_middle(_quotient(w, total, wp), bits)) for v, w in weights.items()}
    if masked:
        values[-math.inf] = _context(bits).mpf(0)
    return [values[v] for v in row]


def _middle(r: _Enclosure, bits: int) -> Any:
    assert (r.hi - r.lo) << (bits + 1) <= r.lo, "working precision too low for the stated bound"
    return from_man_exp(r.lo + r.hi, r.exponent - 1, bits + 2, "n")


# Enclosures ------------------------------------------------------------------------------


def _weights(counts: Counter[float], wp: int, tail: float) -> _Weights:
    """Enclose exp(v - max) for every distinct finite logit; beyond `tail` only bound it."""
    top = max(counts)
    raw_top = from_float(top)
    weights = {}
    for v in counts:
        if v == top:
            weights[v] = _Enclosure(MPZ_ONE << wp, MPZ_ONE << wp, -wp)
        elif v - top < -tail:
            weights[v] = _Enclosure(0, 1, -_tail_exponent(wp))
        else:
            weights[v] = _exp(mpf_sub(from_float(v), raw_top), wp)
    return weights


def _tail_exponent(wp: int) -> int:
    return _TAIL_BITS + wp


def _tail(wp: int) -> float:
    """Return a d with exp(-d) < 2^-tail_exponent: 0.7 is above ln 2."""
    return 0.7 * _tail_exponent(wp)


def _exp(d: Any, wp: int) -> _Enclosure:
    """Enclose exp(d), d < 0, by (E) and a significand of wp + 1 bits, so that 1 still counts in 2^-wp."""
    with _CONSTANTS:
        _, significand, exponent, width = mpf_exp(d, wp, "n")
    shift = wp + 1 - width
    significand <<= shift
    return _Enclosure(significand - _EXP_SLACK, significand + _EXP_SLACK, exponent - shift)


def _total(weights: _Weights, counts: Counter[float], wp: int) -> _Enclosure:
    """Enclose the sum of all weights in units of 2^-wp; the maximum's part is exact."""
    lo = hi = 0
    for v, w in weights.items():
        shift = -w.exponent - wp
        if shift > 2 * wp:  # count * hi < 2^(2 wp), so the term is below one unit
            hi += 1
        else:
            lo += counts[v] * w.lo >> shift
            hi -= -counts[v] * w.hi >> shift
    return _Enclosure(lo, hi, -wp)


def _quotient(w: _Enclosure, total: _Enclosure, wp: int) -> _Enclosure:
    """Enclose w / total.

    Its relative width in units of 2^-wp is at most 16 (w, by (E) on both sides) + 16 + m
    (the total of m distinct logits, which is at least 1) + 4 (two outward roundings of
    quotients of wp bits or more), to first order: below 2^(6 + bitlength(m)).
    """
    shift = total.hi.bit_length()
    lo = (w.lo << shift) // total.hi
    hi = -((-w.hi << shift) // total.lo)
    return _Enclosure(lo, hi, w.exponent + wp - shift)


# Rounding ---------------------------------------------------------------------------------


def _judge_row(counts: Counter[float], fmt: FloatFormat) -> dict[float, _Rounded]:
    """Map each logit of a row to its (RN(r), residual)."""
    masked = counts.pop(-math.inf, 0)
    if len(counts) == 1:
        judged = {v: _round_reciprocal(c, fmt) for v, c in counts.items()}
    else:
        judged = _judge_transcendental(counts, fmt)
    if masked:
        judged[-math.inf] = _Rounded(0.0, 0.0)
    return judged


@lru_cache(maxsize=4096)
def _round_reciprocal(count: int, fmt: FloatFormat) -> _Rounded:
    r = Fraction(1, count)
    nearest = fmt.decode(fmt.round(r))
    assert nearest is not None
    return _Rounded(float(nearest), float((r - nearest) / fmt.ulp(r)))


def _judge_transcendental(counts: Counter[float], fmt: FloatFormat) -> dict[float, _Rounded]:
    wp = fmt.precision + _RESIDUAL_BITS + _GUARD_BITS + counts.total().bit_length()
    judged: dict[float, _Rounded] = {}
    while len(judged) < len(counts):
        weights = _weights(counts, wp, _tail(wp))
        total = _total(weights, counts, wp)
        for v in counts.keys() - judged.keys():
            rounded = _round_open(_quotient(weights[v], total, wp), fmt)
            if rounded:
                judged[v] = rounded
        wp *= 2
    return judged


def _round_open(r: _Enclosure, fmt: FloatFormat) -> _Rounded | None:
    """Round a number strictly inside an enclosure; None where the enclosure is too wide.

    In the binade of the upper end, the format's numbers, their midpoints and the binade's
    own lower edge are multiples of half an ulp: within one such step everything is decided.
    """
    exponent = max((r.hi - 1).bit_length() - 1 + r.exponent, fmt.emin)
    ulp_exponent = exponent - fmt.precision + 1
    ulp_shift = ulp_exponent - r.exponent
    if (r.hi - r.lo).bit_length() + _RESIDUAL_BITS > ulp_shift:
        return None
    step = r.lo >> (ulp_shift - 1)
    if (r.hi - 1) >> (ulp_shift - 1) != step:
        return None
    return _within_step(r, (step + 1) >> 1, ulp_exponent, ulp_shift)


def _within_step(r: _Enclosure, significand: int, ulp_exponent: int, ulp_shift: int) -> _Rounded:
    excess = int(r.lo + r.hi - (significand << (ulp_shift + 1)))
    size = abs(excess) / (1 << (ulp_shift + 1))  # int / int rounds once
    residual = math.copysign(max(size, _SMALLEST), -1 if excess < 0 else 1)
    return _Rounded(math.ldexp(int(significand), ulp_exponent), residual)
