"""Which rows drive an algorithm out of range: decided, not estimated.

Every question compares something about a row with a rational limit. binary64 answers it
where the two differ by more than `DOUBT` relatively, which its errors here, below 2^-36, cannot
bridge; the exact softmax answers the rest. It knows every sum of exponentials: beside an entry -c,
whose share is r, sum exp(x + c) = 1/r - 1; and sum exp(x - max) = 1 / max r.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.elementary import exp_parts
from reference.bounds.exponential_sums import exponential_sums
from reference.declaration import Argument
from reference.oracle import softmax
from reference.reductions import over_rows

__all__ = ["Limits", "steps_exceed", "sums_exceed", "tops_below"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DOUBT: Final = 2.0**-30
_LN2: Final = 0.6931471805599453

_MOST_BITS: Final = 4096
"""A sum that agrees with a limit to so many bits equals it: all entries are equal, for else
it is transcendental (Lindemann-Weierstrass)."""


@dataclass(frozen=True, eq=False)
class Limits:
    """The limit of each row: a batch has few that differ, and one number of each is made for all its rows.

    Attributes:
        distinct: the limits.
        places: that of each row's limit among them.
    """

    distinct: Sequence[Fraction]
    places: NDArray[np.intp]

    @classmethod
    def of(cls, limits: Limits | Sequence[Fraction]) -> Limits:
        """Return the limits of rows that are given one by one."""
        return limits if isinstance(limits, Limits) else cls(limits, np.arange(len(limits)))

    @classmethod
    def same(cls, limit: Fraction, rows: int) -> Limits:
        """Return one limit for so many rows."""
        return cls([limit], np.zeros(rows, dtype=np.intp))

    def __getitem__(self, row: int) -> Fraction:
        return self.distinct[int(self.places[row])]

    def __iter__(self) -> Iterator[Fraction]:
        return map(self.distinct.__getitem__, self.places.tolist())

    def of_rows(self, rows: NDArray[np.intp]) -> Limits:
        """Return the limits of some rows."""
        return Limits(self.distinct, self.places[rows])

    def rounded(self) -> Floats:
        """Return each as float64."""
        return np.array([float(limit) for limit in self.distinct])[self.places]

    def scaled(self) -> tuple[Floats, Floats]:
        """Return `_scaled` of each, as an array of f and one of k."""
        significand, power = np.array([_scaled(limit) for limit in self.distinct]).T
        return significand[self.places], power[self.places]


def tops_below(x: Floats, c: float, emin: int) -> Flags:
    """Tell in which rows exp(max x + c) < 2^emin."""
    top = over_rows(np.maximum, x)
    distance = (top + c) - emin * _LN2
    below: Flags = distance < 0
    for row in np.flatnonzero(np.abs(distance) < DOUBT * (np.abs(top) + abs(c) + abs(emin))):
        below[row] = _decide(_ratio(float(top[row]), -c), Fraction(2) ** emin, above=False)
    return below


def sums_exceed(x: Floats, argument: Argument, c: float, limits: Limits | Sequence[Fraction]) -> Flags:
    """Tell in which rows sum exp(t) exceeds its limit; of a running maximum, that of some prefix."""
    limits = Limits.of(limits)
    if argument == "running":
        return _prefixes_exceed(x, limits)
    top = over_rows(np.maximum, x)
    shift = -top if argument == "shifted" else np.full(len(x), c)
    with np.errstate(over="ignore"):
        found, close = _by_greatest(top + shift, x.shape[1], limits)
        rows = np.flatnonzero(close)
        if rows.size:
            found[rows], doubtful = _compare(*exponential_sums(x[rows], shift[rows]), limits.of_rows(rows))
            rows = rows[doubtful]
    for row in rows.tolist():
        found[row] = _sum_exceeds(x[row], argument, c, limits[row])
    return found


def steps_exceed(x: Floats, argument: Argument, c: float, limits: Limits | Sequence[Fraction]) -> Flags:
    """Tell in which rows a difference or sum that forms t exceeds its limit."""
    limits = Limits.of(limits)
    found = np.zeros(len(x), dtype=np.bool_)
    rough = limits.rounded()[:, None]
    for a, b in _steps(x, argument, c):
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.where(np.isinf(a) | np.isinf(b), 0.0, np.abs(a + b))
        found |= (size * (1 - DOUBT) > rough).any(axis=1)
        for row in np.flatnonzero(((size >= rough * (1 - DOUBT)) & (size > 0)).any(axis=1) & ~found).tolist():
            found[row] = _some_step_exceeds(a[row], b[row], limits[row])
    return found


# Sums --------------------------------------------------------------------------------------


def _by_greatest(top: Floats, n: int, limits: Limits) -> tuple[Flags, Flags]:
    """Tell where the greatest t decides: where the sum of n terms exceeds its limit, and where that is open.

    exp(top) <= sum exp(t) <= n exp(top).
    """
    significand, power = limits.scaled()
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.log(significand) + power * _LN2
        margin = DOUBT * (1 + np.abs(top) + np.abs(limit))
        exceeds, falls_short = top > limit + margin, top + np.log(n) < limit - margin
    return exceeds, ~(exceeds | falls_short)


def _compare(fraction: Floats, exponent: NDArray[Any], limits: Limits) -> tuple[Flags, Flags]:
    """Tell where f 2^k exceeds its limit, and where that is in doubt."""
    significand, power = limits.scaled()
    # The quotient of two numbers in [1/2, 2^31) is off by 2^-52; 1000 binades are far from any doubt.
    distance = np.clip(exponent - power, -1000, 1000).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = np.ldexp(fraction / significand, distance)
    doubtful: Flags = np.abs(quotient - 1) < DOUBT
    return (quotient > 1) & (fraction > 0), doubtful & (significand > 0)


def _scaled(limit: Fraction) -> tuple[float, int]:
    """Return (f, k) with limit = f 2^k, f in [1/4, 2) or 0, rounded once."""
    if limit <= 0:
        return 0.0, 0
    power = limit.numerator.bit_length() - limit.denominator.bit_length()
    return float(limit / Fraction(2) ** power), power


def _sum_exceeds(row: Floats, argument: Argument, c: float, limit: Fraction) -> bool:
    if argument == "shifted":
        return _decide(_shares(row.tolist(), int(np.argmax(row))), 1 / limit, above=False)
    return _decide(_shares([*row.tolist(), -c], len(row)), 1 / (1 + limit), above=False)


def _prefixes_exceed(x: Floats, limits: Limits) -> Flags:
    """Run the sums; a prefix of at most as many entries as its limit cannot exceed it."""
    found = np.zeros(len(x), dtype=np.bool_)
    count = (x > -np.inf).sum(axis=1)
    rows = np.flatnonzero([int(n) > limit for n, limit in zip(count, limits, strict=True)])
    if rows.size:
        sums = _running_sums(x[rows])
        for row, running in zip(rows.tolist(), sums, strict=True):
            found[row] = _some_prefix_exceeds(x[row], running, limits[row])
    return found


def _running_sums(x: Floats) -> Floats:
    """Return the sum of every prefix against that prefix's maximum."""
    highest = np.maximum.accumulate(x, axis=1)
    sums = np.zeros_like(x)
    sums[:, 0] = x[:, 0] > -np.inf
    with np.errstate(invalid="ignore", over="ignore"):  # masked entries: -inf - -inf
        fall, t = highest[:, :-1] - highest[:, 1:], x - highest
    for i in range(1, x.shape[1]):
        sums[:, i] = sums[:, i - 1] * _exp(fall[:, i - 1]) + _exp(t[:, i])
    return sums


