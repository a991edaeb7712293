"""What an algorithm exponentiates, and how far rounding moves it.

For every entry of a row, t is the exact argument and k the most that the computed one
differs from it:

* plain: t = x, k = 0;
* constant: t = x + c, k half an ulp of t in the arithmetic, 0 where the sum is a number of it;
* shifted: t = x - max, likewise;
* rescaled, x - m and m - max: half an ulp of each, which is u 2^i and u 2^j of differences in [2^i, 2^(i+1))
  and [2^j, 2^(j+1)). As these add up to |t|, 2^i + 2^j <= |t|, and the greatest such sum is what the two
  highest bits of |t| are worth, T(|t|): k = u T(|t|), exact sums of subnormals adding nothing;
* exp2(t log2 e): k + (|t| + k) d + u T((|t| + k) f) / log2 e. f is log2 e as the arithmetic holds it, a known
  number with a known relative error d; the product is rounded by half an ulp, so T is what its highest
  bit is worth, and for the two products of a rescaled entry, which add up to (|t| + k) f at most,
  the two highest, as above. T never falls. At the bottom of the range each product adds half a
  smallest subnormal.

An entry is *deep* where exp(t + k) is at most half the smallest subnormal, eta.

A running sum meets an entry first against an earlier maximum and multiplies it at every new one: the links
of its `Chain`. Their gaps add up to -t, so their k add up to at most b |t|, b as `Setting.bend`; to 0
where all entries are multiples of some 2^g and the row's range stays below 2^(g + p), so that every
difference is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.elementary import LN2_ABOVE, LOG2E_ABOVE
from reference.bounds.setting import Setting
from reference.formats import FloatFormat

__all__ = [
    "HALF",
    "Arguments",
    "Chain",
    "arguments_of",
    "chain_of",
    "exp2_rounding",
    "rescalings",
    "rounding_of",
    "two_sum",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HALF: Final = 0.5 + 2.0**-51
"""A half, by a few roundings of float64 from above: bits are taken of halves, which cannot overflow."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of (rows, n) entries.

    Attributes:
        t: the argument, within 2^-53 relative; -inf where masked.
        k: the most that the computed one differs from it; 0 where deep.
        deep: whether the exponential is at most half the smallest subnormal; not where masked.
        masked: whether the entry is -inf.
        top: the greatest t of each row, shape (rows, 1).
        most: what no computed argument exceeds, shape (rows, 1); None where their k alone says so. Where
            it is above 0, a kernel may subtract another maximum. An exponential and its ulp then lie in
            another binade.
    """

    t: Floats
    k: Floats
    deep: Flags
    masked: Flags
    top: Floats
    most: Floats | None = None


@dataclass(frozen=True)
class Chain:
    """How entries reach a running sum: the links, and the sum of their k."""

    links: NDArray[np.int64]
    k: Floats


def two_sum(a: Any, b: Any) -> tuple[Floats, Floats]:
    """Return (s, e), s = fl(a + b) and s + e = a + b exactly (Knuth, TAOCP 2, 4.2.2, theorem B)."""
    s = a + b
    virtual = s - a
    return s, (a - (s - virtual)) + (b - virtual)


def shift_of(x: Floats, setting: Setting) -> Any:
    """Return what is added to each row: 0, the constant as the arithmetic holds it, or -max."""
    argument = setting.algorithm.argument
    if argument == "plain":
        return np.float64(0.0)
    if argument == "constant":
        fmt = setting.arithmetic
        return fmt.to_float64(fmt.from_float64(setting.algorithm.constant))
    return -x.max(axis=1, keepdims=True)


def arguments_of(x: Floats, setting: Setting) -> Arguments:
    """Return the arguments of rows of an exact result."""
    t, rest = two_sum(x, shift_of(x, setting))
    masked = x == -np.inf
    if setting.algorithm.argument == "plain":
        k = np.zeros_like(t)
    elif setting.algorithm.rescaled:
        k = 2 * setting.u * _leading(np.abs(t) * HALF, bits=2)
    else:
        k = rounding_of(t, rest, setting.arithmetic)
    if setting.algorithm.exp2:
        k += exp2_rounding(t, k, setting)
    depth = (1 - setting.arithmetic.quantum_exponent) * LN2_ABOVE
    k[np.isinf(t)] = 0.0
    deep = (t + k <= -depth) & ~masked
    k[deep] = 0.0
    return Arguments(t, k, deep, masked, t.max(axis=1, keepdims=True))


def rounding_of(t: Floats, rest: Floats, fmt: FloatFormat) -> Floats:
    """Return half an ulp of each t + rest in a format, 0 where it is one of its numbers.

    Sums in the subnormal range are exact, so the ulp needs no floor beyond the format's.
    """
    exponents = np.maximum(np.frexp(t)[1] - 1, fmt.emin) - fmt.precision + 1
    exact = rest == 0
    if fmt.precision < 53:
        steps = np.ldexp(t, -exponents)
        exact &= steps == np.rint(steps)
    return np.where(exact, 0.0, np.ldexp(0.5, exponents))


def exp2_rounding(t: Floats, k: Floats, setting: Setting) -> Floats:
    """Return what exp2(t log2 e) adds to the k of arguments t.

    A size beyond float64 counts as its largest number: such an entry is deep, whatever its k below |t| / 2.
    """
    size = np.minimum(np.abs(t) + k, np.finfo(np.float64).max)
    return _by_exp2(size, setting) + _product_quantum(t, setting)


def _by_exp2(size: Floats, setting: Setting) -> Floats:
    """Return what the factor and the product add to k where a computed argument is at most `size`."""
    bits = 2 if setting.algorithm.rescaled else 1
    product = 2 * setting.u * _leading(size * (setting.factor * HALF), bits) * LN2_ABOVE
    return np.asarray(size * setting.factor_error + product)


def _leading(value: Floats, bits: int) -> Floats:
    """Return what the highest bits of numbers are worth, 0 of 0."""
    first = np.where(value > 0, np.ldexp(0.5, np.frexp(value)[1]), 0.0)
    return first if bits == 1 else first + _leading(value - first, 1)


def _product_quantum(t: Floats, setting: Setting) -> Floats:
    """Return eta / 2 in units of the argument where t log2 e may be subnormal; of a rescaled entry, two."""
    fmt = setting.arithmetic
    half = float(fmt.smallest_subnormal) * 0.5 * LN2_ABOVE
    if setting.algorithm.rescaled:
        return np.where(t != 0, 2 * half, 0.0)
    return np.where((t != 0) & (np.abs(t) < 2 * float(fmt.smallest_normal)), half, 0.0)


def leaves_range(arguments: Arguments, setting: Setting) -> Flags:
    """Tell in which rows an argument may overflow to what is not -inf.

    -inf is a harmless argument: its exponential is 0, and the exact one below every
    bound's eta. A format without an infinity gives NaN; one above makes the sum overflow, which is told
    apart.
    """
    if setting.arithmetic.has_infinity:
        return np.zeros(arguments.top.shape, dtype=np.bool_)
    size = np.where(arguments.masked, 0.0, np.abs(arguments.t))
    factor = LOG2E_ABOVE * (1 + 2 * setting.v) if setting.algorithm.exp2 else 1.0
    beyond: Flags = (size * factor).max(axis=1, keepdims=True) > float(setting.arithmetic.largest)
    return beyond


# Running sums ------------------------------------------------------------------------------


def rescalings(x: Floats) -> NDArray[np.int64]:
    """Return for each entry how many later entries exceed all before them."""
    highest = np.maximum.accumulate(x, axis=1)
    records = np.zeros(x.shape, dtype=np.int64)
    records[:, 1:] = highest[:, 1:] > highest[:, :-1]
    after: NDArray[np.int64] = records.sum(axis=1, keepdims=True) - np.cumsum(records, axis=1)
    return after


def chain_of(x: Floats, arguments: Arguments, setting: Setting) -> Chain:
    """Return the chains of a running sum, taken entry by entry or block by block.

    One link for every record after the entry; one more for a block below the maximum so
    far, which is rescaled itself. The row's maximum is never rescaled: exp(0) = 1 is taken to be exact.
    """
    links = rescalings(x) + (arguments.t < 0)
    k = np.where(_on_a_grid(x, arguments, setting.arithmetic), 0.0, setting.v * np.abs(arguments.t))
    if setting.algorithm.exp2:
        k = (np.abs(arguments.t) + k) * setting.scaling + k
        k += links * (float(setting.arithmetic.smallest_subnormal) * LN2_ABOVE)
    k[arguments.deep | arguments.masked] = 0.0
    return Chain(links, k)


def _on_a_grid(x: Floats, arguments: Arguments, fmt: FloatFormat) -> Flags:
    """Tell in which rows all differences are numbers of the format."""
    significand, exponent = np.frexp(x)
    digits = np.where(np.isfinite(x), np.ldexp(significand, 53), 0.0).astype(np.int64)
    last = np.frexp((digits & -digits).astype(np.float64))[1] - 1 + exponent - 53
    grid = np.where(digits == 0, np.int64(2**20), last).min(axis=1, keepdims=True)
    span = np.where(arguments.masked, 0.0, -arguments.t).max(axis=1, keepdims=True)
    reach: Flags = np.ldexp(span, -np.clip(grid, -1100, 1100)) < 2.0**fmt.precision
    reach &= span <= float(fmt.largest)
    return reach
