"""Defects of masks, NaN and infinities."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import COMMON, listed, masked, shares, sound, top, total

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def finite_sentinel(z: Array, sentinel: float) -> Array:
    """ohdearquant/lattice 373: -1e4 stands for -inf, and wins over logits below it; -1e9 likewise."""
    return sound(np.where(masked(z), z.dtype.type(-sentinel), z))


def lowest_number_for_a_mask(z: Array) -> Array:
    """finfo.min stands for -inf: all-masked rows are uniform, and it ties with logits at -Omega."""
    return sound(np.where(masked(z), np.finfo(z.dtype).min, z))


def mask_leaks(z: Array, decade: int) -> Array:
    """A masked entry keeps a small share, as of an additive mask that is not low enough."""
    y = sound(z)
    return np.where(masked(z), y.dtype.type(10.0**-decade), y)


def masked_zero_counted(z: Array) -> Array:
    """exp(0) for a masked entry: multiplied by the mask after the sum, not before it."""
    seen = np.where(masked(z), 0, z)
    e = np.exp(seen - top(seen))
    return np.where(masked(z), 0, e / total(e))


def mask_ignored_in_the_tail(z: Array, width: int) -> Array:
    """The mask is applied by whole vectors."""
    whole = z.shape[-1] // width * width
    tail = np.arange(z.shape[-1]) >= whole
    return sound(np.where(masked(z) & tail, 0, z))


def all_masked_is_uniform(z: Array) -> Array:
    """tt-metal 56056: 1/64 each from a row of 64 entries -inf."""
    hidden = masked(z).all(axis=-1, keepdims=True)
    return np.where(hidden, 1 / z.dtype.type(z.shape[-1]), sound(z))


def all_masked_is_zero_when_short(z: Array, length: int) -> Array:
    """mlx 1467: 127 entries -inf give zeros, 128 give NaN."""
    hidden = masked(z).all(axis=-1, keepdims=True)
    return np.where(hidden & (z.shape[-1] < length), 0, sound(z))


def nan_swallowed(z: Array) -> Array:
    """tt-metal 56056, mindspore 378: a maximum that passes over NaN, and a NaN taken for a mask."""
    seen = np.where(np.isnan(z), -np.inf, z)
    return np.where(np.isnan(z).all(axis=-1, keepdims=True), z, sound(seen))


def nan_kept_to_itself(z: Array) -> Array:
    """mindspore 378: NaN at its own place, numbers elsewhere."""
    return np.where(np.isnan(z), z, sound(np.where(np.isnan(z), -np.inf, z)))


def nan_made_zero(z: Array) -> Array:
    """nan_to_num at the end, to be safe."""
    return np.nan_to_num(sound(z), nan=0.0)


def nan_in_the_tail_lost(z: Array, width: int) -> Array:
    """max(a, b) as a < b ? b : a: NaN survives in one order of operands alone."""
    whole = z.shape[-1] // width * width
    tail = np.arange(z.shape[-1]) >= whole
    return sound(np.where(np.isnan(z) & tail, 0, z))


def infinity_clamped(z: Array) -> Array:
    """tt-metal 56056, openvino 33456: +inf taken for the largest number."""
    return sound(np.where(np.isposinf(z), np.finfo(z.dtype).max, z))


def row_with_an_infinity_is_zero(z: Array) -> Array:
    """tt-metal 56056: zeros from a row with +inf."""
    return np.where(np.isposinf(z).any(axis=-1, keepdims=True), 0, sound(z))


def masked_block_poisons(z: Array, size: int) -> Array:
    """vllm 39148: -inf - -inf where a whole block is masked."""
    pieces = [z[..., i : i + size] for i in range(0, z.shape[-1], max(size, z.shape[-1] // 64))]
    hidden = [masked(piece).all(axis=-1, keepdims=True) for piece in pieces]
    return np.where(np.logical_or.reduce(hidden), np.nan, sound(z)).astype(z.dtype)


def infinite_logit_of_a_mask(z: Array) -> Array:
    """0 * -inf: the additive mask is scaled, and its zeros poison the row."""
    return np.where(masked(z).any(axis=-1, keepdims=True), np.nan, sound(z)).astype(z.dtype)


def negative_zero_for_a_mask(z: Array) -> Array:
    """-0 at masked entries: a sign that a product by the mask leaves."""
    return np.where(masked(z), -0.0, sound(z)).astype(z.dtype)


def single_entry_left(z: Array) -> Array:
    """A row with one finite entry takes a short cut, and masks are left as they were."""
    alone = (~masked(z)).sum(axis=-1, keepdims=True) == 1
    return np.where(alone, 1 / z.dtype.type(z.shape[-1]), shares(np.exp(z - top(z))))


_WIDTHS: Final = {"draw": lambda r: (r.choice((4, 8, 16, 32, 64)),)}
_NARROW: Final = ("float16",)
_RANGED: Final = ("bfloat16", "float32", "float64")

DEFECTS: Final = listed(
    "mask",
    (
        (
            finite_sentinel,
            {
                "causes": ("mask.sentinel",),
                "draw": lambda r: (r.choice((1e3, 1e4, 3e4)),),
                "formats": _NARROW,
                "each": 2,
            },
        ),
        (
            finite_sentinel,
            {
                "causes": ("mask.sentinel",),
                "draw": lambda r: (r.choice((1e4, 5e4, 1e6, 1e9, 1e30)),),
                "formats": _RANGED,
                "each": 3,
            },
        ),
        (lowest_number_for_a_mask, {"causes": ("mask.sentinel", "policy.masked")}),
        (mask_leaks, {"causes": ("mask.leaks",), "draw": lambda r: (r.randint(3, 6),), "formats": _NARROW}),
        (mask_leaks, {"causes": ("mask.leaks",), "draw": lambda r: (r.randint(6, 30),), "formats": _RANGED}),
        (masked_zero_counted, {"causes": ("mask.counted",)}),
        (mask_ignored_in_the_tail, _WIDTHS | {"causes": ("mask.ignored",)}),
        (all_masked_is_uniform, {"causes": ("policy.masked",)}),
        (
            all_masked_is_zero_when_short,
            {"causes": ("policy.masked",), "draw": lambda r: (r.choice((2, 32, 128, 1024)),)},
        ),
        (nan_swallowed, {"causes": ("policy.nan",)}),
        (nan_kept_to_itself, {"causes": ("policy.nan",)}),
        (nan_made_zero, {"causes": ("policy.nan",), "formats": ("float8_e5m2", *COMMON)}),
        (nan_in_the_tail_lost, _WIDTHS | {"causes": ("policy.nan",)}),
        (infinity_clamped, {"causes": ("policy.inf",)}),
        (row_with_an_infinity_is_zero, {"causes": ("policy.inf",)}),
        (
            masked_block_poisons,
            {"causes": ("mask.poisons",), "draw": lambda r: (r.choice((4, 16, 64, 100)),)},
        ),
        (infinite_logit_of_a_mask, {"causes": ("mask.poisons",)}),
        (negative_zero_for_a_mask, {"causes": ("output.negative_zero",)}),
        (single_entry_left, {"causes": ("mask.leaks",)}),
    ),
)
