"""Numbers between two integers times a power of two: what the oracles compute with.

An `Enclosure` is integers lo <= hi and an exponent e with lo * 2^e <= v <= hi * 2^e. Two inexact primitives
are trusted:

    mpmath's exp at precision wp has relative error at most 2^(3 - wp),          (E)
    and so has its log, of arguments next to 1 too.                              (L)

mpmath works with 14 guard bits beside those that its reduction by ln 2 and its squarings use up, and its log
with 20 beside those that cancel, so the error of either is little more than that of its last rounding, 2^-wp.
(E) and (L) leave a factor of eight, and the tests hold them against Arb. Subtractions x - max are exact; sums
and quotients are integers, rounded outward. Nothing uses mpmath's global context.

Where r is known to be no rational number, it equals no end of a rational enclosure, and every enclosure may
be read as an *open* interval: raising the precision then decides any question about rational numbers.
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
from mpmath.libmp import MPZ_ONE, from_float, from_man_exp, mpf_exp, mpf_log, mpf_sub
from numpy.typing import NDArray

from reference.formats import FloatFormat, floor_log2
from reference.fused import Exact
from reference.row_kinds import RowKind, row_kinds

__all__ = [
    "GUARD_BITS",
    "RESIDUAL_BITS",
    "Enclosure",
    "Rounded",
    "Weights",
    "context",
    "log_between",
    "middle",
    "raw",
    "refuse_kinds",
    "refuse_policy_rows",
    "rest",
    "round_exactly",
    "round_open",
    "tail",
    "total",
    "weigh",
]

_SLACK: Final = 16
"""(E) and (L) in units of the last place of a significand of wp + 1 bits: 2^(3 - wp) * 2^(wp + 1)."""

RESIDUAL_BITS: Final = 40
"""A residual is known to 2^-40 ulp at least."""

GUARD_BITS: Final = 8
"""Bits that the slack of one exp, one sum and one quotient or logarithm can use up."""

_TAIL_BITS: Final = 2200
"""An exp below 2^-(2200 + wp) is only bounded: over float64's smallest subnormal, 2^-1074,
it is still below float64's range, so no residual can show it."""

_SMALLEST: Final = math.ulp(0.0)
_BEYOND: Final = 1024
"""Float64 ends at 2^1024, for which its infinity stands; beyond, ulps are those of its binade."""

_CONSTANTS: Final = threading.Lock()
"""mpmath memoises ln 2 as a value and a precision, one after the other (`constant_memo` in
mpmath.libmp.libelefun), and logarithms: a second thread could read one of them before, the other after."""


class Enclosure(NamedTuple):
    """The numbers from lo * 2^exponent to hi * 2^exponent."""

    lo: int
    hi: int
    exponent: int


class Rounded(NamedTuple):
    """RN(r) and (r - RN(r)) / ulp(r)."""

    nearest: float
    residual: float

    def negated(self) -> Rounded:
        """Return the same of -r; a zero stays +0."""
        return Rounded(0.0 - self.nearest, 0.0 - self.residual)


Weights = dict[Exact, Enclosure]


def refuse_policy_rows(rows: NDArray[np.float64], shape: tuple[int, ...], op: str) -> None:
    """Refuse rows without an exact result, by a ValueError that names the first."""
    refuse_kinds(row_kinds(rows), shape, op)


def refuse_kinds(kinds: NDArray[np.uint8], shape: tuple[int, ...], op: str) -> None:
    """Refuse rows of a kind without an exact result, by a ValueError that names the first."""
    for i in np.flatnonzero(kinds >= RowKind.NAN)[:1]:
        index = ", ".join(map(str, np.unravel_index(i, shape[:-1]))) if len(shape) > 1 else "0"
        what = {RowKind.NAN: "a NaN", RowKind.POS_INF: "+inf"}.get(RowKind(kinds[i]), "nothing but -inf")
        raise ValueError(
            f"row {index} holds {what}: {op} is exact only where all entries are finite or some,"
            " not all, are -inf; leave the row out"
        )


