"""Defects of exp: too narrow, too coarse, cut off, or without the numbers below the normal range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import WIDE, listed, shares, top
from reference.formats import FORMATS

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _with(exp: Callable[[Array], Array], z: Array) -> Array:
    """Return the softmax with another exp, which takes numbers down to -inf, and no NaN."""
    t = z - top(z)
    e = exp(np.where(np.isnan(t), 0, t)).astype(z.dtype)
    return shares(np.where(np.isnan(t), t, e))


def in_float16(z: Array) -> Array:
    """onnxruntime 24577, llama.cpp 4742: half-precision arithmetic inside."""
    return _with(lambda t: np.exp(t.astype(np.float16)), z)


def in_bfloat16(z: Array) -> Array:
    """tt-metal 12847: an exp of eight bits."""
    return _with(lambda t: np.exp(t.astype(FORMATS["bfloat16"].dtype)), z)


def in_float32(z: Array) -> Array:
    """expf for a softmax of float64."""
    return _with(lambda t: np.exp(t.astype(np.float32)), z)


def bit_trick(z: Array) -> Array:
    """Schraudolph (Neural Computation 11, 1999): exp by integer arithmetic on the bits, good to 3 %."""

    def exp(t: Array) -> Array:
        bits = np.maximum(t.astype(np.float64), -87.0) * (2.0**23 / math.log(2.0)) + 127 * 2.0**23 - 366_393
        return np.where(t < -87, 0, bits.astype(np.int32).view(np.float32))

    return _with(exp, z)


def power_of_two(z: Array) -> Array:
    """NNPACK 174: 2^n without the fraction, in the tail's path."""
    return _with(lambda t: np.ldexp(1.0, np.floor(np.maximum(t, -2000) / math.log(2.0)).astype(np.int64)), z)


def polynomial(z: Array, short: int) -> Array:
    """A Taylor polynomial of too low a degree behind a sound reduction (tt-metal 12847: exp off by 4 %)."""
    degree = {2: 4, 4: 6, 8: 11}[z.itemsize] - short

    def exp(t: Array) -> Array:
        t = np.maximum(t.astype(np.float64), -2000)
        k = np.rint(t / math.log(2.0))
        r = t - k * math.log(2.0)
        series = [1 / math.factorial(i) for i in range(degree, -1, -1)]
        return np.asarray(np.ldexp(np.polyval(series, r), k.astype(int)))

    return _with(exp, z)


def repeated_squaring(z: Array, doublings: int) -> Array:
    """(1 + x / 2^k)^(2^k), as embedded libraries write it."""
    return _with(lambda t: np.maximum(1 + np.maximum(t, -(2.0**30)) / 2**doublings, 0) ** (2**doublings), z)


def table(z: Array, entries: int) -> Array:
    """A table with linear interpolation between -16 and 0, as for quantised networks."""
    knots = np.linspace(-16.0, 0.0, entries)
    return _with(lambda t: np.where(t < -16, 0, np.interp(t, knots, np.exp(knots))), z)


def log2_e_truncated(z: Array, digits: int) -> Array:
    """exp2(x * 1.4427): a constant typed in with too few digits."""
    factor = z.dtype.type(math.floor(math.log2(math.e) * 10**digits) / 10**digits)
    return _with(lambda t: np.exp2(t * factor), z)


def log_2_truncated(z: Array, digits: int) -> Array:
    """A reduction by 0.6931: each step of k loses what the constant lacks."""
    step = math.floor(math.log(2.0) * 10**digits) / 10**digits

    def exp(t: Array) -> Array:
        t = np.maximum(t.astype(np.float64), -2000)
        k = np.rint(t / step)
        return np.asarray(np.ldexp(np.exp(t - k * step), k.astype(int)))

    return _with(exp, z)


def by_a_rounded_log2_e(z: Array) -> Array:
    """exp2(x log2 e), the product rounded: fast allows it (attention kernels on GPUs), standard does not."""
    return _with(lambda t: np.exp2(t * t.dtype.type(math.log2(math.e))), z)


def a_base_of_two(z: Array) -> Array:
    """exp2 for exp: the factor log2 e was to be folded into the scale, and was not."""
    return _with(np.exp2, z)


def arguments_clamped(z: Array, least: float) -> Array:
    """exp(max(x, -c)), lest exp underflow: what is far below the maximum keeps exp(-c)."""
    return _with(lambda t: np.exp(np.maximum(t, -t.dtype.type(least))), z)


def cut_off(z: Array, least: float) -> Array:
    """0 below -c, where exp still has a value of its own."""
    return _with(lambda t: np.where(t < -least, 0, np.exp(t)), z)


def subnormals_flushed(z: Array) -> Array:
    """-ffast-math sets FTZ: numbers below the smallest normal one become 0."""
    y = shares(np.exp(z - top(z)))
    return np.where(y < np.finfo(z.dtype).tiny, 0, y)


