"""The exact log_softmax and logsumexp in mpmath: slow, plain, and the judge of the fast path.

For one row with maximum x_1 of multiplicity c, let t be the sum of exp(x_j - x_1) over the other finite
entries, and L = log(c + t). Then log_softmax is -((x_1 - x_i) + L), and logsumexp is x_1 + L.

* One unmasked entry: they are 0 and x_1 itself, rational numbers, rounded as such.
* Else neither is rational: exp(-q) = sum exp(x_j - x_i), q rational, is an equation between exponentials of
  rational numbers. By Lindemann-Weierstrass they are linearly independent if the exponents differ, and after
  terms of equal exponents are joined at least two are left, or one of a multiplicity other than 1. So every
  enclosure (`reference.enclosures`) may be read as an *open* interval, and raising the precision decides any
  question about rational numbers, the sign of a logsumexp that cancels among them.

t is known relatively, however small it is, and for c = 1 so is L, which then lies above 0. So the exact ends
x_1 - x_i and x_1 are kept, and a row that one entry dominates never asks for more precision.

Results beyond the format's largest number are rounded as if it went on; infinity then stands for 2^1024,
where float64 itself ends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from mpmath.libmp import fninf, fzero, mpf_neg, mpf_pos
from numpy.typing import ArrayLike, NDArray

from reference.enclosures import (
    GUARD_BITS,
    RESIDUAL_BITS,
    Enclosure,
    Rounded,
    context,
    log_between,
    middle,
    raw,
    refuse_policy_rows,
    rest,
    round_exactly,
    round_open,
    tail,
    weigh,
)
from reference.formats import FloatFormat
from reference.fused import Exact
from reference.inputs import logit_rows
from reference.model import Truth
from reference.row_kinds import RowKind, row_kinds

__all__ = [
    "log_softmax",
    "log_softmax_of_row",
    "log_softmax_of_rows",
    "logsumexp",
    "logsumexp_of_row",
    "logsumexp_of_rows",
    "truth_of_log_softmax",
    "truth_of_logsumexp",
]

Decided = TypeVar("Decided")

_FEWEST_BITS = 64
"""The precision that a number of few bits is sought with at first."""


def log_softmax(x: ArrayLike, bits: int = 200) -> NDArray[np.object_]:
    """Return the exact log_softmax along the last axis, as mpmath numbers.

    Each result has a relative error of at most 2^-bits, also where one entry dominates and its own is next to
    0: the enclosure is narrower than 2^-(bits + 1) of the result, its middle is taken, and rounded to
    bits + 2 bits. Masked entries are -inf, and a single unmasked one is 0. The numbers belong to a context of
    their own of precision `bits`.

    Args:
        x: logits of shape (..., n): an array of a format of `FORMATS`, or anything that
            `numpy.asarray` takes and float64 holds exactly.
        bits: how many bits are right, at least 1.

    Raises:
        ValueError: a row is empty or has no exact result (NaN, +inf, all -inf), a logit
            is not exact in float64, or bits < 1.
    """
    rows, shape = _rows_of(x, bits, "log_softmax")
    result = np.empty(rows.shape, dtype=object)
    for i, row in enumerate(rows.tolist()):
        result[i] = log_softmax_of_row(row, bits)
    return result.reshape(shape)


def log_softmax_of_row(row: Sequence[Exact], bits: int) -> list[Any]:
    """Return the exact log_softmax of a row of exact numbers that has one, as `log_softmax` does."""
    make, counts = context(bits).make_mpf, _unmasked(row)
    values = {-math.inf: make(fninf), **{v: make(fzero) for v in counts}}
    if counts.total() > 1:
        found = _decide(counts, _gaps(counts), bits, lambda r: _middle(r, bits), _everywhere)
        values.update({v: make(mpf_neg(number)) for v, number in found.items()})
    return [values[v] for v in row]


def logsumexp(x: ArrayLike, bits: int = 200) -> Any:
    """Return the exact logsumexp along the last axis: mpmath numbers in an array of shape (...), or one.

    Each has a relative error of at most 2^-bits, also where it cancels and is next to 0. That of a
    single unmasked entry is the entry.

    Args:
        x: logits of shape (..., n), as `log_softmax` takes them.
        bits: how many bits are right, at least 1.

    Raises:
        ValueError: as `log_softmax` does.
    """
    rows, shape = _rows_of(x, bits, "logsumexp")
    result = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows.tolist()):
        result[i] = logsumexp_of_row(row, bits)[0]
    return result.reshape(shape[:-1])[()]


def logsumexp_of_row(row: Sequence[Exact], bits: int) -> list[Any]:
    """Return the exact logsumexp of a row of exact numbers that has one, as `logsumexp` does, in a list."""
    make, counts = context(bits).make_mpf, _unmasked(row)
    top = max(counts)
    if counts.total() == 1:
        return [make(mpf_pos(raw(top), bits + 2, "n"))]
    found = _decide(counts, {top: Fraction(top)}, bits, lambda r: _middle(r, bits), _everywhere)
    return [make(found[top])]


def truth_of_log_softmax(x: NDArray[np.float64], fmt: FloatFormat) -> Truth:
    """Return RN(r) and residuals in `fmt` for (rows, n) logits, raising precision until decided.

    A masked entry has -inf, and the residual 0. A result that rounds to zero has +0.

    Raises:
        ValueError: the rows have no entries.
    """
    return log_softmax_of_rows((row.tolist() for row in x), row_kinds(x), x.shape[1], fmt)


def log_softmax_of_rows(
    rows: Iterable[Sequence[Exact]], kinds: NDArray[np.uint8], length: int, fmt: FloatFormat
) -> Truth:
    """Return what `truth_of_log_softmax` does of rows of exact numbers; see `oracle.truth_of_rows`."""
    nearest = np.full((len(kinds), length), np.nan)
    residual = np.full((len(kinds), length), np.nan)
    for i, row in enumerate(rows):
        if kinds[i] >= RowKind.NAN:
            continue
        counts = _unmasked(row)
        judged = {-math.inf: Rounded(-math.inf, 0.0), **dict.fromkeys(counts, Rounded(0.0, 0.0))}
        if counts.total() > 1:
            bits = fmt.precision + RESIDUAL_BITS
            found = _decide(counts, _gaps(counts), bits, lambda r: _round(r, fmt))
            judged.update({v: rounded.negated() for v, rounded in found.items()})
        nearest[i] = [judged[v].nearest for v in row]
        residual[i] = [judged[v].residual for v in row]
    return Truth(fmt, nearest, residual, kinds)


def truth_of_logsumexp(x: NDArray[np.float64], fmt: FloatFormat) -> Truth:
    """Return RN(r) and residuals in `fmt` of (rows, n) logits, of shape (rows, 1).

    Raises:
        ValueError: the rows have no entries.
    """
    return logsumexp_of_rows((row.tolist() for row in x), row_kinds(x), x.shape[1], fmt)


def logsumexp_of_rows(
    rows: Iterable[Sequence[Exact]],
    kinds: NDArray[np.uint8],
    length: int,  # noqa: ARG001 - as the others take it
    fmt: FloatFormat,
) -> Truth:
    """Return what `truth_of_logsumexp` does of rows of exact numbers; see `oracle.truth_of_rows`."""
    nearest, residual = np.full((len(kinds), 1), np.nan), np.full((len(kinds), 1), np.nan)
    for i, row in enumerate(rows):
        if kinds[i] >= RowKind.NAN:
            continue
        counts = _unmasked(row)
        top = max(counts)
        if counts.total() > 1:
            bits = fmt.precision + RESIDUAL_BITS
            rounded = _decide(counts, {top: Fraction(top)}, bits, lambda r: _round(r, fmt))[top]
        else:
            rounded = round_exactly(Fraction(top), fmt)
        nearest[i], residual[i] = rounded
    return Truth(fmt, nearest, residual, kinds)


def _rows_of(x: ArrayLike, bits: int, op: str) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    if bits < 1:
        raise ValueError(f"bits {bits}: a result needs at least 1 bit; the default is 200")
    rows, shape = logit_rows(x)
    refuse_policy_rows(rows, shape, op)
    return rows, shape


def _unmasked(row: Sequence[Exact]) -> Counter[Exact]:
    counts = Counter(row)
    counts.pop(-math.inf, 0)
    return counts


def _gaps(counts: Counter[Exact]) -> dict[Exact, Fraction]:
    """Return max - v for every distinct logit v."""
    top = Fraction(max(counts))
    return {v: top - Fraction(v) for v in counts}


def _decide(
    counts: Counter[Exact],
    summands: dict[Exact, Fraction],
    bits: int,
    decide: Callable[[Enclosure], Decided | None],
    reach: Callable[[int], float] = tail,
) -> dict[Exact, Decided]:
    """Ask about every summand + L, raising the precision where the answer is None.

    Beyond `reach` exponentials are only bounded, unless L is all there is and asked for itself.
    """
    wp = max(bits, _FEWEST_BITS) + 2 * GUARD_BITS + counts.total().bit_length()
    decided: dict[Exact, Decided] = {}
    while len(decided) < len(summands):
        log, alone = _log(counts, wp, tail(wp)), _log(counts, wp, reach(wp))
        for v in summands.keys() - decided.keys():
            answer = decide(_shifted(log, summands[v]) if summands[v] else alone)
            if answer is not None:
                decided[v] = answer
        wp *= 2
    return decided


def _everywhere(wp: int) -> float:  # noqa: ARG001 - at every precision
    return math.inf


def _log(counts: Counter[Exact], wp: int, reach: float) -> Enclosure:
    """Enclose L. Of several ties it is log 2 or more, and what is deep need not be known."""
    count = counts[max(counts)]
    weights = weigh(counts, wp, min(reach, tail(wp)) if count > 1 else reach)
    return log_between(count, rest(weights, counts, wp), wp)


def _shifted(log: Enclosure, by: Fraction) -> Enclosure:
    """Enclose the sum with a rational number whose denominator is a power of two."""
    exponent = min(log.exponent, 1 - by.denominator.bit_length())
    moved = by.numerator << (1 - by.denominator.bit_length() - exponent)
    widening = log.exponent - exponent
    return Enclosure((log.lo << widening) + moved, (log.hi << widening) + moved, exponent)


def _size(r: Enclosure) -> Enclosure | None:
    """Enclose |r|, r not being 0; None where its sign is open."""
    if r.lo >= 0:
        return r
    return Enclosure(-r.hi, -r.lo, r.exponent) if r.hi <= 0 else None


def _middle(r: Enclosure, bits: int) -> Any:
    """Return r within 2^-bits relative as a raw mpmath number, None where it is not known so well."""
    size = _size(r)
    if size is None or (size.hi - size.lo) << (bits + 1) > size.lo:
        return None
    number = middle(size, bits)
    return number if size is r else mpf_neg(number)


def _round(r: Enclosure, fmt: FloatFormat) -> Rounded | None:
    size = _size(r)
    rounded = None if size is None else round_open(size, fmt)
    return rounded if size is r or rounded is None else rounded.negated()
