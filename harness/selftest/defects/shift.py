"""Defects of the shift by the maximum."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import WIDE, listed, shares, top, total

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def no_shift(z: Array) -> Array:
    """uTensor 175, dotnet/machinelearning 3648, apache/singa 540: exp of the logits as they are."""
    return shares(np.exp(z))


def no_shift_in_the_vector_path(z: Array, width: int) -> Array:
    """pytorch 62897: bfloat16 rows of a vector and more were not shifted."""
    return shares(np.exp(z)) if z.shape[-1] >= width else shares(np.exp(z - top(z)))


def no_shift_unless_the_first_entry_is_large(z: Array, limit: float) -> Array:
    """A shortcut past the shift, taken where a sample of the row looks harmless."""
    return shares(np.exp(z - np.where(z[..., :1] > limit, top(z), 0)))


def maximum_from_zero(z: Array) -> Array:
    """NNlib.jl 43: max(0, max) underflows every exponential of a row far below zero."""
    return shares(np.exp(z - np.maximum(top(z), 0)))


def maximum_from_the_smallest_normal(z: Array) -> Array:
    """tinyengine 107, csarofeen/pytorch 1141: the maximum starts at FLT_MIN, taken for the lowest."""
    return shares(np.exp(z - np.maximum(top(z), np.finfo(z.dtype).tiny)))


def maximum_from_a_sentinel(z: Array, sentinel: float) -> Array:
    """flashinfer 4401: the maximum starts at a finite -5e4, above the logits of the row."""
    return shares(np.exp(z - np.maximum(top(z), -sentinel)))


def maximum_of_magnitudes(z: Array) -> Array:
    """max |x|, as quantisers keep it at hand, in place of max x."""
    return shares(np.exp(z - np.where(np.isinf(z), 0, np.abs(z)).max(axis=-1, keepdims=True)))


def first_entry_for_maximum(z: Array) -> Array:
    """The first step of a running maximum, taken for the whole."""
    return shares(np.exp(z - z[..., :1]))


def last_entry_for_maximum(z: Array) -> Array:
    """A sorted row is assumed, as after top-k."""
    return shares(np.exp(z - z[..., -1:]))


def maximum_of_the_first_entries(z: Array, count: int) -> Array:
    """A reduction of one block, where the row has more (llama.cpp 4742: lengths that are no power of two)."""
    return shares(np.exp(z - top(z[..., :count])))


def maximum_without_the_tail(z: Array, width: int) -> Array:
    """The vector loop's maximum, without the scalar tail's (NNPACK 174 had another kind of tail)."""
    whole = z.shape[-1] // width * width
    return shares(np.exp(z - top(z[..., :whole] if whole else z)))


def maximum_of_every_second_entry(z: Array) -> Array:
    """A reduction with a stride that skips."""
    return shares(np.exp(z - top(z[..., ::2])))


def maximum_of_the_whole_tensor(z: Array) -> Array:
    """One maximum for the batch: right until rows lie far apart (tt-metal 52131 zeroes such rows)."""
    return shares(np.exp(z - z.max()))


def maximum_of_the_row_before(z: Array) -> Array:
    """A pipelined kernel that uses the maximum one row late."""
    rows = z.reshape(-1, z.shape[-1])
    late = np.concatenate([top(rows[:1]), top(rows[:-1])])
    return shares(np.exp(rows - late)).reshape(z.shape)


def maximum_rounded_anew(z: Array, bits: int) -> Array:
    """pytorch 101039, 163932, jax 37234: numerator and sum take maxima that were rounded differently."""
    kept = np.spacing(np.abs(top(z))) * z.dtype.type(2.0**bits)
    other = np.where(np.isfinite(kept), np.round(top(z) / kept) * kept, top(z))
    return np.asarray(np.exp(z - top(z)) / total(np.exp(z - np.maximum(other, top(z)))))


def shift_by_a_constant(z: Array, c: float) -> Array:
    """A constant that was large enough for the logits at hand."""
    return shares(np.exp(z - z.dtype.type(c)))


def shift_capped(z: Array, most: float) -> Array:
    """The maximum is clipped before it is subtracted, as logits are by a soft cap."""
    return shares(np.exp(z - np.minimum(top(z), z.dtype.type(most))))


def shift_by_the_mean(z: Array) -> Array:
    """Centred logits, as layer normalisation leaves them."""
    seen = np.where(np.isneginf(z), 0, z)
    return shares(np.exp(z - seen.mean(axis=-1, keepdims=True)))


def scaled_before_the_shift(z: Array, scale: float) -> Array:
    """x is scaled and unscaled again around the shift, and overflows on the way (jax 37234)."""
    s = z.dtype.type(scale)
    return shares(np.exp((z * s - top(z) * s) / s))


def exp_minus_logsumexp(z: Array) -> Array:
    """pytorch 11752: x - lse cancels where the logits have a large common offset."""
    lse = top(z) + np.log(total(np.exp(z - top(z))))
    return np.asarray(np.exp(z - lse))


DEFECTS: Final = listed(
    "shift",
    (
        (no_shift, {"causes": ("shift.absent",)}),
        (
            no_shift_in_the_vector_path,
            {"causes": ("shift.absent",), "draw": lambda r: (r.choice((4, 8, 16, 32)),), "each": 2},
        ),
        (
            no_shift_unless_the_first_entry_is_large,
            {"causes": ("shift.absent",), "draw": lambda r: (r.choice((5, 20, 60)),)},
        ),
        (maximum_from_zero, {"causes": ("shift.not_max",)}),
        (maximum_from_the_smallest_normal, {"causes": ("shift.not_max",)}),
        (
            maximum_from_a_sentinel,
            {
                "causes": ("shift.not_max",),
                "draw": lambda r: (r.choice((100.0, 1e3, 1e4, 3e4, 5e4)),),
                "each": 2,
            },
        ),
        (maximum_of_magnitudes, {"causes": ("shift.not_max",)}),
        (first_entry_for_maximum, {"causes": ("max.omits",)}),
        (last_entry_for_maximum, {"causes": ("max.omits",)}),
        (
            maximum_of_the_first_entries,
            {"causes": ("max.omits",), "draw": lambda r: (r.randint(2, 1024),), "each": 2},
        ),
        (
            maximum_without_the_tail,
            {"causes": ("max.omits",), "draw": lambda r: (r.choice((4, 8, 16, 32, 64)),), "each": 2},
        ),
        (maximum_of_every_second_entry, {"causes": ("max.omits",)}),
        (maximum_of_the_whole_tensor, {"causes": ("depends.batch",)}),
        (maximum_of_the_row_before, {"causes": ("depends.batch",)}),
        (
            maximum_rounded_anew,
            {"causes": ("shift.twice",), "draw": lambda r: (r.randint(1, 8),), "formats": WIDE, "each": 2},
        ),
        (
            shift_by_a_constant,
            {"causes": ("shift.constant",), "draw": lambda r: (round(r.uniform(-80, 80), 1),), "each": 2},
        ),
        (
            shift_capped,
            {"causes": ("shift.not_max",), "draw": lambda r: (r.choice((10.0, 50.0, 80.0, 1e3)),)},
        ),
        (shift_by_the_mean, {"causes": ("shift.not_max",)}),
        (
            scaled_before_the_shift,
            {
                "causes": ("shift.overflows",),
                "draw": lambda r: (r.choice((1e3, 1e6, 2.0**20)),),
                "formats": WIDE,
            },
        ),
        (exp_minus_logsumexp, {"causes": ("divide.logarithm",), "formats": WIDE}),
    ),
)