def exponent_wraps(z: Array) -> Array:
    """2^k put together from bits, with no thought of the subnormal numbers: k below -126 wraps around."""

    def exp(t: Array) -> Array:
        t = np.maximum(t, -1e4)
        k = np.rint(t / math.log(2.0)).astype(np.int64)
        scale = ((k + 127) % 256).astype(np.uint32) << np.uint32(23)
        return np.where(k < -500, 0, np.exp(t - k * math.log(2.0)) * scale.view(np.float32))

    return _with(exp, z)


def eight_ulps(z: Array, ulps: int) -> Array:
    """A vector library in its low-accuracy mode (Intel SVML's _ep functions keep half the bits)."""

    def exp(t: Array) -> Array:
        e = np.exp(t)
        wave = np.where(t == 0, 0, np.where(np.floor(t * 64) % 2 == 0, ulps, -ulps))
        return np.asarray(e * (1 + wave * np.finfo(t.dtype).eps).astype(t.dtype))

    return _with(exp, z)


def one_argument(z: Array, least: float) -> Array:
    """A wrong entry in a table of exp: a narrow range of arguments is off by an eighth."""
    return _with(lambda t: np.exp(t) * np.where((t < -least) & (t > -least - 1 / 16), 1.125, 1), z)


_DIGITS: Final = {"draw": lambda r: (r.randint(3, 5),), "each": 2}

DEFECTS: Final = listed(
    "exp",
    (
        (in_float16, {"causes": ("exp.inaccurate",), "formats": WIDE}),
        (in_bfloat16, {"causes": ("exp.inaccurate",), "formats": ("float16", *WIDE)}),
        (in_float32, {"causes": ("exp.inaccurate",), "formats": ("float64",)}),
        (bit_trick, {"causes": ("exp.inaccurate", "exp.cut")}),
        (power_of_two, {"causes": ("exp.inaccurate",)}),
        (
            polynomial,
            {"causes": ("exp.inaccurate",), "draw": lambda r: (r.randint(1, 2),), "formats": WIDE, "each": 2},
        ),
        (
            repeated_squaring,
            {"causes": ("exp.inaccurate",), "draw": lambda r: (r.choice((4, 6, 8)),), "each": 2},
        ),
        (
            table,
            {
                "causes": ("exp.inaccurate", "exp.cut"),
                "draw": lambda r: (r.choice((17, 24, 32)),),
                "formats": ("float16", "bfloat16"),
            },
        ),
        (
            table,
            {
                "causes": ("exp.inaccurate", "exp.cut"),
                "draw": lambda r: (r.choice((32, 64, 100, 1000)),),
                "formats": WIDE,
            },
        ),
        (
            log2_e_truncated,
            {"causes": ("exp.wrong_base", "exp.inaccurate"), "draw": lambda _: (1,), "formats": ("float16",)},
        ),
        (log2_e_truncated, _DIGITS | {"formats": WIDE} | {"causes": ("exp.wrong_base", "exp.inaccurate")}),
        (log_2_truncated, _DIGITS | {"formats": WIDE} | {"causes": ("exp.inaccurate",)}),
        (by_a_rounded_log2_e, {"causes": ("exp.inaccurate",), "formats": WIDE, "tier": "standard"}),
        (a_base_of_two, {"causes": ("exp.wrong_base",)}),
        (
            arguments_clamped,
            {
                "causes": ("exp.clamped",),
                "draw": lambda r: (r.choice((8, 10, 11, 12)),),
                "formats": ("float16",),
            },
        ),
        (
            arguments_clamped,
            {
                "causes": ("exp.clamped",),
                "draw": lambda r: (r.choice((10, 20, 50, 80, 87, 88)),),
                "formats": ("bfloat16", "float32"),
                "each": 3,
            },
        ),
        (
            arguments_clamped,
            {
                "causes": ("exp.clamped",),
                "draw": lambda r: (r.choice((80, 88, 100, 700, 708)),),
                "formats": ("float64",),
                "each": 3,
            },
        ),
        (
            cut_off,
            {"causes": ("exp.cut",), "draw": lambda r: (r.choice((6, 8, 9, 10)),), "formats": ("float16",)},
        ),
        (
            cut_off,
            {
                "causes": ("exp.cut",),
                "draw": lambda r: (r.choice((10, 20, 50, 80, 86, 87)),),
                "formats": ("bfloat16", "float32"),
                "each": 2,
            },
        ),
        (
            cut_off,
            {
                "causes": ("exp.cut",),
                "draw": lambda r: (r.choice((80, 87, 103, 600, 700)),),
                "formats": ("float64",),
                "each": 3,
            },
        ),
        (subnormals_flushed, {"causes": ("output.flushed",), "formats": WIDE}),
        (exponent_wraps, {"causes": ("exp.inaccurate",), "formats": ("bfloat16", "float32")}),
        (
            eight_ulps,
            {
                "causes": ("exp.inaccurate",),
                "draw": lambda r: (r.randint(8, 12),),
                "formats": WIDE,
                "each": 2,
            },
        ),
        (
            one_argument,
            {
                "causes": ("exp.inaccurate",),
                "draw": lambda r: (round(r.uniform(0.1, 8), 2),),
                "formats": ("float16", *WIDE),
                "each": 2,
            },
        ),
    ),
)
