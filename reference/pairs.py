"""What a proof over all pairs needs to know of an op whose results depend on the gap of a pair alone.

The results of (x_1, x_2), x_1 >= x_2, are functions of the gap g = x_1 - x_2, and each rises or falls with g
throughout. So |y - r| is greatest at an end of any range of gaps with the same output y, and so is the error
in ULP within each part in which ulp(r) is the same. `Limit` says where such parts meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from reference.formats import FloatFormat

__all__ = ["LOG_SOFTMAX_PAIRS", "SOFTMAX_PAIRS", "Limit", "Pairs"]

_BITS: Final = 400
"""Precision of a limit; a difference within 2^-_BITS of a number would be needed to mislead."""

_VANISHING: Final = 11
"""From exp(-2^11) on an exponential is less than the smallest subnormal of any format."""


@dataclass(frozen=True)
class Limit:
    """A gap at which |r| reaches a power of two where its ulp doubles: transcendental, so that of no pair.

    Attributes:
        gap: the gap, so close that no number of any format lies between.
        beyond: whether the ulp is the smaller one at gaps beyond it; else at gaps below.
    """

    gap: Fraction
    beyond: bool


@dataclass(frozen=True)
class Pairs:
    """The pairs of an op.

    Attributes:
        limits: the limits up to a gap, of results in a format.
    """

    limits: Callable[[FloatFormat, Fraction], tuple[Limit, ...]]


@lru_cache(maxsize=32)
def _softmax_limits(out: FloatFormat, greatest: Fraction) -> tuple[Limit, ...]:
    """Return the gaps log(2^k - 1) at which r_2 = 1 / (1 + exp(g)) is 2^-k; r_1 is in [1/2, 1)."""
    log = _context(_BITS).log
    limits = (Limit(_fraction(log(2**k - 1)), beyond=True) for k in range(2, -out.emin))
    return tuple(limit for limit in limits if limit.gap <= greatest)


@lru_cache(maxsize=32)
def _log_softmax_limits(out: FloatFormat, greatest: Fraction) -> tuple[Limit, ...]:
    """Return the gaps at which r_1 = -log(1 + exp(-g)) is -2^-k, and r_2 = -log(1 + exp(g)) is -2^k."""
    return tuple(_limits_of_the_first(out, greatest)) + tuple(_limits_of_the_second(greatest))


def _limits_of_the_first(out: FloatFormat, greatest: Fraction) -> Iterator[Limit]:
    context = _context(_BITS)
    for k in range(1, -out.emin):
        gap = _fraction(-context.log(context.expm1(context.ldexp(1, -k))))
        if gap <= greatest:
            yield Limit(gap, beyond=True)


def _limits_of_the_second(greatest: Fraction) -> Iterator[Limit]:
    k = 0
    while (gap := Fraction(2) ** k - _below_power(k)) <= greatest:
        yield Limit(gap, beyond=False)
        k += 1


def _below_power(k: int) -> Fraction:
    """Return 2^k - log(exp(2^k) - 1) = -log(1 - exp(-2^k)), or what is as small as it."""
    if k >= _VANISHING:
        return Fraction(1, 2 ** (2**_VANISHING))
    context = _context(_BITS + 3 * 2**k)
    return _fraction(-context.log1p(-context.exp(-(2**k))))


def _context(bits: int) -> Any:
    import mpmath

    context = mpmath.MPContext()
    context.prec = bits
    return context


def _fraction(value: Any) -> Fraction:
    mantissa, exponent = value.man_exp
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


SOFTMAX_PAIRS: Final = Pairs(_softmax_limits)

LOG_SOFTMAX_PAIRS: Final = Pairs(_log_softmax_limits)