@lru_cache(maxsize=16)
def context(bits: int) -> Any:
    """Return an mpmath context of that precision, shared with nobody but callers of this function."""
    own = mpmath.MPContext()
    own.prec = bits
    return own


def middle(r: Enclosure, bits: int) -> Any:
    """Return the middle of a narrow enclosure of a positive number, rounded to bits + 2 bits."""
    assert (r.hi - r.lo) << (bits + 1) <= r.lo, "working precision too low for the stated bound"
    return from_man_exp(r.lo + r.hi, r.exponent - 1, bits + 2, "n")


# Exponentials, their sums, logarithms --------------------------------------------------------


def weigh(counts: Counter[Exact], wp: int, tail: float) -> Weights:
    """Enclose exp(v - max) for every distinct finite logit; beyond `tail` only bound it."""
    top = max(counts)
    raw_top = raw(top)
    weights = {}
    for v in counts:
        if v == top:
            weights[v] = Enclosure(MPZ_ONE << wp, MPZ_ONE << wp, -wp)
        elif v - top < -tail:
            weights[v] = Enclosure(0, 1, -_tail_exponent(wp))
        else:
            weights[v] = _exp(mpf_sub(raw(v), raw_top), wp)
    return weights


def raw(value: Exact) -> Any:
    """Return a number as mpmath's raw numbers hold it, exactly."""
    if isinstance(value, Fraction):
        return from_man_exp(value.numerator, 1 - value.denominator.bit_length())
    return from_float(value)


def _tail_exponent(wp: int) -> int:
    return _TAIL_BITS + wp


def tail(wp: int) -> float:
    """Return a d with exp(-d) < 2^-tail_exponent: 0.7 is above ln 2."""
    return 0.7 * _tail_exponent(wp)


def _exp(d: Any, wp: int) -> Enclosure:
    """Enclose exp(d), d < 0, by (E)."""
    with _CONSTANTS:
        found = mpf_exp(d, wp, "n")
    return _widened(found, wp)


def _widened(number: Any, wp: int) -> Enclosure:
    """Enclose a positive number by (E) or (L) and a significand of wp + 1 bits, so that 1 counts in 2^-wp."""
    _, significand, exponent, width = number
    shift = wp + 1 - width
    significand <<= shift
    return Enclosure(significand - _SLACK, significand + _SLACK, exponent - shift)


def total(weights: Weights, counts: Counter[Exact], wp: int) -> Enclosure:
    """Enclose the sum of all weights in units of 2^-wp; the maximum's part is exact."""
    return _sum(weights, counts, -wp, wp)


def rest(weights: Weights, counts: Counter[Exact], wp: int) -> Enclosure:
    """Enclose the sum of all weights but those of the maximum, in units of 2^-wp of the greatest of them."""
    top = max(counts)
    others = {v: w for v, w in weights.items() if v != top}
    if not others:
        return Enclosure(0, 0, -wp)
    return _sum(others, counts, max(w.exponent for w in others.values()), wp)


def _sum(weights: Weights, counts: Counter[Exact], exponent: int, wp: int) -> Enclosure:
    lo = hi = 0
    for v, w in weights.items():
        shift = exponent - w.exponent
        if shift > 2 * wp:  # count * hi < 2^(2 wp), so the term is below one unit
            hi += 1
        else:
            lo += counts[v] * w.lo >> shift if shift >= 0 else counts[v] * w.lo << -shift
            hi -= -counts[v] * w.hi >> shift if shift >= 0 else -counts[v] * w.hi << -shift
    return Enclosure(lo, hi, exponent)


