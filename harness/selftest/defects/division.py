"""Defects of the division by the sum."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import WIDE, listed, sound, top, total

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _over(z: Array, divide: Any) -> Array:
    e = np.exp(z - top(z))
    return np.asarray(divide(e, total(e)))


def approximate_reciprocal(z: Array, bits: int) -> Array:
    """tensorflow 116933, tt-metal 12847: rcpps and its like give 12 bits, and no Newton step follows."""

    def divide(e: Array, s: Array) -> Array:
        fraction, exponent = np.frexp(1 / s)
        return np.asarray(e * np.ldexp(np.round(np.ldexp(fraction, bits)), exponent - bits).astype(e.dtype))

    return _over(z, divide)


def reciprocal_in_float16(z: Array) -> Array:
    """1 / sum kept in half precision, where it turns subnormal for long rows."""
    return _over(z, lambda e, s: e * (1 / s).astype(np.float16).astype(e.dtype))


def reciprocal_in_float32(z: Array) -> Array:
    """A binary32 reciprocal for a softmax of float64."""
    return _over(z, lambda e, s: e * (1 / s).astype(np.float32).astype(e.dtype))


def one_newton_step_short(z: Array) -> Array:
    """A linear first guess of 1/s, refined to a quarter of the digits (a division without a divider)."""

    def divide(e: Array, s: Array) -> Array:
        fraction, exponent = np.frexp(s)
        guess = (48 - 32 * fraction) / 17
        for _ in range(2):
            guess = guess * (2 - fraction * guess)
        return np.asarray(e * np.ldexp(guess, -exponent).astype(e.dtype))

    return _over(z, divide)


def epsilon_in_the_denominator(z: Array, decade: int) -> Array:
    """e / (sum + 1e-6): a guard against a zero that the shift rules out."""
    return _over(z, lambda e, s: e / (s + s.dtype.type(10.0**-decade)))


def epsilon_without_a_shift(z: Array, decade: int) -> Array:
    """The same beside exp(x) as it is: rows far below zero vanish."""
    e = np.exp(z)
    return np.asarray(e / (total(e) + e.dtype.type(10.0**-decade)))


def epsilon_added_to_the_output(z: Array, decade: int) -> Array:
    """y + 1e-12, lest a logarithm follow: masked entries are no longer 0."""
    return _over(z, lambda e, s: e / s + e.dtype.type(10.0**-decade))


def output_clipped(z: Array, decade: int) -> Array:
    """Keras' losses clip probabilities to [1e-7, 1 - 1e-7]."""
    return _over(z, lambda e, s: np.clip(e / s, 10.0**-decade, 1 - 10.0**-decade).astype(e.dtype))


def divided_by_the_length(z: Array) -> Array:
    """A mean for a sum."""
    return _over(z, lambda e, s: e / (s / e.shape[-1]))


def rounded_to_sum_to_one(z: Array) -> Array:
    """The last entry takes what the others leave: 1 - (their sum)."""

    def divide(e: Array, s: Array) -> Array:
        y = e / s
        y[..., -1:] = np.maximum(1 - total(y[..., :-1]), 0)
        return np.asarray(y)

    return _over(z, divide)


def by_the_logarithm_of_the_sum(z: Array) -> Array:
    """exp(t - log s) with a logarithm of too few digits."""

    def divide(e: Array, s: Array) -> Array:
        lse = np.log(s).astype(np.float16).astype(e.dtype)
        return np.asarray(np.exp(z - top(z) - lse))

    return _over(z, divide)


def power_of_two_for_the_sum(z: Array) -> Array:
    """A shift in place of a division, as on integers."""
    return _over(z, lambda e, s: e / np.exp2(np.ceil(np.log2(s))).astype(e.dtype))


def low_by_units(z: Array, units: int) -> Array:
    """Every output a few units in the last place too low, which no tolerance on random normals sees."""
    return np.asarray(sound(z) * (1 - units * np.finfo(z.dtype).eps).astype(z.dtype))


def low_reciprocal(z: Array) -> Array:
    """A reciprocal low by 3.5e-7, as refined once from a coarse estimate."""
    return _over(z, lambda e, s: e * ((1 / s) * (1 - 3.5e-7)).astype(e.dtype))


DEFECTS: Final = listed(
    "division",
    (
        (
            approximate_reciprocal,
            {
                "causes": ("divide.approximate",),
                "draw": lambda r: (r.randint(10, 16),),
                "formats": WIDE,
                "each": 3,
            },
        ),
        (
            approximate_reciprocal,
            {
                "causes": ("divide.approximate",),
                "draw": lambda r: (r.randint(4, 6),),
                "formats": ("float16",),
            },
        ),
        (reciprocal_in_float16, {"causes": ("divide.approximate",), "formats": WIDE}),
        (
            low_by_units,
            {
                "causes": ("divide.approximate",),
                "draw": lambda r: (r.randint(13, 26),),
                "formats": WIDE,
                "each": 2,
            },
        ),
        (low_reciprocal, {"causes": ("divide.approximate",), "formats": ("float32",), "tier": "standard"}),
        (reciprocal_in_float32, {"causes": ("divide.approximate",), "formats": ("float64",)}),
        (one_newton_step_short, {"causes": ("divide.approximate",), "formats": WIDE}),
        (
            epsilon_in_the_denominator,
            {"causes": ("divide.epsilon",), "draw": lambda _: (1,), "formats": ("bfloat16",)},
        ),
        (
            epsilon_in_the_denominator,
            {"causes": ("divide.epsilon",), "draw": lambda r: (r.randint(1, 2),), "formats": ("float16",)},
        ),
        (
            epsilon_in_the_denominator,
            {
                "causes": ("divide.epsilon",),
                "draw": lambda r: (r.randint(3, 5),),
                "formats": ("float32",),
                "each": 2,
            },
        ),
        (
            epsilon_in_the_denominator,
            {
                "causes": ("divide.epsilon",),
                "draw": lambda r: (r.randint(3, 14),),
                "formats": ("float64",),
                "each": 3,
            },
        ),
        (
            epsilon_without_a_shift,
            {"draw": lambda r: (r.randint(6, 12),)},
        ),
        (
            epsilon_added_to_the_output,
            {"causes": ("output.offset",), "draw": lambda r: (r.randint(3, 5),), "formats": ("float16",)},
        ),
        (
            epsilon_added_to_the_output,
            {
                "causes": ("output.offset",),
                "draw": lambda r: (r.randint(6, 30),),
                "formats": ("bfloat16", *WIDE),
                "each": 2,
            },
        ),
        (
            output_clipped,
            {
                "causes": ("output.clamped",),
                "draw": lambda r: (r.randint(3, 7),),
                "formats": ("float16", *WIDE),
            },
        ),
        (divided_by_the_length, {"causes": ("divide.by_the_mean",)}),
        (rounded_to_sum_to_one, {"causes": ("divide.renormalised",), "formats": WIDE}),
        (
            by_the_logarithm_of_the_sum,
            {"causes": ("divide.logarithm", "divide.approximate"), "formats": WIDE},
        ),
        (power_of_two_for_the_sum, {"causes": ("divide.approximate",)}),
    ),
)
