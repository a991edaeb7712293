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


def highest_bits(value: Any, count: int) -> Any:
    """What the highest bits of a number are worth."""
    worth = MP.mpf(0)
    for _ in range(count):
        if value > worth:
            worth += MP.ldexp(1, MP.frexp(value - worth)[1] - 1)
    return worth


class IntervalForm:
    """The interval of every output of an algorithm on one row.

    An exponential that is less than `hair` of itself below a power of two takes the ulp of that power: what a
    bound may do that cannot tell the two apart.
    """

    def __init__(self, row: list[float], algorithm: Algorithm, fmt: FloatFormat, hair: float = 0.0) -> None:
        self.algorithm, self.fmt, self.hair = algorithm, fmt, hair
        self.inside = FORMATS[algorithm.arithmetic] if algorithm.arithmetic else fmt
        self.row = row
        self.u = MP.ldexp(1, -self.inside.precision)
        self.v = self.u / (1 + self.u)
        self.eta = real(self.inside.smallest_subnormal)
        self.c = MP.mpf(algorithm.exp_ulps)
        self.e = 2 * self.c * self.u

    def bounds(self, ulps: list[float]) -> list[float]:
        """The bounds, given ulp(r): no fixed precision tells an r just below a power of two from it."""
        exact = [self._weight(x) for x in self.row]
        shares = [w / MP.fsum(exact) for w in exact]
        ends = [self._exponential(x) for x in self.row]
        running = self.algorithm.argument == "running"
        terms = [self._chained(i) for i in range(len(self.row))] if running else ends
        low, high = self._sum([lo for lo, _ in terms], [hi for _, hi in terms])
        if self.algorithm.division == "none":
            outputs = self._by_logarithm(low, high, MP.fsum(exact))
        else:
            outputs = [self._quotient(i, ends, low, high) for i in range(len(self.row))]
        return [float(max(y[1] - r, r - y[0]) / ulp) for r, y, ulp in zip(shares, outputs, ulps, strict=True)]

    def _argument(self, x: float) -> Fraction:
        shift = {"plain": 0.0, "constant": self.algorithm.constant}
        return Fraction(x) + Fraction(shift.get(self.algorithm.argument, -max(self.row)))

    def _weight(self, x: float) -> Any:
        return MP.mpf(0) if x == -math.inf else MP.exp(real(self._argument(x)))

    def _wrong(self, t: Fraction) -> Any:
        return MP.mpf(0) if is_number(t, self.inside) else real(self.inside.ulp(t)) / 2

    def _argument_between(self, t: Fraction, k: Any, products: int) -> tuple[Any, Any]:
        """The least and the greatest computed argument where the differences are off by k in all."""
        if not self.algorithm.exp2 or t == 0:
            return real(t) - k, real(t) + k
        size, factor = real(abs(t)) + k, self._factor()
        k += size * abs(factor * MP.ln(2) - 1) + self.u * highest_bits(size * factor, products) * MP.ln(2)
        if products == 2 or abs(t) < 2 * self.inside.smallest_normal:
            k += products * self.eta / 2 * MP.ln(2)
        return real(t) - k, real(t) + k

    def _factor(self) -> Any:
        exact = 1 / MP.ln(2)
        factor = self.inside.decode(self.inside.round(Fraction(int(exact * 2**150), 2**150)))
        assert factor is not None
        return real(factor)

    def _exponential(self, x: float) -> tuple[Any, Any]:
        if x == -math.inf:
            return MP.mpf(0), MP.mpf(0)
        t = self._argument(x)
        if t == 0 and self.algorithm.one_at_zero:
            return MP.mpf(1), MP.mpf(1)
        if self.algorithm.rescaled:
            return self._product_of_two(t)
        return self._around(*self._argument_between(t, self._wrong(t), 1))

    def _product_of_two(self, t: Fraction) -> tuple[Any, Any]:
        """(U2) and (L2): exp(a) exp(b), a + b = t, neither above 0 nor off by more than half of its ulp."""
        ends = self._argument_between(t, self.u * highest_bits(real(abs(t)), 2), 2)
        least, most = (MP.exp(end) for end in ends)
        underflow = self.c * self.eta * (1 + self.e) + (self.c * self.eta / 2) ** 2
        if most <= self.eta / 2:
            return MP.mpf(0), self.eta / 2 * (1 + self.e / 2) ** 2 + underflow
        if least >= real(self.inside.smallest_normal):
            underflow = MP.mpf(0)
        low = least * max(1 - self.e, 0) - underflow
        return max(low, MP.mpf(0)), most * (1 + self.e / 2) ** 2 + underflow

    def _around(self, low: Any, high: Any) -> tuple[Any, Any]:
        """(U) and (L): the exp of an argument that lies between two."""
        least, most = MP.exp(low), MP.exp(high)
        if most <= self.eta / 2:
            return MP.mpf(0), (self.c + 0.5) * self.eta
        wrong = self.c * 2 * self._half_step(most * (1 + self.hair))
        low = least - min(wrong, max(self.e * least, self.c * self.eta))
        return max(low, MP.mpf(0)), most + wrong

    def _chained(self, i: int) -> tuple[Any, Any]:
        """(U') and (L'): the i-th term as it stands in a running sum at the end."""
        x, t = self.row[i], self._argument(self.row[i]) if self.row[i] > -math.inf else Fraction(0)
        if x == -math.inf:
            return MP.mpf(0), MP.mpf(0)
        links = sum(y > max(self.row[: i + j + 1]) for j, y in enumerate(self.row[i + 1 :])) + (t < 0)
        floor = ((links + 1) * (self.c + 0.5) + self.c + 0.5) * self.eta
        floor *= ((1 + self.e) * (1 + self.v)) ** (links + 2)
        w, k = self._weight(x), self._wrong_in_all(t, links)
        if MP.exp(self._argument_between(t, self._wrong(t), 1)[1]) <= self.eta / 2:
            return MP.mpf(0), floor
        low = max(1 - self.e, 0) ** (links + 1) * (1 + self.u) ** -links * MP.exp(-k) * w
        high = (1 + self.e) ** (links + 1) * (1 + self.v) ** links * MP.exp(k) * w
        if links == 0 and self.algorithm.one_at_zero:
            return MP.mpf(1), MP.mpf(1)
        if low / (1 + self.u) >= real(self.inside.smallest_normal) or links == 0:
            floor = 0
        return max(low - floor, MP.mpf(0)), high + floor

    def _wrong_in_all(self, t: Fraction, links: int) -> Any:
        """K: all gaps on the way are exact where the entries are whole numbers of a unit, and few enough."""
        entries = [Fraction(x) for x in self.row if x > -math.inf]
        span, unit = max(entries) - min(entries), max(x.denominator for x in entries)
        numerators = [int(x * unit) for x in entries]
        grid = Fraction(math.gcd(*numerators) & -math.gcd(*numerators), unit)
        exact = span == 0 or (span < grid * 2**self.inside.precision and span <= self.inside.largest)
        k = MP.mpf(0) if exact else self.v * real(-t)
        if not self.algorithm.exp2:
            return k
        scaled = (1 + abs(self._factor() * MP.ln(2) - 1)) * (1 + self.v) - 1
        return k + (real(-t) + k) * scaled + links * self.eta * MP.ln(2)

    def _by_logarithm(self, low: Any, high: Any, exact: Any) -> list[tuple[Any, Any]]:
        """(E): log(sum) is off by the ends of the sum and 1.53 times exp's ULPs; lse and x - lse round."""
        log = MP.log(exact)
        wrong = max(MP.log(high / exact), -MP.log(low / exact))
        wrong += 2 * MP.mpf("1.53") * self.c * self._half_step(abs(log) + wrong)
        lse = log
        if self.algorithm.argument != "plain":
            lse = log + MP.mpf(max(self.row))
            wrong += self._half_step(abs(lse) + wrong)
        outputs = []
        for x in self.row:
            if x == -math.inf:
                outputs.append((MP.mpf(0), MP.mpf(0)))
                continue
            z = MP.mpf(x) - lse
            k = wrong + self._half_step(abs(z) + wrong)
            outputs.append(self._around(z - k, z + k))
        return outputs

    def _half_step(self, most: Any) -> Any:
        """Half an ulp of the greatest of some numbers."""
        return MP.ldexp(1, self._exponent(most, self.inside) - self.inside.precision)

    def _growth(self) -> tuple[Any, Any]:
        """The factors that a computed sum lies above and below the sum of its terms."""
        n = len(self.row)
        four = 4 if self.algorithm.accumulator_precision == 24 else 2
        heights = {
            "sequential": n - 1,
            "pairwise": math.ceil(math.log2(n)) + 24,
            "lanes": max(math.ceil(n / four) + 2 * four, math.ceil(n / (2 * four)) + 4 * four),
        }
        h = min(n - 1, heights[self.algorithm.summation])
        up = (1 + self.v) ** h
        if self.algorithm.summation == "sequential":
            up = min(up, 1 + h * self.u)
        extra = 1 if self.algorithm.rescaled else 0
        return up * (1 + self.v) ** extra, (1 + self.u) ** (h + extra)

    def _sum(self, lows: list[Any], highs: list[Any]) -> tuple[Any, Any]:
        up, down = self._growth()
        return max(MP.fsum(lows) / down, *lows), MP.fsum(highs) * up

    def _quotient(self, i: int, ends: list[tuple[Any, Any]], low: Any, high: Any) -> tuple[Any, Any]:
        """(Q): the i-th exponential is the same number above and below the line, but for a running sum."""
        lo, hi = ends[i]
        smallest = low
        if self.algorithm.argument == "running":
            q = lo / high, hi / low
        else:
            up, down = self._growth()
            others = [end for j, end in enumerate(ends) if j != i]
            top = self.row.index(max(self.row))
            most = hi / ((hi + MP.fsum(end[0] for end in others)) / down) if hi else MP.mpf(0)
            beside = hi / ends[top][0] if ends[top][0] else MP.inf
            least = lo / ((lo + MP.fsum(end[1] for end in others)) * up) if lo else MP.mpf(0)
            q = least, min(most, beside)
        if self.algorithm.rescaled:
            lost = (self.eta / 2 + self.eta / smallest) * (1 + self.e)
            wrong = (1 + self.v) ** 3 - 1
            q = q[0] * (1 - wrong) - lost, q[1] * (1 + wrong) + lost
            q = max(q[0], MP.mpf(0)), q[1]
        if self.algorithm.division == "reciprocal":
            wrong = max(self.v, self.eta / 2 * high)
            q = max(q[0] * (1 - wrong), MP.mpf(0)), q[1] * (1 + wrong)
        if self.inside != self.fmt:
            q = q[0] - max(self.v * q[0], self.eta / 2), q[1] + max(self.v * q[1], self.eta / 2)
        q = max(q[0], MP.mpf(0)), q[1]
        low, high = max(q[0] - self._half_ulp(q[0]), MP.mpf(0)), q[1] + self._half_ulp(q[1])
        return low, high if self.algorithm.argument == "running" else min(high, MP.mpf(1))

    def _half_ulp(self, q: Any) -> Any:
        return MP.ldexp(1, self._exponent(q, self.fmt) - self.fmt.precision)

    def _exponent(self, q: Any, fmt: FloatFormat) -> int:
        return max(MP.frexp(q)[1] - 1 if q > 0 else fmt.emin, fmt.emin)
