"""The arguments of a fused kernel: how far rounding moves s x_i - M, in whatever order it is formed.

With m the greatest logit, s > 0 (a scale below 0 turns the row round) and M = max(s m, a), the bounds of
`reference.bounds` hold of the row s x and its sink a as of any other row. What differs is k, the most that a
computed argument lies from the exact one. The arithmetic holds s as s^ = RN(s), off by a known d relatively,
and a as a^ = RN(a), off by a known number. h(z) is half an ulp of numbers up to z in size, and what is exact
adds nothing: a difference or product that is a number of the arithmetic.

*Without a sink*, or where a <= s m, so that M = s m:

(B) scaled before: p_i = RN(s^ x_i), off s^ x_i by b_i = h(s^ |x_i|), and RN(p_i - p_m). With t = s (m - x_i)
    this is k = d t + b_i + b_m + h(t (1 + d) + b_i + b_m).
(A) scaled after: z = RN(x_i - m), off by h_i, and RN(s^ z): k = s^ h_i + d t + h(s^ (m - x_i + h_i)).
(E) within exp2: exp2(RN(z c)), or exp2(RN(RN(c x_i) - RN(c m))), c = RN(s log2 e) or RN(RN(s) RN(log2 e)).
    Where the algorithm takes exp2, (B) and (A) are formed with u z for each h(z), exact or not, which has
    room for the rounding of c beside what `arguments` adds for the factor log2 e and the product. So it has
    for outputs rescaled once: the two differences, and the two products, add up to the one of (B) or (A).
    Beside a sink the error of c does not cancel in RN(c x_i) and RN(a^ RN(log2 e)), nor that of RN(log2 e).
k is the greater of these, and 0 where x_i = m: every form gives exactly 0 there. As rounding is monotone, no
computed argument is above 0: that bounds exponentials where k is large, as with a common offset of 2^32.

A *fused multiply-add*, z_i = RN(s^ x_i - p_m), gives not 0 at m but -e, e = p_m - s^ m, |e| <= b_m, exactly
unless it underflows. It has no bound of its own, but softmax keeps that of exps good to 3 ULP with exps good
to 1.4, where |s m| < 2^p, so that |e| <= 1/2, and p >= 8: all exponentials have the factor exp(-e), which
cancels.

* What is left of the argument is d t + h(t (1 + d) + |e|), at most the k of (B).
* exp(-e) at m is off by 2.8 u, as the others are: (1 + 2.8 u) / (1 - 2.8 u) <= 1 + 6 u.
* A weight becomes subnormal earlier by exp(-e), for which exp(-k) has room, as k >= b_m, and then is off by
  1.4 exp(1/2) < 3 of the smallest subnormals.

Where |s m| is larger, exp(-e) itself may overflow or vanish: at s m = 2^31 in float32 e may be 64, and more
from there on. A log_softmax adds -e to a logarithm near e, and is off by the rounding of both: it may exceed
its bound.

The sink's own argument RN(a^ - p_m) is off by k_a = |a^ - a| + d s |m| + b_m + h(all that and |a - s m|).

*Where a > s m*, kernels take M = a: RN(p_i - a^) is off by
(a) k = |a^ - a| + d s |x_i| + b_i + h(all that and |t|), t = a - s x_i.
    Others keep m: (B) or (A), and the sink's exponential above 1. All exponentials may be taken times
    exp(-e), e being the error of the sink's argument, without changing a quotient. Then the sink's is exact,
    and
(b) the others' are off by the k of (B) or (A) and by k_a, and none is above k_a.
    k is the greater of (a) and (b). The sink's exponential has the error of an exp, in either form. What is
    formed against m has its ulps in other binades: c ulp are then taken for E = 2 c u.

*Where a lies below s m by no more than the errors of RN(s^ m) and a^*, rounding may put a^ above, and a
kernel then takes M = a^. So k is the greater of (a) and of k without the sink, the maximum has an exponential
like any other, and E counts.

There is no bound where s m, or another product or difference that matters, leaves the arithmetic's range.
That of a deep entry does not matter, as -inf serves as well, unless the arithmetic has no infinity. Nor does
a bound speak of a kernel that keeps m and has the sink's exponential overflow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.arguments import Arguments, exp2_rounding, rounding_of, two_sum
from reference.bounds.elementary import LN2_ABOVE, LOG2E_ABOVE, LOG2E_HIGH
from reference.bounds.intervals import OUTWARD, bounds_from, half_ulp_of
from reference.bounds.setting import Setting
from reference.formats import FloatFormat
from reference.fused import Fused, exact_product
from reference.model import Truth

__all__ = ["FusedRows", "fused_bounds", "fused_rows"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NOT_ONE: Final = 2.0**-1022
"""The k of an argument that is exact, while its exponential is not."""


@dataclass(frozen=True)
class FusedRows:
    """Rows with their sink, as a bound sees them.

    Attributes:
        arguments: of (rows, n + 1) entries, or (rows, n) without a sink.
        wrong: k of every entry, deep ones too, which are not exponentiated where they are a gap.
        greatest: M, shape (rows, 1).
        scaled_wrong: how far the computed s x_i may lie from it, of the sink too; 0 where masked.
        top_wrong: how far what is added to a logarithm may lie from s m or a; with k_a where a is above.
        sink_apart: where kernels may take a or s m for M, how far the computed ones may lie apart; else 0.
        beyond: where something that matters leaves the range, shape (rows, 1).
        far: which entries leave it, whether that matters or not.
    """

    arguments: Arguments
    wrong: Floats
    greatest: Floats
    scaled_wrong: Floats
    top_wrong: Floats
    sink_apart: Floats
    beyond: Flags
    far: Flags


def fused_bounds(x: Floats, fused: Fused, whole: Truth, setting: Setting) -> Floats:
    """Return the bound of each output in ulps of its exact result; NaN where there is none.

    Args:
        x: logits of shape (rows, n).
        fused: the settings.
        whole: the truth about them with their sink, shape (rows, n + 1) where there is one.
        setting: the algorithm, which shifts by the maximum and divides, in its arithmetic.
    """
    with np.errstate(all="ignore"):
        rows = fused_rows(x, fused, setting)
        sunk = replace(setting, sunk=fused.sink is not None)
        bounds = bounds_from(rows.arguments.t, whole, rows.arguments, sunk)
        return fused.without_sink(np.where(rows.beyond, np.nan, bounds))


def fused_rows(x: Floats, fused: Fused, setting: Setting) -> FusedRows:
    """Return the arguments of rows s x with their sink."""
    return _Forming(fused, setting).rows(fused.turned(x))


@dataclass(frozen=True)
class _Forming:
    """How a kernel forms arguments."""

    fused: Fused
    setting: Setting

    @property
    def fmt(self) -> FloatFormat:
        """The arithmetic."""
        return self.setting.arithmetic

    @property
    def is_loose(self) -> bool:
        """Whether roundings are taken for u times the result, exact or not: form (E)."""
        return self.setting.algorithm.exp2 or self.setting.algorithm.rescaled

    @property
    def scale(self) -> float:
        """s^."""
        return float(self.fmt.to_float64(self.fmt.from_float64(self.fused.size)))

    @property
    def scale_error(self) -> float:
        """d."""
        return abs(self.scale - self.fused.size) / self.fused.size * OUTWARD

    @property
    def _sink(self) -> float:
        assert self.fused.sink is not None
        return self.fused.sink

    @property
    def _held_sink(self) -> float:
        """a^."""
        return float(self.fmt.to_float64(self.fmt.from_float64(self._sink)))

    @property
    def _sink_off(self) -> float:
        held = self._held_sink
        return abs(held - self._sink) * OUTWARD if np.isfinite(held) else np.inf

    @property
    def _sink_off_in_argument(self) -> float:
        """How far a is moved before s m is taken from it; within exp2 by its product with log2 e too."""
        off, size = self._sink_off, abs(self._sink)
        if not self.setting.algorithm.exp2:
            return off
        return off + (size + off) * self.setting.factor_error + float(self._loose(np.asarray(size)))

    def rows(self, x: Floats) -> FusedRows:
        """Return the arguments; x holds the logits that |s| multiplies."""
        top, scale, d = x.max(axis=1, keepdims=True), self.scale, self.scale_error
        gap, gap_rest = two_sum(x, -top)
        t = -self.fused.size * np.abs(gap)
        product, exact = exact_product(scale, x)
        top_product, top_exact = exact_product(scale, top)
        before = self._product(product, exact)
        before_top = self._product(top_product, top_exact)
        tops = self.fused.size * top
        of_top = np.where(np.isfinite(tops), before_top + d * np.abs(tops), 0.0)
        difference, rest = two_sum(product, -top_product)
        plain = (before == 0) & (before_top == 0) & (d == 0)
        size = np.abs(t) * (1 + d) + before + before_top
        k = d * np.abs(t) + before + before_top + self._difference(difference, rest, size, plain)
        k = np.maximum(k, self._after(gap, gap_rest, t)) * OUTWARD
        k = np.where((x == top) | np.isinf(t), 0.0, k)
        beyond = (np.abs(top_product) * self._factor > self._largest) & np.isfinite(top)
        beyond = beyond | (not np.isfinite(scale))
        masked = x == -np.inf
        greatest, top_wrong, most = tops, of_top, np.zeros_like(tops)
        scaled = np.where(masked, 0.0, d * self.fused.size * np.abs(x) + before)
        if self.fused.sink is not None:
            t, k, apart, own, most = self._with_sink(
                t, k, product, scaled + self._folded(x), tops, top_product, of_top + self._folded(top)
            )
            greatest = np.maximum(tops, self.fused.sink)
            top_wrong = np.where(tops < self.fused.sink, of_top + own, of_top) + self._sink_off
            masked = np.concatenate([masked, np.zeros(tops.shape, dtype=np.bool_)], axis=1)
            gap = np.concatenate([gap, np.zeros_like(tops)], axis=1)
            product = np.concatenate([product, np.zeros_like(tops)], axis=1)
            scaled = np.concatenate([scaled, np.full_like(tops, self._sink_off)], axis=1)
            beyond = beyond | self._is_sink_beyond
        else:
            apart = np.zeros_like(tops)
        if self.setting.algorithm.exp2:
            k = k + exp2_rounding(t, k, self.setting)
        depth = (1 - self.fmt.quantum_exponent) * LN2_ABOVE
        k = np.where(masked | np.isinf(t), 0.0, k)
        deep = (t + k <= -depth) & ~masked
        harmless = masked | (deep & self.fmt.has_infinity)
        reached = np.maximum(np.maximum(np.abs(gap), np.abs(product)), np.abs(t) + k)
        far = (reached * self._factor > self._largest) & ~masked
        beyond = (
            beyond | (far & ~harmless).any(axis=1, keepdims=True) | ~np.isfinite(k).all(axis=1, keepdims=True)
        )
        top = t.max(axis=1, keepdims=True)
        arguments = Arguments(t, np.where(deep, 0.0, k), deep, masked, top, most=most)
        return FusedRows(arguments, k, greatest, scaled, top_wrong, apart, beyond, far)

    @property
    def _factor(self) -> float:
        """What s x_i is multiplied by on the way, at most: log2 e where an algorithm takes exp2."""
        return LOG2E_ABOVE if self.setting.algorithm.exp2 else OUTWARD

    @property
    def _is_sink_beyond(self) -> bool:
        """Whether a^, or its product with log2 e, leaves the range; a sink of -inf is harmless."""
        size = self._held_sink if self.fmt.has_infinity else abs(self._held_sink)
        return not size * self._factor <= self._largest

    @property
    def _largest(self) -> float:
        """Omega, or float64's infinity where that is beyond it."""
        return float(self.fmt.largest) if self.fmt.largest < 2**1024 else np.inf

    def _product(self, product: Floats, exact: Flags) -> Floats:
        """Return how far s^ x is moved by its rounding."""
        if self.fused.size == 1 and not self.setting.algorithm.exp2:
            return np.zeros_like(product)
        if self.is_loose:
            return self._loose(np.abs(product))
        return np.where(np.isfinite(product), rounding_of(product, np.where(exact, 0.0, 1.0), self.fmt), 0.0)

    def _loose(self, size: Floats) -> Floats:
        u = self.setting.u
        floor = np.ldexp(0.5, self.fmt.quantum_exponent)
        return np.where(np.isfinite(size) & (size > 0), u * (1 + 4 * u) * size * OUTWARD + floor, 0.0)

    def _difference(self, difference: Floats, rest: Floats, size: Floats, plain: Flags) -> Floats:
        """Return how far a difference is moved by its rounding; `plain` ones are those of given numbers."""
        if self.is_loose:
            return self._loose(size)
        return np.where(plain, rounding_of(difference, rest, self.fmt), half_ulp_of(size, self.fmt))

    def _after(self, gap: Floats, rest: Floats, t: Floats) -> Floats:
        """Line (A)."""
        scale, loose = self.scale, self.is_loose
        own = self._loose(np.abs(gap)) if loose else rounding_of(gap, rest, self.fmt)
        if self.fused.size == 1:
            return own
        size = scale * (np.abs(gap) + own)
        if loose:
            rounded = self._loose(size)
        else:
            product, exact = exact_product(scale, gap)
            known = (own == 0) & (rest == 0)
            fine = rounding_of(product, np.where(exact, 0.0, 1.0), self.fmt)
            rounded = np.where(known, fine, half_ulp_of(size, self.fmt))
        return np.asarray(scale * own + self.scale_error * np.abs(t) + rounded)

    def _folded(self, x: Floats) -> Floats:
        """Return how far c lies from s log2 e, times x / log2 e; 0 without exp2 and where masked."""
        if not self.setting.algorithm.exp2:
            return np.zeros_like(x)
        exact, fmt = self.fused.size * LOG2E_HIGH, self.fmt
        factors = fmt.to_float64(fmt.from_float64([exact, self.scale * self.setting.factor]))
        error = float(np.abs(factors / exact - 1).max()) + 2.0**-50
        return np.where(np.isfinite(x), error * self.fused.size * np.abs(x), 0.0)

    def _with_sink(
        self, t: Floats, k: Floats, product: Floats, wrong: Floats, tops: Floats, top: Floats, of_top: Floats
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return t and k with those of the sink, `sink_apart`, k_a, and `most`."""
        sink, held, off = self._sink, self._held_sink, self._sink_off_in_argument
        none = np.isneginf(tops)
        own = np.where(none, 0.0, self._sink_wrong(top, of_top, held, off, np.abs(sink - tops)))
        sinks = (tops < sink) | none
        either = ~none & (tops - sink <= (of_top + off) * OUTWARD)
        above = np.where(sinks & ~none, sink - tops, 0.0)
        moved = np.where(none, -np.inf, t - above)
        apart = off + wrong
        difference, rest = two_sum(product, -held)
        plain = (wrong == 0) & (off == 0)
        size = np.abs(moved) + np.where(either & ~sinks, tops - sink, 0.0) + apart
        direct = (apart + self._difference(difference, rest, size, plain)) * OUTWARD
        direct = np.maximum(direct, np.where(sinks, k + own, k))
        k = np.where(sinks | either, np.where(np.isinf(moved), 0.0, direct), k)
        of_sink = np.where(sinks, _NOT_ONE, own)
        at_sink = np.where(sinks, 0.0, np.minimum(sink - tops, 0.0))
        most = np.where(either, np.maximum(own, _NOT_ONE), 0.0)
        apart = np.where(either, np.abs(sink - tops) + most, 0.0)
        t, k = np.concatenate([moved, at_sink], axis=1), np.concatenate([k, of_sink], axis=1)
        return t, k, apart, own, most

    def _sink_wrong(self, top: Floats, wrong: Floats, held: float, off: float, size: Floats) -> Floats:
        """Return k_a, for a computed s m that is off by so much, and |a - s m|."""
        apart = off + wrong
        difference, rest = two_sum(top, -held)
        plain = (wrong == 0) & (off == 0)
        return np.asarray((apart + self._difference(difference, rest, size + apart, plain)) * OUTWARD)
