"""Rows whose softmax lies as near to a chosen number as one likes: the hardest cases to round."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np

from reference.formats import FloatFormat

BITS = 600


def row_near(target: Fraction, steps: int) -> list[float]:
    """float64 logits whose first softmax is above `target` by a factor of 1 + 2^(-49 steps) or so.

    r = exp(a) / (exp(a) + 1 + w) with w = exp(a) (1 / target - 1) - 1, approached greedily by
    weights that float64 logits have: each leaves 2^-49 of what was missing.
    """
    with mpmath.workprec(BITS):
        odds = mpmath.mpf(target.denominator - target.numerator) / target.numerator
        a = math.nextafter(-float(mpmath.log(odds)), math.inf)
        missing = mpmath.exp(mpmath.mpf(a)) * odds - 1
        row = [a, 0.0]
        for _ in range(steps - 1):
            logit = math.nextafter(float(mpmath.log(missing)), -math.inf)
            missing -= mpmath.exp(mpmath.mpf(logit))
            row.append(logit)
    return row


def targets(fmt: FloatFormat, rng: np.random.Generator, count: int) -> list[Fraction]:
    """Powers of two, numbers and midpoints of a format, in (0, 1), from all over its range.

    1/2 is left out: two equal logits hit it, so nothing is left to approach it by.
    """
    lowest = fmt.quantum_exponent
    powers = [Fraction(2) ** int(e) for e in rng.integers(lowest - 1, 0, count)]
    ordinals = rng.integers(0, fmt.ordinal(fmt.round(Fraction(1))), 2 * count)
    numbers = [(_value(fmt, int(k)), _value(fmt, int(k) + 1)) for k in ordinals]
    midpoints = [(low + high) / 2 for low, high in numbers[:count]]
    found = powers + midpoints + [high for _, high in numbers[count:]]
    return [target for target in found if target not in (Fraction(1, 2), 1)]


def _value(fmt: FloatFormat, ordinal: int) -> Fraction:
    value = fmt.decode(fmt.from_ordinal(ordinal))
    assert value is not None
    return value