def _exp(t: Floats) -> Floats:
    fraction, exponent = exp_parts(np.where(np.isnan(t), -np.inf, t))
    return np.asarray(np.ldexp(fraction, exponent))


def _some_prefix_exceeds(row: Floats, sums: Floats, limit: Fraction) -> bool:
    [exceeds], [in_doubt] = _compare(
        sums.max(keepdims=True), np.zeros(1, dtype=np.int64), Limits.same(limit, 1)
    )
    if not in_doubt:
        return bool(exceeds)
    doubtful = np.flatnonzero(sums > float(limit) * (1 - 2 * DOUBT))
    return any(_sum_exceeds(row[: end + 1], "shifted", 0.0, limit) for end in doubtful.tolist())


# Steps -------------------------------------------------------------------------------------


def _steps(x: Floats, argument: Argument, c: float) -> Iterator[tuple[Floats, Floats]]:
    """Yield the operands of the additions that form t, of shape (rows, n); masked entries as -inf."""
    if argument == "shifted":
        yield x, np.broadcast_to(-x.max(axis=1, keepdims=True), x.shape)
    elif argument == "constant":
        yield x, np.full_like(x, c)
    elif argument == "running":
        highest = np.maximum.accumulate(x, axis=1)
        yield x, -highest
        yield highest[:, :-1], -highest[:, 1:]


def _some_step_exceeds(a: Floats, b: Floats, limit: Fraction) -> bool:
    finite = np.isfinite(a) & np.isfinite(b)
    pairs = zip(a[finite].tolist(), b[finite].tolist(), strict=True)
    return any(abs(Fraction(first) + Fraction(second)) > limit for first, second in pairs)


# Exact decisions ---------------------------------------------------------------------------


def _shares(row: list[float], index: int) -> Any:
    """Return a function of bits that gives the share of an entry, good to 2^-bits relative."""

    def share(bits: int) -> Fraction:
        return _fraction(softmax(np.array(row), bits)[index])

    return share


def _ratio(a: float, b: float) -> Any:
    """Return a function of bits that gives exp(a - b), good to 2^(2 - bits) relative."""

    def ratio(bits: int) -> Fraction:
        first, second = softmax(np.array([a, b]), bits)
        return _fraction(first) / _fraction(second)

    return ratio


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.man)) * Fraction(2) ** int(value.exp)


def _decide(number: Any, limit: Fraction, *, above: bool) -> bool:
    """Tell whether a number lies above, or below, a limit; neither where they are equal."""
    bits = 64
    while bits <= _MOST_BITS:
        value = number(bits)
        if abs(value - limit) * 2 ** (bits - 3) > value:
            return bool((value > limit) == above)
        bits *= 2
    return False