def log_between(count: int, more: Enclosure, wp: int) -> Enclosure:
    """Enclose log(count + v), v >= 0 lying in `more`.

    For count = 1 and v < 2^-wp it lies between v - v^2 / 2 and v. Elsewhere it grows with v, so its ends are
    those of `more`, by (L), and as well known relatively as v is: v / ((count + v) log(count + v)) <= 1.
    """
    if count == 1 and more.hi.bit_length() + more.exponent <= -wp:
        return Enclosure(max(more.lo - (more.lo >> wp) - 1, 0), more.hi, more.exponent)
    ends = [_log(_plus(count, end, more.exponent), wp) for end in (more.lo, more.hi)]
    exponent = min(end.exponent for end in ends)
    low, high = ends
    return Enclosure(low.lo << (low.exponent - exponent), high.hi << (high.exponent - exponent), exponent)


def _plus(count: int, end: int, exponent: int) -> Any:
    """Return count + end * 2^exponent, exactly, for an exponent below 0."""
    return from_man_exp((MPZ_ONE * count << -exponent) + end, exponent)


def _log(value: Any, wp: int) -> Enclosure:
    """Enclose the logarithm of a number >= 1, by (L)."""
    with _CONSTANTS:
        found = mpf_log(value, wp, "n")
    return _widened(found, wp) if found[1] else Enclosure(0, 0, -wp)


# Rounding ---------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def round_exactly(value: Fraction, fmt: FloatFormat) -> Rounded:
    """Round a rational number as if the format went on beyond its largest number."""
    if value == 0:
        return Rounded(0.0, 0.0)
    size = abs(value)
    ulp_exponent = min(max(floor_log2(size), fmt.emin), _BEYOND) - fmt.precision + 1
    steps = size / Fraction(2) ** ulp_exponent
    significand, nearest = _scaled(round(steps), ulp_exponent)  # Fraction.__round__ is ties-to-even
    rounded = _within_binade(Rounded(nearest, float(steps - significand)), floor_log2(size), ulp_exponent)
    return rounded.negated() if value < 0 else rounded


def round_open(r: Enclosure, fmt: FloatFormat) -> Rounded | None:
    """Round a positive number strictly inside an enclosure; None where the enclosure is too wide.

    In the binade of the upper end, the format's numbers, their midpoints and the binade's
    own lower edge are multiples of half an ulp: within one such step everything is decided.
    """
    binade = (r.hi - 1).bit_length() - 1 + r.exponent
    ulp_exponent = min(max(binade, fmt.emin), _BEYOND) - fmt.precision + 1
    ulp_shift = ulp_exponent - r.exponent
    if (r.hi - r.lo).bit_length() + RESIDUAL_BITS > ulp_shift:
        return None
    step = r.lo >> (ulp_shift - 1)
    if (r.hi - 1) >> (ulp_shift - 1) != step:
        return None
    return _within_binade(_within_step(r, (step + 1) >> 1, ulp_exponent, ulp_shift), binade, ulp_exponent)


def _within_step(r: Enclosure, significand: int, ulp_exponent: int, ulp_shift: int) -> Rounded:
    significand, nearest = _scaled(int(significand), ulp_exponent)
    excess = int(r.lo + r.hi - (significand << (ulp_shift + 1)))
    size = abs(excess) / (1 << (ulp_shift + 1))  # int / int rounds once
    return Rounded(nearest, math.copysign(max(size, _SMALLEST), -1 if excess < 0 else 1))


def _within_binade(rounded: Rounded, binade: int, ulp_exponent: int) -> Rounded:
    """Keep a residual beyond float64 below the end of r's binade, which the judge reads from it.

    It is r - 2^1024 in ulps of 2^1024, and may have been rounded up to the next power of two.
    """
    if binade < _BEYOND:
        return rounded
    end = (1 << (binade + 1 - ulp_exponent)) - (1 << (_BEYOND - ulp_exponent))
    return rounded if rounded.residual < end else Rounded(math.inf, math.nextafter(rounded.residual, 0.0))


def _scaled(significand: int, exponent: int) -> tuple[int, float]:
    """Return a number as significand and as float64, 2^1024 and infinity for one that is beyond float64."""
    if significand.bit_length() + exponent > _BEYOND:
        return 1 << (_BEYOND - exponent), math.inf
    return significand, math.ldexp(significand, exponent)
