"""Clopper-Pearson intervals: what a count of events says about their rate.

The interval of k events in n independent trials holds every rate p for which neither k or
more nor k or fewer events are rarer than half of 1 - confidence (Clopper and Pearson,
*Biometrika* 26, 1934). Its coverage is at least the confidence, whatever the rate.

The tails of the binomial are incomplete beta functions, evaluated by the continued fraction
of DLMF 8.17.22 in 160-bit arithmetic: large n cancels digits, fewer than 3 log2 n bits of them.
The ends are found by steps of the third order on logarithms, kept within a bracket, and rounded once. The
search begins in float64, where a step costs a tenth, so that one step in 160 bits ends it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import gmpy2

__all__ = ["CONFIDENCE", "Interval", "clopper_pearson", "exceeds"]

CONFIDENCE: Final = 0.95

_PRECISION: Final = 160
_CLOSE: Final = 2.0**-64  # relative; far below half an ulp of float64
_LEFT: Final = 2.0**-80  # relative
_FLOAT_LEFT: Final = 2.0**-36
_FLOAT_CLOSE: Final = 2.0**-50
_FLOAT_STEPS: Final = 12
_Z: Final = 1.96  # half of the normal interval; only a start
_STEPS: Final = 400  # more than bisection alone would need

Real = Any  # gmpy2.mpfr


class Interval(NamedTuple):
    """The rates that a count is compatible with."""

    low: float
    high: float


@lru_cache(maxsize=4096)
def clopper_pearson(events: int, trials: int) -> Interval:
    """Return the 95 % interval of a rate of which `events` in `trials` independent trials were seen.

    Raises:
        ValueError: not 0 <= events <= trials with trials >= 1.
    """
    if not (0 <= events <= trials and trials >= 1):
        raise ValueError(f"{events} events in {trials} trials: there is no interval for that")
    misses = trials - events
    with gmpy2.context(precision=_PRECISION):
        tail = (1 - gmpy2.mpfr(str(CONFIDENCE))) / 2
        low = 0.0 if events == 0 else float(_Tail(events, misses + 1).root(tail))
        high = 1.0 if misses == 0 else float(1 - _Tail(misses, events + 1).root(tail))
    return Interval(low, high)


def exceeds(events: int, trials: int, rate: float, alpha: float) -> bool:
    """Return whether the one-sided lower bound of the rate lies above `rate`, at level alpha.

    That is so if and only if that many events or more are rarer than alpha where the rate is `rate`.

    Raises:
        ValueError: not 0 <= events <= trials with trials >= 1, or not 0 < rate < 1.
    """
    if not (0 <= events <= trials and trials >= 1 and 0 < rate < 1):
        raise ValueError(f"{events} events in {trials} trials against a rate of {rate}: nothing to compare")
    if events == 0:
        return False
    with gmpy2.context(precision=_PRECISION):
        return bool(_Tail(events, trials - events + 1).value(gmpy2.mpfr(rate)) < alpha)


@dataclass(frozen=True)
class _Tail:
    """I_x(a, b) as a function of x: how likely a or more of a + b - 1 events are, where each has the rate x.

    Its logarithm L rises with u = log x, ever more slowly: the inverse of dL/du is the integral from 0 to 1
    of t^(a-1) ((1 - x t)/(1 - x))^(b-1) dt, which rises with x.
    """

    a: int
    b: int

    def value(self, x: Real) -> Real:
        """Return the tail at x."""
        return self._evaluate(x, self._log_beta())[0]

    def _log_beta(self) -> Real:
        return gmpy2.lngamma(self.a) + gmpy2.lngamma(self.b) - gmpy2.lngamma(self.a + self.b)

    def root(self, value: Real) -> Real:
        """Return the x at which the tail has the value."""
        log_beta = self._log_beta()
        bottom, top, x = gmpy2.mpfr(0), gmpy2.mpfr(1), gmpy2.mpfr(self._start(float(value), float(log_beta)))
        for _ in range(_STEPS):
            tail, elasticity = self._evaluate(x, log_beta)
            bottom, top = (x, top) if tail < value else (bottom, x)
            step, left = self._step(x, gmpy2.log(value / tail), elasticity)
            following = x * gmpy2.exp(step)
            if left * x <= _LEFT * min(x, 1 - x):
                break  # before the bracket: one end of it is x, which the last step may miss by a rounding
            x = following if bottom < following < top else (bottom + top) / 2
        return following

    def _start(self, value: float, log_beta: float) -> float:
        """Return about where the tail has the value: the steps of `root` in float64, as far as they go."""
        x = wilson = self._wilson()
        for _ in range(_FLOAT_STEPS):
            try:
                tail, elasticity = self._evaluate(x, log_beta)
                step, left = self._step(x, math.log(value / tail), elasticity)
                following = x * math.exp(step)
            except (ArithmeticError, ValueError):
                return wilson
            if not 0.0 < following < 1.0:
                return wilson
            if left <= _FLOAT_LEFT:
                return following
            x = following
        return x

    def _step(self, x: Real, missing: Real, elasticity: Real) -> tuple[Real, Real]:
        """Return the step of u at whose end L is more by what is missing, and about the error of the step.

        Write e for the elasticity dL/du, and c for d log e / du. The derivatives of u by L are 1/e, -c/e^2
        and (2 c^2 - c')/e^3. So by Taylor's theorem the step d - c d^2/2, where d is what is missing over e,
        errs by (2 c^2 - c') d^3/6, taken somewhere on the way.

        As e is x^a (1 - x)^(b-1) over the tail, but for a factor, c = a - (b-1) x/(1-x) - e, and
        c' = -(b-1) x/(1-x)^2 - c e.

        Far from the root the second term is cut to half of the first, so that it turns no step round.
        """
        odds = x / (1 - x)
        change = self.a - (self.b - 1) * odds - elasticity
        first = missing / elasticity
        left = ((2 * change + elasticity) * change + (self.b - 1) * odds / (1 - x)) * abs(first) ** 3 / 6
        return first * (1 - max(-0.5, min(0.5, change * first / 2))), abs(left)

    def _wilson(self) -> float:
        """Return Wilson's approximation of the root (JASA 22, 1927), which is never 0 or 1."""
        events, trials = self.a, self.a + self.b - 1
        middle = events + _Z**2 / 2
        spread = _Z * math.sqrt(events * (trials - events) / trials + _Z**2 / 4)
        return (middle - spread) / (trials + _Z**2)

    def _evaluate(self, x: Real, log_beta: Real) -> tuple[Real, Real]:
        """Return the tail at x, and d log tail / d log x; in float64 where x is a float."""
        exp, log = (math.exp, math.log) if isinstance(x, float) else (gmpy2.exp, gmpy2.log)
        a, b, y = self.a, self.b, 1 - x
        front = exp(a * log(x) + b * log(y) - log_beta)
        if x * (a + b + 2) < a + 1:
            tail = front * _fraction(x, a, b) / a
        else:
            tail = 1 - front * _fraction(y, b, a) / b
        return tail, front / y / tail


def _fraction(x: Real, a: int, b: int) -> Real:
    """Return the continued fraction of DLMF 8.17.22, for x < (a+1)/(a+b+2), by Steed's method.

    It is 1/(1 + d1/(1 + d2/(1 + ...))), where the odd terms are negative and the even ones, m(b-m)x/..., are
    not until they end at m = b. Every second of its convergents is one of its even part

        1/(1+d1 - d1 d2/(1+d2+d3 - d3 d4/(1+d4+d5 - ...))),

    whose numerators and denominators are positive: (a+m)(a+b+m)x / (a+2m)(a+2m+1) <= (a+b)x/(a+1) < 1 is
    what -d(2m+1) is at most. So its convergents lie on either side of the value in turn, and their last
    difference is more than what is left out.
    """
    one, close = (1.0, _FLOAT_CLOSE) if isinstance(x, float) else (gmpy2.mpfr(1), _CLOSE)
    odd = (a + b) * x / (a + 1)
    value = difference = inverse = one / (one - odd)
    m = 0
    while abs(difference) > close * value:
        m += 1
        n = a + 2 * m
        even = m * (b - m) * x / (n * (n - 1))
        numerator, odd = odd * even, (a + m) * (a + b + m) * x / (n * (n + 1))
        denominator = one + even - odd
        inverse = one / (denominator + numerator * inverse)
        difference *= denominator * inverse - one
        value += difference
    return value
