"""The least upper bound of an a-priori bound over all finite rows of a length, from above.

`supremum` returns a number that no error exceeds in any row of a length, of any algorithm that subtracts
the maximum, divides, and keeps its a-priori bound. The notation, and the lines (U), (L), (Q), .., are those
of `reference.bounds`.

**What the bound depends on.** Of a row, the bound of entry i sees: d, how far x_i lies below the maximum, so
w = exp(-d); and of the others W, A and B. Let S be the sum of the weights of all entries but i and one
maximum. Then W = 1 + w + S where i is not that maximum, with 0 <= S <= n - 2, and W = 1 + S where it is,
with 0 <= S <= n - 1. The k of a difference is at most K(d), half an ulp of d (with what exp2 and a rescaling
add), which never falls as d grows; d counts as a real number, and every difference as inexact that the
numbers of the input format can make so. The deviations U - w and w - L grow with k (with z = exp(k) - 1, L
loses w (z + E) / (1 + z) at most, which grows for E <= 1 and is above w beyond), and the bound with them.

**The others.** A W = sum of psi(w_j) and B W = sum of phi(w_j), psi(w) = U - w and phi(w) = w - L being
functions of an entry alone. Let H be a concave function above phi on [0, 1]. By Jensen's inequality, N
entries of weight S in all have sum phi(w_j) <= N H(S / N). H is the upper hull of the corners of cells of
d. Of N = 1 entry the cell of S itself bounds phi.

**The entry.** Let a = psi / w and b = phi / w be relative, r = w / W. Line (Q) says that before rounding an
output lies above r by f = (a (1 - r) + B) / (1 + a r - B), and below by g = (b (1 - r) + A) / (1 - b r + A),
relatively. As B <= 1 - r and b <= 1, f grows with a and B and falls with r, and g grows with b and A and
falls with r: the numerators of their derivatives are 1 - r - B, 1 + a, -a (1 + a); 1 - r + A, 1 - b,
-b (1 - b). So over a cell of (d, S) both are bounded by one evaluation: at the greatest a, then the least r,
then the greatest B.

**Ulps.** Over a cell r / ulp(r) is at most that of the greatest r or, where it holds a power of two, 2^p; and
absolute terms are divided by the least ulp. Only there do cells that hold a power of two lose, and they
lose nothing in the limit.

(F') Line (F) is taken more sharply where r < 2^k <= q+: rounding to nearest takes all from 2^k to the tie
behind it, which is even below, to 2^k. So RN(q) <= RN(q+) <= q+ as long as q+ is at most 2^p + 1 ulps of r,
and half an ulp of r is enough. `element_bounds` adds a whole one: in such rows alone it may lie up to half
an ULP above.

**Branch and bound.** A cell is halved, along the side that moves log r more, as long as its bound exceeds
the greatest of any of their rows by more than `TOLERANCE`. What remains is bounded by the greatest of all.
Every evaluation is widened by 2^-32 relative, and by the tolerance of the residuals wherever
`element_bounds` is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.arguments import HALF, exp2_rounding
from reference.bounds.elementary import LN2_ABOVE, exp_parts, expm1_above, log
from reference.bounds.setting import Setting, setting_of
from reference.declaration import Algorithm
from reference.formats import FloatFormat
from reference.model import RESIDUAL_TOLERANCE

__all__ = ["TOLERANCE", "Supremum", "supremum", "why_none"]

Floats = NDArray[np.float64]

TOLERANCE: Final = 2.0**-13
"""How far the result may lie above the greatest bound that was seen, relatively."""

_WIDER: Final = 1 + 2.0**-32
_NARROWER: Final = 1 - 2.0**-32
_T: Final = RESIDUAL_TOLERANCE
_FURTHEST: Final = 4000.0
"""Stands for every distance beyond: exp is 0 there in every format."""

_PART: Final = 1 << 12
"""Cells that are halved at once, those with the greatest bounds first."""

_MOST_ROUNDS: Final = 1000
_AT_ONCE: Final = 1 << 15
_FIRST: Final = 32
"""Cells of a binade of distances at first, and of the sums."""

_HULL: Final = 256
"""Cells of a binade of distances under the hull."""


def why_none(algorithm: Algorithm, fmt_in: FloatFormat, fmt_out: FloatFormat) -> str | None:
    """Say why there is no such bound for an algorithm, None where there is one."""
    if algorithm.argument != "shifted":
        return f"it exponentiates {algorithm.argument} arguments, not x - max"
    if algorithm.division == "none":
        return "exp(x - log sum) loses what any common offset of the entries costs, without limit"
    setting = setting_of(algorithm, fmt_in, fmt_out)
    if setting is None:
        return f"no bound is derived for it from {fmt_in} to {fmt_out}"
    return None


@dataclass(frozen=True)
class Supremum:
    """A bound of the errors of all rows.

    Attributes:
        bound: in ULP of the output format; inf where there is no limit.
        distance: how far below the maximum the entry lies of which the greatest bound was seen.
        others: the sum of the weights exp(x_j - max) of all entries but that one and the maximum there.
    """

    bound: float
    distance: float
    others: float


def supremum(algorithm: Algorithm, n: int, fmt_in: FloatFormat, fmt_out: FloatFormat) -> Supremum | None:
    """Return what no error exceeds that the a-priori bound of an algorithm allows in finite rows of a length.

    Rows without a bound of their own, in which the algorithm may overflow, are left out.

    Args:
        algorithm: what is bounded.
        n: entries of a row, 2 or more.
        fmt_in: the logits' format.
        fmt_out: the results' format.

    Returns:
        The bound, None where none is derived (`why_none`), or where the sum of so many terms has no bound.
    """
    setting = setting_of(algorithm, fmt_in, fmt_out)
    if setting is None or why_none(algorithm, fmt_in, fmt_out) is not None:
        return None
    sums = setting.sums(n)
    if sums is None:
        return None
    rows = _Rows(setting, n, fmt_in, *sums)
    return max((_greatest(rows, top=top) for top in (True, False)), key=lambda found: found.bound)


# Entries -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cells:
    """Cells of differences: d0 <= d <= d1, and what bounds an entry there.

    Attributes:
        z: exp(K) - 1, from above.
        heavy, light: the weights at d0 and d1, as (fraction, exponent), from above and below.
        ulp: the exponent of ulp(exp(K) w) in the arithmetic, from above.
        deep: whether some entry of the cell may be deep.
    """

    z: Floats
    heavy: tuple[Floats, NDArray[Any]]
    light: tuple[Floats, NDArray[Any]]
    ulp: NDArray[Any]
    deep: NDArray[np.bool_]


@dataclass(frozen=True)
class _Rows:
    """All rows of a length, as an algorithm bounds them.

    Attributes:
        up, down: `summation.sum_growth`.
    """

    setting: Setting
    n: int
    fmt_in: FloatFormat
    up: float
    down: float

    @property
    def depth(self) -> float:
        """Where entries are deep."""
        return (1 - self.setting.arithmetic.quantum_exponent) * LN2_ABOVE

    @property
    def beyond(self) -> float:
        """A distance from which on every entry is deep and every result 0, whatever its k (below d / 2)."""
        lowest = min(self.setting.arithmetic.quantum_exponent, self.setting.output.quantum_exponent)
        return 2 * ((2 - lowest) * LN2_ABOVE + self.n.bit_length())

    @property
    def off(self) -> float:
        """How far a truth may be off, relatively to a normal result."""
        out = self.setting.output
        return 4 * _T * (2.0 ** (1 - out.precision) + self.n * 2.0**out.quantum_exponent) + 2.0**-32

    def wrong(self, d: Floats) -> Floats:
        """Return K(d)."""
        setting, inner = self.setting, self.setting.arithmetic
        exponents = np.maximum(np.frexp(d)[1] - 1, inner.emin) - inner.precision + 1
        if setting.algorithm.rescaled:
            first = np.where(d > 0, np.ldexp(0.5, np.frexp(d * HALF)[1]), 0.0)
            rest = d * HALF - first
            k = 2 * setting.u * (first + np.where(rest > 0, np.ldexp(0.5, np.frexp(rest)[1]), 0.0))
        else:
            inexact = (d > 0) & (exponents > self.fmt_in.quantum_exponent)
            k = np.where(inexact, np.ldexp(0.5, exponents), 0.0)
        return k + exp2_rounding(d, k, setting) if setting.algorithm.exp2 else k

    def cells(self, d0: Floats, d1: Floats) -> _Cells:
        """Return cells of differences; d1 itself has the K of the numbers below it."""
        out, inner = self.setting.output, self.setting.arithmetic
        k = self.wrong(np.where(d1 > d0, np.nextafter(d1, 0.0), d1))
        k = np.where((d0 - k >= self.depth) | (d0 >= self.beyond), 0.0, k)
        z = expm1_above(k)
        heavy, light = exp_parts(-d0), exp_parts(-d1)
        heavy, light = (heavy[0] * _WIDER, heavy[1]), (light[0] * _NARROWER, light[1])
        heavy = np.where(d0 == 0, 1.0, heavy[0]), np.where(d0 == 0, 0, heavy[1])
        base = np.maximum(heavy[1], out.quantum_exponent - 200)
        slack = np.ldexp(2 * _T * self.n, out.quantum_exponent - base)
        raised = (heavy[0] * (1 + self.off) + slack) * (1 + z) * _WIDER
        raised = np.where(d1 > 0, raised, 1.0)
        ulp = np.maximum(np.frexp(raised)[1] - 1 + base, inner.emin) - inner.precision + 1
        return _Cells(z, heavy, light, ulp, d1 >= self.depth)

    @property
    def deep_up(self) -> float:
        """How far above w a deep exponential lies at most, in eta."""
        setting = self.setting
        half = 0.5 * (1 + setting.exp_error / 2) ** 2
        return (
            setting.rescaled_floor + half if setting.algorithm.rescaled else setting.algorithm.exp_ulps + 0.5
        )

    def terms(self, cells: _Cells) -> tuple[Floats, Floats]:
        """Return psi and phi of entries, from above."""
        eta = 2.0**self.setting.arithmetic.quantum_exponent
        w = np.ldexp(*cells.heavy)
        return self.deviations(cells, w, np.ldexp(1.0, cells.ulp), eta)

    def deviations(self, cells: _Cells, w: Floats, ulp: Floats, eta: Any) -> tuple[Floats, Floats]:
        """Return how far U lies above w and w above L, in the unit of w, its ulp and eta."""
        setting, z = self.setting, cells.z
        error, c = setting.exp_error, setting.algorithm.exp_ulps
        low = w / (1 + z)
        if setting.algorithm.rescaled:
            floor = setting.rescaled_floor * eta
            up = w * z + (w * (1 + z)) * (error * (1 + error / 4)) + floor
            down = low * (z + min(error, 1.0)) + floor
        else:
            up = w * z + c * ulp
            down = low * z + np.minimum(c * ulp, np.maximum(error * low, c * eta))
        up = np.where(cells.deep, np.maximum(up, self.deep_up * eta), up)
        down = np.where(cells.deep, w, np.minimum(down, w))
        return up * _WIDER, down * _WIDER

    # Others --------------------------------------------------------------------------------

    def others(self, s0: Floats, s1: Floats, count: int) -> tuple[Floats, Floats]:
        """Return sum psi and sum phi of so many entries whose weights add up to s0..s1, from above."""
        if count == 0:
            return np.zeros_like(s0), np.zeros_like(s0)
        if count == 1:
            d0, d1 = self._distance(s1, -1), self._distance(s0, 1)
            return self.terms(self.cells(d0, d1))
        up, down = (hull.above(s0 / count, s1 / count) * count for hull in _hulls(self))
        return up, down

    def _distance(self, s: Floats, side: int) -> Floats:
        """Return -log s, from below or above."""
        found = -log(np.maximum(s, 2.0**-1000))
        found = found + side * (1 + found) * 2.0**-40
        return np.where(s > 0, np.clip(found, 0.0, self.beyond), self.beyond)


@dataclass(frozen=True)
class _Hull:
    """A concave function above another: its corners, of which the weights grow."""

    weights: Floats
    heights: Floats

    def above(self, low: Floats, high: Floats) -> Floats:
        """Return what it does not exceed from one weight to another."""
        peak = self.weights[np.argmax(self.heights)]
        at = np.clip(peak, low * _NARROWER, high * _WIDER)
        return np.asarray(np.interp(at, self.weights, self.heights) * _WIDER)


@lru_cache(maxsize=16)
def _hulls(rows: _Rows) -> tuple[_Hull, _Hull]:
    """Return the hulls of psi and phi."""
    d = _distances(rows, _HULL)
    cells = rows.cells(d[:-1], d[1:])
    light, heavy = np.ldexp(*cells.light), np.ldexp(*cells.heavy)
    light[-1] = 0.0
    up, down = rows.terms(cells)
    return tuple(_hull_of(np.append(light, heavy), np.append(h, h)) for h in (up, down))  # type: ignore[return-value]


def _hull_of(weights: Floats, heights: Floats) -> _Hull:
    """Return the upper hull of points (Andrew's chain)."""
    order = np.lexsort((heights, weights))
    corners: list[tuple[float, float]] = []
    for x, y in zip(weights[order].tolist(), heights[order].tolist(), strict=True):
        while corners and corners[-1][0] == x:
            corners.pop()
        while len(corners) > 1 and _is_below(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    return _Hull(*np.array(corners).T)


def _is_below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - b[0]) <= (c[1] - b[1]) * (b[0] - a[0])


def _distances(rows: _Rows, count: int) -> Floats:
    """Return 0, so many distances in every binade, and `beyond`, and one further than all."""
    first = -rows.setting.arithmetic.precision - 8
    exponents = np.arange(first, int(rows.beyond).bit_length())
    steps = 1 + np.arange(count) / count
    d = np.ldexp(steps[None, :], exponents[:, None]).ravel()
    return np.concatenate([[0.0], d[d < rows.beyond], [rows.beyond, _FURTHEST]])


# Cells -------------------------------------------------------------------------------------


def _bounds(rows: _Rows, cells: Floats, *, top: bool) -> Floats:
    """Return the bound over cells (d0, d1, s0, s1), shape (cells, 4), in ULP; lines (Q), (R), (P) and (F)."""
    with np.errstate(all="ignore"):
        bounds = _Evaluation(rows, cells, top).bounds()
    return np.where(np.isnan(bounds), np.inf, bounds)


class _Evaluation:
    """The bound over cells of (d, S).

    Args:
        rows: which rows.
        cells: (d0, d1, s0, s1), shape (cells, 4).
        top: whether the entry is a maximum of its row, d = 0, or another.
    """

    def __init__(self, rows: _Rows, cells: Floats, top: bool) -> None:
        setting, out = rows.setting, rows.setting.output
        d0, d1, s0, s1 = cells.T
        self.rows, self.own, self.top = rows, rows.cells(d0, d1), top
        base = 0.0 if top else 1.0
        heavy, light = np.ldexp(*self.own.heavy), np.ldexp(*self.own.light)
        self.least, self.most = base + light + s0, base + heavy + s1
        high, high_exponent = self.own.heavy[0] / (base + heavy + s0) * _WIDER, self.own.heavy[1]
        low, low_exponent = self.own.light[0] / (base + light + s1) * _NARROWER, self.own.light[1]
        self.high, self.low = np.ldexp(high, high_exponent), np.ldexp(low, low_exponent)
        ulp_high, self.ulp = (
            np.maximum(np.frexp(f)[1] - 1 + e, out.emin) - out.precision + 1
            for f, e in ((high, high_exponent), (low, low_exponent))
        )
        within = np.ldexp(high, high_exponent - ulp_high)
        self.ratio = np.where(ulp_high > self.ulp, 2.0**out.precision, within) * _WIDER + _T
        self.unit = np.ldexp(_WIDER / self.least, setting.arithmetic.quantum_exponent - self.ulp)
        self.others_up, self.others_down = self._others(s0, s1)

    def _others(self, s0: Floats, s1: Floats) -> tuple[Floats, Floats]:
        """Return A and B."""
        rows, setting = self.rows, self.rows.setting
        psi, phi = rows.others(s0, s1, rows.n - (1 if self.top else 2))
        if not self.top and not setting.algorithm.one_at_zero:
            error = setting.exp_error
            psi, phi = psi + error, phi + error
        far = 2 * _T * rows.n * 2.0**setting.output.quantum_exponent
        return tuple((total * (1 + rows.off) / self.least + far) * _WIDER for total in (psi, phi))

    def bounds(self) -> Floats:
        rows, setting, ratio = self.rows, self.rows.setting, self.ratio
        algorithm, inner, out = setting.algorithm, setting.arithmetic, setting.output
        above, below = self._quotient()
        if algorithm.rescaled:
            half = np.ldexp(0.5, inner.quantum_exponent - self.ulp)
            kept = np.maximum(1 - self._lack(), 0.0)
            lost = (half + self.unit / kept) * (1 + setting.exp_error)
            above = above + (ratio + above) * setting.products + lost
            below = below + ratio * setting.products + lost
        rounding = np.full_like(above, setting.v)
        if algorithm.division == "reciprocal":
            size = (1 + self.others_up + self._own_up()) * (1 + rows.up) * self.most * _WIDER
            rounding = np.maximum(rounding, np.ldexp(size, inner.quantum_exponent - 1))
            above = above + (ratio + above) * rounding
            below = below + np.maximum(ratio - below, 0.0) * np.minimum(rounding, 1.0)
        if inner != out:
            floor = np.ldexp(0.5, inner.quantum_exponent - self.ulp)
            above = above + np.maximum(setting.v * (ratio + above), floor)
            below = below + np.maximum(setting.v * ratio, floor)
        if inner == out or setting.rounds_result:
            above, below = above + self._last_rounding((ratio + above) * _WIDER), below + 0.5
        room = np.ldexp((1 - self.low) * _WIDER, -self.ulp) + _T
        capped = setting.is_monotone & (rounding <= setting.v)
        above = np.where(capped, np.minimum(above, room), above)
        return np.asarray(np.maximum(above, np.minimum(below, ratio)) * _WIDER + 4 * _T)

    def _last_rounding(self, reached: Floats) -> Floats:
        """Return what rounding the quotient adds, which reaches so many ulps of r: line (F'), see above."""
        out = self.rows.setting.output
        exponents = np.maximum(np.frexp(reached)[1] - out.precision, out.quantum_exponent - self.ulp)
        return np.asarray(np.where(reached <= 2.0**out.precision + 1, 0.5, np.ldexp(0.5, exponents)))

    def _own_up(self) -> Floats:
        """Return the most that the entry's own U lies above w, over W."""
        return np.asarray(np.minimum(self._relative()[0], 2.0**900) * self.high)

    @property
    def _own(self) -> tuple[Floats, Floats]:
        """Return how far the entry's U lies above w and w above L, in ulps of r."""
        if self.top and self.rows.setting.algorithm.one_at_zero:
            return np.zeros_like(self.ratio), np.zeros_like(self.ratio)
        step = np.ldexp(_WIDER / self.least, self.own.ulp - self.ulp)
        return self.rows.deviations(self.own, self.ratio, step, self.unit)

    def _relative(self) -> tuple[Floats, Floats]:
        """Return the same relatively to w."""
        if self.top and self.rows.setting.algorithm.one_at_zero:
            return np.zeros_like(self.ratio), np.zeros_like(self.ratio)
        f, e = self.own.light
        inner = self.rows.setting.arithmetic
        ulp, eta = np.ldexp(1 / f, self.own.ulp - e), np.ldexp(1 / f, inner.quantum_exponent - e)
        return self.rows.deviations(self.own, np.ones_like(self.ratio), ulp, eta)

    def _quotient(self) -> tuple[Floats, Floats]:
        rows, ratio, low, b = self.rows, self.ratio, self.low, self.others_down
        own_up = self._own[0]
        up, down = self._relative()
        kept = 1 - rows.down - 2.0**-49
        absolute = (own_up * (1 - low) + ratio * b) / np.maximum(1 - b - 2.0**-49, 0.0)
        relative = ratio * (up * (1 - low) + b) / np.maximum(1 + up * low - b - 2.0**-49, 0.0)
        relative = np.where(up < 1.0, relative, np.inf)
        above = np.minimum(absolute, relative) / kept + ratio * (rows.down / kept)
        above = above if kept > 0 else np.full_like(above, np.inf)
        lacking = self._lacking_top()
        least = np.where(lacking < 1, lacking / (1 - lacking) * _WIDER, np.inf)
        above = np.minimum(above, own_up + (ratio + own_up) * least)
        a, share = self.others_up, np.minimum(down, 1.0)
        below = ratio * (share * (1 - low) + a) / np.maximum(1 - share * low + a - 2.0**-49, 0.0)
        below = below / (1 + rows.up) + ratio * (rows.up / (1 + rows.up))
        return above, np.minimum(np.where(np.isnan(below), np.inf, below), ratio)

    def _lacking_top(self) -> Floats:
        """Return how far the greatest term may lie below the exact sum; infinite where that says nothing."""
        setting = self.rows.setting
        if not setting.is_monotone:
            return np.full_like(self.ratio, np.inf)
        own = 0.0 if setting.algorithm.one_at_zero else setting.exp_error
        return np.asarray(1 - (1 - own - self.rows.off) / (self.most * _WIDER))

    def _lack(self) -> Floats:
        """Return how far the computed sum may lie below the exact one."""
        down = self.others_down + np.minimum(self._relative()[1], 1.0) * self.high
        return np.asarray(np.minimum(down + self.rows.down, self._lacking_top()))


# Branch and bound --------------------------------------------------------------------------


def _greatest(rows: _Rows, *, top: bool) -> Supremum:
    """Return the greatest bound of a maximum, or of another entry, over all rows."""
    new = _first_cells(rows, top=top)
    cells, bounds = np.empty((0, 4)), np.empty(0)
    seen, closed, greatest, at = 0.0, 0.0, math.inf, (0.0, 0.0)
    for _ in range(_MOST_ROUNDS):
        points = _points(new)
        found = _in_parts(rows, points, top=top)
        if found.max() > seen:
            d, _, s, _ = points[np.argmax(found)].tolist()
            seen, at = float(found.max()), (d, s)
        cells, bounds = np.concatenate([cells, new]), np.concatenate([bounds, _in_parts(rows, new, top=top)])
        left = bounds > seen * (1 + TOLERANCE)
        closed = max(closed, float(bounds[~left].max(initial=0.0)))
        cells, bounds = cells[left], bounds[left]
        greatest = max(closed, float(bounds.max(initial=0.0)))
        if not len(cells) or seen == np.inf:
            break
        order = np.argsort(-bounds, kind="stable")
        new = _halved(cells[order[:_PART]])
        cells, bounds = cells[order[_PART:]], bounds[order[_PART:]]
    return Supremum(greatest, *at)


def _first_cells(rows: _Rows, *, top: bool) -> Floats:
    count = rows.n - (1 if top else 2)
    d = _distances(rows, _FIRST)
    s = np.concatenate([[0.0], np.geomspace(2.0**-80, count, 80 * 2)]) if count else np.zeros(2)
    one = np.zeros(1)
    d0, d1 = (one, one) if top else (d[:-1], d[1:])
    sums = np.stack([s[:-1], s[1:]])
    shape = len(d0), sums.shape[1]
    corners = (d0[:, None], d1[:, None], sums[0][None, :], sums[1][None, :])
    return np.stack([np.broadcast_to(c, shape).ravel() for c in corners], axis=1)


def _points(cells: Floats) -> Floats:
    """Return rows of cells: their middles, and those with as much of the others as can be."""
    d0, d1, s0, s1 = cells.T
    d, s = np.tile(0.5 * (d0 + d1), 2), np.concatenate([0.5 * (s0 + s1), s1])
    return np.stack([d, d, s, s], axis=1)


def _halved(cells: Floats) -> Floats:
    d0, d1, s0, s1 = cells.T
    by_d = (d1 - d0) * (1 + s1) >= s1 - s0
    d, s = 0.5 * (d0 + d1), 0.5 * (s0 + s1)
    first, second = cells.copy(), cells.copy()
    first[by_d, 1], second[by_d, 0] = d[by_d], d[by_d]
    first[~by_d, 3], second[~by_d, 2] = s[~by_d], s[~by_d]
    return np.concatenate([first, second])


def _in_parts(rows: _Rows, cells: Floats, *, top: bool) -> Floats:
    parts = (cells[i : i + _AT_ONCE] for i in range(0, len(cells), _AT_ONCE))
    return np.concatenate([_bounds(rows, part, top=top) for part in parts])
