"""Ways in which softmax is honestly written, and ways in which it is nearly right.

Each is a function of rows (rows, n) in float32 or float64, run step by step in that format, unless it says
otherwise. An exp takes arguments from -inf to 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Exp = Callable[[Array], Array]
Sum = Callable[[Array], Array]

MP = mpmath.MPContext()
MP.prec = 200
LN2 = Fraction(int(MP.floor(MP.ldexp(MP.ln(2), 160))), 1 << 160)
LOG2E = math.log2(math.e)


def top(x: Array) -> Array:
    return np.asarray(x.max(axis=-1, keepdims=True))


def shifted(exp: Exp, total: Sum, *, reciprocal: bool = False) -> Callable[[Array], Array]:
    def softmax(x: Array) -> Array:
        e = exp(x - top(x)).astype(x.dtype)
        return np.asarray(e * (x.dtype.type(1) / total(e)) if reciprocal else e / total(e))

    return softmax


# Exponentials --------------------------------------------------------------------------------


def split(value: Fraction, bits: int, dtype: Any) -> tuple[Any, Any]:
    """A constant as high + low in a format, high having so few bits that small multiples are exact."""
    unit = Fraction(2) ** (math.floor(math.log2(value)) - bits + 1)
    high = round(value / unit) * unit
    return dtype(float(high)), dtype(float(value - high))


def reduced(t: Array, steps: int) -> tuple[Array, Array]:
    """k and r with t = k ln 2 / steps + r, r small."""
    dtype = t.dtype.type
    t = np.maximum(t, dtype(-120 if t.itemsize == 4 else -800))
    high, low = split(LN2 / steps, 11 if t.itemsize == 4 else 30, dtype)
    k = np.rint(t * dtype(steps * LOG2E))
    return k, (t - k * high) - k * low


def coefficients(t: Array, degree: int) -> list[Any]:
    return [t.dtype.type(1 / math.factorial(i)) for i in range(degree + 1)]


def scaled(p: Array, k: Array) -> Array:
    return np.ldexp(p, k.astype(np.int32)).astype(p.dtype)


def by_horner(t: Array) -> Array:
    k, r = reduced(t, 1)
    c = coefficients(t, 7 if t.itemsize == 4 else 13)
    p = np.full_like(r, c[-1])
    for a in c[-2::-1]:
        p = p * r + a
    return scaled(p, k)


def by_estrin(t: Array) -> Array:
    k, r = reduced(t, 1)
    c: list[Any] = coefficients(t, 7 if t.itemsize == 4 else 13)
    c += [t.dtype.type(0)] * (-len(c) % (8 if t.itemsize == 4 else 16))
    power = r
    while len(c) > 1:
        c = [c[i] + power * c[i + 1] for i in range(0, len(c), 2)]
        power = power * power
    return scaled(c[0], k)


def by_table(t: Array) -> Array:
    """2^(j/32) from a table, times a short polynomial."""
    k, r = reduced(t, 32)
    values = np.exp2(np.arange(32) / 32).astype(t.dtype)[(k % 32).astype(int)]
    p = np.zeros_like(r)
    for a in coefficients(t, 4 if t.itemsize == 4 else 6)[:0:-1]:
        p = (p + a) * r if a != 1 else p * r + r
    return scaled(values + values * p, np.floor(k / 32))


def by_split_exp2(t: Array) -> Array:
    """exp2 of t log2 e as high + low, t being split too, so that the product loses nothing that counts."""
    dtype = t.dtype.type
    t = np.maximum(t, dtype(-200 if t.itemsize == 4 else -1200))
    high, low = split(1 / LN2, 12 if t.itemsize == 4 else 26, dtype)
    scaled_up = t * dtype(4097 if t.itemsize == 4 else 134217729)
    front = scaled_up - (scaled_up - t)
    k = np.rint(t * dtype(LOG2E))
    return scaled(np.exp2(((front * high - k) + (t - front) * high) + t * low), k)


def by_plain_exp2(t: Array) -> Array:
    return np.asarray(np.exp2(t * t.dtype.type(LOG2E)))


# Sums ----------------------------------------------------------------------------------------


def numpys(e: Array) -> Array:
    return np.asarray(e.sum(axis=-1, keepdims=True))


def one_by_one(e: Array) -> Array:
    return np.asarray(np.cumsum(e, axis=-1)[..., -1:])


def by_halves(e: Array) -> Array:
    while e.shape[-1] > 1:
        half = e.shape[-1] // 2
        e = np.concatenate([e[..., :half] + e[..., half : 2 * half], e[..., 2 * half :]], axis=-1)
    return e


def in_lanes(lanes: int) -> Sum:
    def total(e: Array) -> Array:
        zeros = np.zeros((*e.shape[:-1], -e.shape[-1] % lanes), e.dtype)
        filled = np.concatenate([e, zeros], axis=-1).reshape(*e.shape[:-1], -1, lanes)
        return by_halves(np.cumsum(filled, axis=-2)[..., -1, :])

    return total


def by_kahan(e: Array) -> Array:
    s, c = np.zeros(e.shape[:-1], e.dtype), np.zeros(e.shape[:-1], e.dtype)
    for j in range(e.shape[-1]):
        y = e[..., j] - c
        larger = s + y
        s, c = larger, (larger - s) - y
    return s[..., None]


# Passes and quotients ------------------------------------------------------------------------


def by_newton(x: Array) -> Array:
    """A reciprocal of 12 bits, improved until it is as good as the format, without fused operations."""
    e = np.exp(x - top(x))
    s = numpys(e)
    fraction, exponent = np.frexp(1 / s.astype(np.float64))
    r = np.ldexp(np.rint(fraction * 4096) / 4096, exponent).astype(x.dtype)
    for _ in range(2 if x.itemsize == 4 else 3):
        r = r + r * (x.dtype.type(1) - s * r)
    return np.asarray(e * r)


def online(x: Array) -> Array:
    """One pass that rescales its sum at every new maximum (Milakov and Gimelshein 2018)."""
    m = np.full(x.shape[:-1], -np.inf, x.dtype)
    s = np.zeros(x.shape[:-1], x.dtype)
    for j in range(x.shape[-1]):
        larger = np.maximum(m, x[..., j])
        factor = np.where(larger == m, 1, np.exp(np.where(np.isneginf(m), -np.inf, m - larger)))
        e = np.exp(np.where(np.isneginf(x[..., j]), -np.inf, x[..., j] - larger))
        s, m = (s * factor.astype(x.dtype) + e.astype(x.dtype)).astype(x.dtype), larger
    return np.asarray(np.exp(x - m[..., None]) / s[..., None])


def binary64_inside(x: Array) -> Array:
    z = x.astype(np.float64)
    e = np.exp(z - top(z))
    return np.asarray((e / e.sum(axis=-1, keepdims=True)).astype(x.dtype))


def by_the_logarithm_of_the_sum(x: Array) -> Array:
    t = x - top(x)
    return np.asarray(np.exp(t - np.log(numpys(np.exp(t)))))


def directed(exact: Array, ulps: float, sign: int, like: Array) -> Array:
    """The number of a format that lies farthest to one side of wider values, within so many ulps of them."""
    fmt = np.finfo(like.dtype)
    exponent = np.maximum(np.frexp(exact)[1] - 1, fmt.minexp)
    goal = exact + sign * ulps * np.ldexp(exact.dtype.type(1), exponent - fmt.nmant)
    y = goal.astype(like.dtype)
    beyond = y > goal if sign > 0 else y < goal
    return np.where(beyond, np.nextafter(y, like.dtype.type(-np.inf if sign > 0 else np.inf)), y)


def by_a_poor_logarithm(exp_ulps: float, log_ulps: float, sign: int) -> Callable[[Array], Array]:
    """exp(t - log s), the exps that are summed off to one side, the last one to the other."""

    def softmax(x: Array) -> Array:
        wide = np.float64 if x.itemsize == 4 else np.longdouble
        t = x - top(x)
        e = np.where(t == 0, x.dtype.type(1), directed(np.exp(t.astype(wide)), exp_ulps, -sign, x))
        s = one_by_one(e)
        log = np.where(s == 1, 0, directed(np.log(s.astype(wide)), log_ulps, -sign, x)).astype(x.dtype)
        z = t - log
        return np.where(z == 0, x.dtype.type(1), directed(np.exp(z.astype(wide)), exp_ulps, sign, x))

    return softmax


def split_rows(width: int, exp: Exp = np.exp, *, normalised: bool = False) -> Callable[[Array], Array]:
    """Blocks summed against their own maxima, brought to that of the row at the end."""

    def softmax(x: Array) -> Array:
        sums, parts = [], []
        for first in range(0, x.shape[-1], width):
            part = x[..., first : first + width]
            m = top(part)
            e = exp(np.where(np.isneginf(m), -np.inf, part - m).astype(x.dtype))
            s, factor = one_by_one(e), exp(m - top(x))
            sums.append(s * factor)
            parts.append(e / np.where(s == 0, 1, s).astype(x.dtype) * sums[-1] if normalised else e * factor)
        return np.asarray(np.concatenate(parts, axis=-1) / one_by_one(np.concatenate(sums, axis=-1)))

    return softmax


STANDARD: dict[str, Callable[[Array], Array]] = {
    "NumPy's": shifted(np.exp, numpys),
    "a reciprocal": shifted(np.exp, numpys, reciprocal=True),
    "a Newton reciprocal": by_newton,
    "Horner's exp": shifted(by_horner, numpys),
    "Estrin's exp": shifted(by_estrin, numpys),
    "a table": shifted(by_table, numpys),
    "a split exp2": shifted(by_split_exp2, numpys),
    "a tree": shifted(np.exp, by_halves),
    **{f"{n} lanes": shifted(np.exp, in_lanes(n), reciprocal=True) for n in (4, 8, 16, 64, 256, 1024)},
    "Kahan's sum": shifted(np.exp, by_kahan),
    "sorted": shifted(np.exp, lambda e: numpys(np.sort(e, axis=-1))),
    "reversed": shifted(np.exp, lambda e: numpys(e[..., ::-1])),
    "binary64 inside": binary64_inside,
}
"""What keeps `standard`."""

FAST: dict[str, Callable[[Array], Array]] = {
    "one by one": shifted(np.exp, one_by_one),
    "online": online,
    "backwards": shifted(np.exp, lambda e: one_by_one(e[..., ::-1])),
    "exp2": shifted(by_plain_exp2, one_by_one, reciprocal=True),
    "exp(t - log s)": by_the_logarithm_of_the_sum,
    "split rows": split_rows(16),
    "split rows, normalised": split_rows(64, normalised=True),
    "split rows by exp2": split_rows(100, by_plain_exp2, normalised=True),
}
"""What keeps `fast`, and not `standard`."""


# What is broken ------------------------------------------------------------------------------


def stepped(y: Array, steps: int) -> Array:
    """Outputs so many units in the last place lower, where they are normal."""
    bits = y.view({2: np.int16, 4: np.int32, 8: np.int64}[y.itemsize]).copy()
    bits[y >= 2 * np.finfo(y.dtype).tiny] -= steps
    return bits.view(y.dtype)


def low_by_13_units(x: Array) -> Array:
    return stepped(STANDARD["NumPy's"](x), 13)


def low_reciprocal(x: Array) -> Array:
    e = np.exp(x - top(x))
    return np.asarray(e * ((1 / numpys(e)) * x.dtype.type(1 - 3.5e-7)))


def exp_off_by_4(t: Array) -> Array:
    return np.where(t == 0, 1, stepped(np.exp(t), -4)).astype(t.dtype)


def truncated_shift(x: Array) -> Array:
    """x - max truncated to the format."""
    wide = x.astype(np.longdouble if x.itemsize == 8 else np.float64)
    exact = wide - top(wide)
    t = exact.astype(x.dtype)
    t = np.where(np.abs(t.astype(wide.dtype)) > np.abs(exact), np.nextafter(t, x.dtype.type(0)), t)
    e = np.exp(t)
    return np.asarray(e / numpys(e))


def short_of_one(x: Array) -> Array:
    """x (n - 1) / n, as of one entry too many in the sum's count."""
    n = x.shape[-1]
    y = STANDARD["NumPy's"](x)
    return np.asarray(y * x.dtype.type((n - 1) / n)) if n > 1 else y


BROKEN: dict[str, tuple[Callable[[Array], Array], tuple[str, ...]]] = {
    "low by 13 units": (low_by_13_units, ("standard", "fast")),
    "a low reciprocal": (low_reciprocal, ("standard", "fast")),
    "an exp off by 4": (shifted(exp_off_by_4, numpys), ("standard",)),
    "x - max truncated": (truncated_shift, ("standard",)),
    "(n - 1) / n": (short_of_one, ("standard", "fast")),
}
"""What is refused, and by which tiers."""
