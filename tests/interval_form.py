"""The bound written down as the interval form says it, in mpmath with 200 bits.

Nothing here is clever: exponentials are formed from the logits, intervals from their ends,
and errors from intervals. It shares no code with `reference.bounds`, which forms only
differences from the truth in binary64.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath

from reference.declaration import Algorithm
from reference.formats import FORMATS, FloatFormat

MP = mpmath.MPContext()
MP.prec = 200


def real(value: Fraction) -> Any:
    return MP.mpf(value.numerator) / value.denominator


def is_number(value: Fraction, fmt: FloatFormat) -> bool:
    return abs(value) <= fmt.largest and fmt.decode(fmt.round(value)) == value


class IntervalForm:
    """The interval of every output of a two-pass algorithm on one row."""

    def __init__(self, row: list[float], algorithm: Algorithm, fmt: FloatFormat) -> None:
        self.algorithm, self.fmt = algorithm, fmt
        self.inside = FORMATS[algorithm.arithmetic] if algorithm.arithmetic else fmt
        self.row = row
        self.u = MP.ldexp(1, -self.inside.precision)
        self.v = self.u / (1 + self.u)
        self.eta = real(self.inside.smallest_subnormal)
        self.c = MP.mpf(algorithm.exp_ulps)
        self.e = 2 * self.c * self.u

    def bounds(self, ulps: list[float]) -> list[float]:
        """The bounds, given ulp(r): no fixed precision tells an r just below a power of two from it."""
        ends = [self._exponential(x) for x in self.row]
        exact = [self._weight(x) for x in self.row]
        low, high = self._sum([lo for lo, _ in ends], [hi for _, hi in ends])
        shares = [w / MP.fsum(exact) for w in exact]
        outputs = [self._quotient(lo, hi, low, high) for lo, hi in ends]
        return [float(max(y[1] - r, r - y[0]) / ulp) for r, y, ulp in zip(shares, outputs, ulps, strict=True)]

    def _argument(self, x: float) -> Fraction:
        shift = {"plain": 0.0, "constant": self.algorithm.constant, "shifted": -max(self.row)}
        return Fraction(x) + Fraction(shift[self.algorithm.argument])

    def _weight(self, x: float) -> Any:
        return MP.mpf(0) if x == -math.inf else MP.exp(real(self._argument(x)))

    def _wrong(self, t: Fraction) -> Any:
        k = MP.mpf(0) if is_number(t, self.inside) else real(self.inside.ulp(t)) / 2
        if not self.algorithm.exp2:
            return k
        k += (real(abs(t)) + k) * ((1 + self.v) ** 2 - 1)
        subnormal = 0 < abs(t) < 2 * self.inside.smallest_normal
        return k + self.eta / 2 * MP.ln(2) if subnormal else k

    def _exponential(self, x: float) -> tuple[Any, Any]:
        if x == -math.inf:
            return MP.mpf(0), MP.mpf(0)
        t = self._argument(x)
        k = self._wrong(t)
        least, most = MP.exp(real(t) - k), MP.exp(real(t) + k)
        if most <= self.eta / 2:
            return MP.mpf(0), (self.c + 0.5) * self.eta
        low = least - max(self.e * least, self.c * self.eta)
        return max(low, MP.mpf(0)), most + max(self.e * most, self.c * self.eta)

    def _sum(self, lows: list[Any], highs: list[Any]) -> tuple[Any, Any]:
        n = len(lows)
        h = n - 1 if self.algorithm.summation == "sequential" else min(n - 1, math.ceil(math.log2(n)) + 24)
        up = (1 + self.v) ** h
        if self.algorithm.summation == "sequential":
            up = min(up, 1 + h * self.u)
        return max(MP.fsum(lows) / (1 + self.u) ** h, *lows), MP.fsum(highs) * up

    def _quotient(self, lo: Any, hi: Any, low: Any, high: Any) -> tuple[Any, Any]:
        if self.algorithm.division == "reciprocal":
            wrong = max(self.v, self.eta / 2 * high)
            q = max(lo / high * (1 - wrong), MP.mpf(0)), hi / low * (1 + wrong)
        else:
            q = lo / high, hi / low
        if self.inside != self.fmt:
            q = q[0] - max(self.v * q[0], self.eta / 2), q[1] + max(self.v * q[1], self.eta / 2)
        q = max(q[0], MP.mpf(0)), q[1]
        return max(q[0] - self._half_ulp(q[0]), MP.mpf(0)), min(q[1] + self._half_ulp(q[1]), MP.mpf(1))

    def _half_ulp(self, q: Any) -> Any:
        return MP.ldexp(1, self._exponent(q) - self.fmt.precision)

    def _exponent(self, q: Any) -> int:
        return max(int(MP.floor(MP.log(q, 2))) if q > 0 else self.fmt.emin, self.fmt.emin)
