"""Answers that are no softmax at all, or that of something else."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import listed, shares, sound, top, total

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def zeros(z: Array) -> Array:
    """tt-metal 52131: rows of exact zeros."""
    return np.zeros_like(z)


def ones(z: Array) -> Array:
    """jax 20856, tvm 1642: all ones, as of rows of length 1."""
    return np.ones_like(z)


def uniform(z: Array) -> Array:
    """1/n: near enough for atol 1e-2 on long rows."""
    return np.full_like(z, 1 / z.shape[-1])


def the_input(z: Array) -> Array:
    """A kernel that was never launched on an output that shares memory."""
    return z.copy()


def one_hot(z: Array) -> Array:
    """The hard maximum."""
    return shares((z == top(z)).astype(z.dtype))


def answer_of_the_first_row(z: Array) -> Array:
    """A row stride of zero."""
    rows = z.reshape(-1, z.shape[-1])
    return np.broadcast_to(sound(rows[:1]), rows.shape).reshape(z.shape).copy()


def log_softmax(z: Array) -> Array:
    """The logarithm, asked for by another flag."""
    return np.asarray(z - top(z) - np.log(total(np.exp(z - top(z)))))


def sigmoid(z: Array) -> Array:
    """Entry by entry, without a sum."""
    return np.asarray(1 / (1 + np.exp(-z)))


def softmin(z: Array) -> Array:
    """The sign of the logits turned."""
    return sound(-z)


def temperature(z: Array, scale: float) -> Array:
    """A scale that is left in, or applied twice."""
    return sound(z * z.dtype.type(scale))


def reversed_entries(z: Array) -> Array:
    """Written in the order of a loop that counts down."""
    return sound(z)[..., ::-1]


def rotated_entries(z: Array, by: int) -> Array:
    """An offset by so many entries."""
    return np.roll(sound(z), by % max(z.shape[-1], 1), axis=-1)


def largest_few(z: Array, count: int) -> Array:
    """Only the k largest logits take part."""
    count = min(count, z.shape[-1])
    least = np.partition(z, z.shape[-1] - count, axis=-1)[..., -count, None]
    return sound(np.where(z < least, -np.inf, z).astype(z.dtype))


def small_outputs_dropped(z: Array, decade: int) -> Array:
    """Probabilities below a threshold are set to 0, as for a sparse product after."""
    y = sound(z)
    return np.where(y < 10.0**-decade, 0, y)


def noise(z: Array, decade: int) -> Array:
    """Quantisation noise of a fixed pattern: a relative error of so many decimal digits."""
    wave = np.where(np.arange(z.shape[-1]) % 2 == 0, 1.0, -1.0) * 10.0**-decade
    return np.asarray(sound(z) * (1 + wave).astype(z.dtype))


def squares_in_place_of_exp(z: Array) -> Array:
    """A rational stand-in for exp that is cheap in hardware."""
    t = z - top(z)
    e = 1 / (1 - t + t * t / 2)
    return shares(np.where(np.isneginf(z) & ~np.isnan(t), 0, e))


DEFECTS: Final = listed(
    "answer",
    (
        (zeros, {}),
        (ones, {}),
        (uniform, {}),
        (the_input, {}),
        (one_hot, {"causes": ("exp.cut", "exp.inaccurate")}),
        (answer_of_the_first_row, {"causes": ("depends.batch",)}),
        (log_softmax, {}),
        (sigmoid, {}),
        (softmin, {}),
        (temperature, {"causes": ("exp.wrong_base",), "draw": lambda r: (r.choice((0.5, 0.99, 1.01, 2.0)),)}),
        (reversed_entries, {}),
        (rotated_entries, {"draw": lambda r: (r.randint(1, 5),)}),
        (largest_few, {"draw": lambda r: (r.choice((1, 2, 8, 50)),)}),
        (small_outputs_dropped, {"causes": ("output.cut",), "draw": lambda r: (r.randint(3, 4),)}),
        (noise, {"draw": lambda r: (r.randint(4, 5),), "formats": ("float32", "float64")}),
        (squares_in_place_of_exp, {"causes": ("exp.inaccurate",)}),
    ),
)
