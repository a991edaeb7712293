"""Clopper-Pearson intervals: what a count of events says about their rate.

The interval of k events in n independent trials holds every rate p for which neither k or
more nor k or fewer events are rarer than half of 1 - confidence (Clopper and Pearson,
*Biometrika* 26, 1934). Its coverage is at least the confidence, whatever the rate.

The tails of the binomial are incomplete beta functions, evaluated by the continued fraction
of DLMF 8.17.22 in 160-bit arithmetic: large n cancels digits, fewer than 3 log2 n bits of them.
The ends are found by Newton's method on logarithms, kept within a bracket, and rounded once. The
method begins in float64, where a step costs a tenth.
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
_LAST_STEP: Final = 2.0**-50  # relative; what is left is its square, times a factor of the trials
_START_STEP: Final = 2.0**-40  # relative
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
        low = 0.0 if events == 0 else float(_Tail(events, misses + 1, rising=True).root(tail))
        high = 1.0 if misses == 0 else float(_Tail(misses, events + 1, rising=False).root(tail))
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
        return bool(_Tail(events, trials - events + 1, rising=True).value(gmpy2.mpfr(rate)) < alpha)


@dataclass(frozen=True)
class _Tail:
    """I_p(a, b) where `rising`, else I_{1-p}(a, b), as a function of p."""

    a: int
    b: int
    rising: bool

    def value(self, p: Real) -> Real:
        """Return the tail at p."""
        return self._evaluate(p, self._log_beta())[0]

    def _log_beta(self) -> Real:
        return gmpy2.lngamma(self.a) + gmpy2.lngamma(self.b) - gmpy2.lngamma(self.a + self.b)

    def root(self, value: Real) -> Real:
        """Return the p at which the tail has the value."""
        log_beta = self._log_beta()
        bottom, top, p = gmpy2.mpfr(0), gmpy2.mpfr(1), gmpy2.mpfr(self._start(float(value), float(log_beta)))
        for _ in range(_STEPS):
            tail, elasticity = self._evaluate(p, log_beta)
            bottom, top = (p, top) if (tail < value) == self.rising else (bottom, p)
            following = p * gmpy2.exp(gmpy2.log(value / tail) / elasticity)
            if abs(following - p) <= _LAST_STEP * min(p, 1 - p):
                break  # before the bracket: one end of it is p, which the last step may miss by a rounding
            p = following if bottom < following < top else (bottom + top) / 2
        return following

    def _start(self, value: float, log_beta: float) -> float:
        """Return about where the tail has the value: Newton's method in float64, as far as it goes."""
        p = wilson = self._wilson()
        for _ in range(_FLOAT_STEPS):
            try:
                tail, elasticity = self._evaluate(p, log_beta)
                following = p * math.exp(math.log(value / tail) / elasticity)
            except (ArithmeticError, ValueError):
                return wilson
            if not 0.0 < following < 1.0:
                return wilson
            if abs(following - p) <= _START_STEP * p:
                return following
            p = following
        return p

    def _wilson(self) -> float:
        """Return Wilson's approximation of the end (JASA 22, 1927), which is never 0 or 1."""
        trials = self.a + self.b - 1
        events, side = (self.a, -1) if self.rising else (self.b - 1, 1)
        middle = events + _Z**2 / 2
        spread = _Z * math.sqrt(events * (trials - events) / trials + _Z**2 / 4)
        return (middle + side * spread) / (trials + _Z**2)

    def _evaluate(self, p: Real, log_beta: Real) -> tuple[Real, Real]:
        """Return the tail at p, and d log tail / d log p; in float64 where p is a float."""
        exp, log = (math.exp, math.log) if isinstance(p, float) else (gmpy2.exp, gmpy2.log)
        x, y = (p, 1 - p) if self.rising else (1 - p, p)
        a, b = self.a, self.b
        front = exp(a * log(x) + b * log(y) - log_beta)
        if x * (a + b + 2) < a + 1:
            tail = front * _fraction(x, a, b) / a
        else:
            tail = 1 - front * _fraction(y, b, a) / b
        return tail, (front / y if self.rising else -front / x) / tail


def _fraction(x: Real, a: int, b: int) -> Real:
    """Return the continued fraction of DLMF 8.17.22 by Lentz's method, for x < (a+1)/(a+b+2)."""
    c, close = (1.0, _FLOAT_CLOSE) if isinstance(x, float) else (gmpy2.mpfr(1), _CLOSE)
    value = d = 1 / (1 - (a + b) * x / (a + 1))
    m = 0
    while abs(c * d - 1) > close or m == 0:
        m += 1
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + term / c, 1 / (1 + term * d)
            value *= c * d
    return value
