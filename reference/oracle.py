"""The exact softmax in mpmath: slow, plain, and the judge of the fast path.

Every value is an *enclosure* (`reference.enclosures`).

For one row with maximum x_1 of multiplicity c, S = c + t, t the sum of exp(x_j - x_1)
over the other finite entries:

* t = 0: r = 1/c, a rational number, rounded as one;
* t > 0: no r is algebraic (Lindemann-Weierstrass), so every enclosure may be read as an *open* interval.
  Raising the precision therefore decides any question about rational numbers. The maximum's own r = 1/(c + t)
  keeps the exact upper end 1/c however small t is, so that ties at c = 2^k never ask for more precision.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.enclosures import (
    GUARD_BITS,
    RESIDUAL_BITS,
    Enclosure,
    Rounded,
    context,
    middle,
    refuse_policy_rows,
    round_exactly,
    round_open,
    tail,
    total,
    weigh,
)
from reference.formats import FloatFormat
from reference.fused import Exact
from reference.inputs import logit_rows
from reference.model import Truth
from reference.row_kinds import RowKind, row_kinds

__all__ = ["softmax", "softmax_of_row", "truth_mpmath", "truth_of_rows"]


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
    refuse_policy_rows(rows, shape, "softmax")
    result = np.empty(rows.shape, dtype=object)
    for i, row in enumerate(rows.tolist()):
        result[i] = softmax_of_row(row, bits)
    return result.reshape(shape)


def truth_mpmath(x: NDArray[np.float64], fmt: FloatFormat) -> Truth:
    """Return RN(r) and residuals in `fmt` for (rows, n) logits, raising precision until decided.

    Ziv's strategy (ACM TOMS 17, 1991): every element's rounding, binade and residual
    sign are decided by an enclosure, and the residual is known to 2^-40 ulp.

    Raises:
        ValueError: the rows have no entries.
    """
    kinds = row_kinds(x)
    return truth_of_rows((row.tolist() for row in x), kinds, x.shape[1], fmt)


def truth_of_rows(
    rows: Iterable[Sequence[Exact]], kinds: NDArray[np.uint8], length: int, fmt: FloatFormat
) -> Truth:
    """Return what `truth_mpmath` does of rows of exact numbers.

    Args:
        rows: the rows, each of so many numbers; infinities and NaN among them are floats.
        kinds: the `RowKind` of each, shape (rows,).
        length: their length.
        fmt: the output format.
    """
    nearest = np.full((len(kinds), length), np.nan)
    residual = np.full((len(kinds), length), np.nan)
    for i, row in enumerate(rows):
        if kinds[i] >= RowKind.NAN:
            continue
        judged = _judge_row(Counter(row), fmt)
        nearest[i] = [judged[v].nearest for v in row]
        residual[i] = [judged[v].residual for v in row]
    return Truth(fmt, nearest, residual, kinds)


def softmax_of_row(row: Sequence[Exact], bits: int) -> list[Any]:
    """Return the exact softmax of a row of exact numbers that has one, as `softmax` does."""
    counts = Counter(row)
    masked = counts.pop(-math.inf, 0)
    wp = bits + GUARD_BITS + len(row).bit_length()
    weights = weigh(counts, wp, tail=math.inf)
    whole = total(weights, counts, wp)
    make = context(bits).make_mpf
    values = {v: make(middle(_quotient(w, whole, wp), bits)) for v, w in weights.items()}
    if masked:
        values[-math.inf] = context(bits).mpf(0)
    return [values[v] for v in row]


def _quotient(w: Enclosure, whole: Enclosure, wp: int) -> Enclosure:
    """Enclose w / whole.

    Its relative width in units of 2^-wp is at most 16 (w, by (E) on both sides) + 16 + m
    (the sum of m distinct logits, which is at least 1) + 4 (two outward roundings of
    quotients of wp bits or more), to first order: below 2^(6 + bitlength(m)).
    """
    shift = whole.hi.bit_length()
    lo = (w.lo << shift) // whole.hi
    hi = -((-w.hi << shift) // whole.lo)
    return Enclosure(lo, hi, w.exponent + wp - shift)


# Rounding ---------------------------------------------------------------------------------


def _judge_row(counts: Counter[Exact], fmt: FloatFormat) -> dict[Exact, Rounded]:
    """Map each logit of a row to its (RN(r), residual)."""
    masked = counts.pop(-math.inf, 0)
    if len(counts) == 1:
        judged = {v: round_exactly(Fraction(1, c), fmt) for v, c in counts.items()}
    else:
        judged = _judge_transcendental(counts, fmt)
    if masked:
        judged[-math.inf] = Rounded(0.0, 0.0)
    return judged


def _judge_transcendental(counts: Counter[Exact], fmt: FloatFormat) -> dict[Exact, Rounded]:
    wp = fmt.precision + RESIDUAL_BITS + GUARD_BITS + counts.total().bit_length()
    judged: dict[Exact, Rounded] = {}
    while len(judged) < len(counts):
        weights = weigh(counts, wp, tail(wp))
        whole = total(weights, counts, wp)
        for v in counts.keys() - judged.keys():
            rounded = round_open(_quotient(weights[v], whole, wp), fmt)
            if rounded:
                judged[v] = rounded
        wp *= 2
    return judged
