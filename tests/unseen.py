"""Softmaxes that no planted defect was drawn from: with one thing wrong, and honest ones of many makes.

Each is written as a kernel would be, in an arithmetic wide enough to be sound but for the defect, and is
held against what `explain` says of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from harness.selftest.planted import COMMON, WIDE, narrowed, shares, sound, top, total, widened

__all__ = ["HONEST", "UNSEEN", "Honest", "Unseen"]


@dataclass(frozen=True)
class Unseen:
    """A softmax with one thing wrong.

    Attributes:
        make: to a softmax in a fresh state.
        codes: of causes that are right.
        formats: in which it is wrong.
    """

    make: Callable[[], Callable[..., Any]]
    codes: tuple[str, ...]
    formats: tuple[str, ...] = COMMON

    @property
    def name(self) -> str:
        """What it does, in words."""
        return self.make.__name__.replace("_", " ")


@dataclass(frozen=True)
class Honest:
    """A sound softmax.

    Attributes:
        make: to a softmax in a fresh state.
        formats: in which it is held to its tier.
        order: what the name of its order of additions holds, where outputs show it; empty for any.
        tier: that it must meet.
    """

    make: Callable[[], Callable[..., Any]]
    formats: tuple[str, ...] = COMMON
    order: str = ""
    tier: str = "fast"

    @property
    def name(self) -> str:
        """What it does, in words."""
        return self.make.__name__.replace("_", " ")


UNSEEN: list[Unseen] = []
HONEST: list[Honest] = []


def _rows(function: Callable[[Any], Any]) -> Callable[[], Callable[..., Any]]:
    def make() -> Callable[..., Any]:
        return lambda x: narrowed(function(widened(x)), x.dtype)

    make.__name__ = function.__name__
    return make


def unseen(*codes: str, formats: tuple[str, ...] = COMMON) -> Any:
    """Enter a function of rows among those with one thing wrong."""

    def enter(function: Any) -> Any:
        UNSEEN.append(Unseen(_rows(function), codes, formats))
        return function

    return enter


def stateful(*codes: str, formats: tuple[str, ...] = COMMON) -> Any:
    """Enter what makes a softmax with a state of its own."""

    def enter(make: Any) -> Any:
        UNSEEN.append(Unseen(make, codes, formats))
        return make

    return enter


def honest(order: str = "", formats: tuple[str, ...] = COMMON, tier: str = "fast") -> Any:
    """Enter a function of rows among the sound ones."""

    def enter(function: Any) -> Any:
        HONEST.append(Honest(_rows(function), formats, order, tier))
        return function

    return enter


def _terms(z: Any) -> Any:
    return np.exp(z - top(z))


# Sums --------------------------------------------------------------------------------------


@unseen("sum.omits")
def every_seventh_block_of_32_is_skipped(z: Any) -> Any:
    e = _terms(z)
    kept = np.arange(z.shape[-1]) // 32 % 7 != 6
    return e / total(np.where(kept, e, 0))


@unseen("sum.omits")
def one_lane_of_16_is_lost(z: Any) -> Any:
    e = _terms(z)
    n = z.shape[-1]
    kept = (np.arange(n) % 16 != 11) | (n < 16)
    return e / total(np.where(kept, e, 0))


@unseen("sum.repeats")
def first_entry_of_each_further_tile_counted_twice(z: Any) -> Any:
    e = _terms(z)
    twice = (np.arange(z.shape[-1]) % 50 == 0) & (np.arange(z.shape[-1]) > 0)
    return e / total(np.where(twice, 2 * e, e))


@unseen("sum.omits")
def middle_of_odd_lengths_lost(z: Any) -> Any:
    e = _terms(z)
    n = z.shape[-1]
    kept = (np.arange(n) != n // 2) | (n % 2 == 0)
    return e / total(np.where(kept, e, 0))


@unseen("sum.not_rescaled")
def tiles_of_48_with_a_stale_rescale(z: Any) -> Any:
    """The new tile is summed against the maximum from before it."""
    largest = top(z[..., :48])
    summed = total(np.exp(z[..., :48] - largest))
    for start in range(48, z.shape[-1], 48):
        tile = z[..., start : start + 48]
        new = np.maximum(largest, top(tile))
        summed = summed * np.exp(largest - new) + total(np.exp(tile - largest))
        largest = new
    return np.exp(z - largest) / summed


@unseen("sum.not_rescaled")
def tiles_of_96_whose_last_is_not_rescaled(z: Any) -> Any:
    largest = np.full_like(z[..., :1], -np.finfo(z.dtype).max)
    summed = np.zeros_like(largest)
    starts = range(0, z.shape[-1], 96)
    for start in starts:
        tile = z[..., start : start + 96]
        new = np.maximum(largest, top(tile))
        scale = 1 if start and start == starts[-1] else np.exp(largest - new)
        summed = (summed * scale + total(np.exp(tile - new))).astype(z.dtype)
        largest = new
    return np.exp(z - largest) / summed


@unseen("max.stale")
def numerators_written_by_the_maximum_so_far(z: Any) -> Any:
    largest = np.full_like(z[..., :1], -np.finfo(z.dtype).max)
    summed = np.zeros_like(largest)
    numerators = []
    for start in range(0, z.shape[-1], 40):
        tile = z[..., start : start + 40]
        new = np.maximum(largest, top(tile))
        numerators.append(np.exp(tile - new))
        summed = summed * np.exp(largest - new) + total(numerators[-1])
        largest = new
    return np.concatenate(numerators, axis=-1) / summed


@unseen("sum.accumulator", formats=("float32", "float64", "float16"))
def blocks_of_100_summed_in_bfloat16(z: Any) -> Any:
    e = _terms(z)
    parts = []
    for start in range(0, z.shape[-1], 100):
        part = np.zeros(z.shape[:-1], ml_dtypes.bfloat16)
        for column in np.moveaxis(e[..., start : start + 100], -1, 0):
            part = part + column.astype(ml_dtypes.bfloat16)
        parts.append(part.astype(z.dtype))
    return e / total(np.stack(parts, axis=-1))


@unseen("sum.stagnates", formats=WIDE)
def sum_in_whole_256ths_of_16_bits(z: Any) -> Any:
    """A fixed-point sum that is full at 255.99."""
    e = _terms(z)
    return e / np.minimum(total(e), z.dtype.type(65535 / 256))


# Shift -------------------------------------------------------------------------------------


@unseen("max.omits")
def maximum_of_the_first_64(z: Any) -> Any:
    return shares(np.exp(z - top(z[..., :64])))


@unseen("max.omits")
def maximum_without_every_third_entry(z: Any) -> Any:
    n = z.shape[-1]
    kept = z[..., np.arange(n) % 3 != 2]
    return shares(np.exp(z - top(kept)))


@unseen("shift.not_max")
def maximum_from_minus_100(z: Any) -> Any:
    return shares(np.exp(z - np.maximum(top(z), z.dtype.type(-100))))


@unseen("shift.not_max", "shift.absent")
def shift_only_above_zero(z: Any) -> Any:
    largest = top(z)
    return shares(np.exp(z - np.where(largest > 50, largest, z.dtype.type(0))))


@unseen("max.omits", "shift.not_max")
def maximum_of_two_halves_taken_as_their_mean(z: Any) -> Any:
    half = max(1, z.shape[-1] // 2)
    first = top(z[..., :half])
    second = top(z[..., half:]) if z.shape[-1] > half else first
    return shares(np.exp(z - (first / 2 + second / 2)))


# Exp ---------------------------------------------------------------------------------------


@unseen("exp.clamped")
def exp_clamped_at_20(z: Any) -> Any:
    return shares(np.exp(np.maximum(z - top(z), z.dtype.type(-20))))


@unseen("exp.cut", formats=WIDE)
def exp_cut_at_30(z: Any) -> Any:
    t = z - top(z)
    return shares(np.where(t < -30, 0, np.exp(t)).astype(z.dtype))


@unseen("exp.flushed", "exp.cut", formats=WIDE)
def exp_by_a_power_of_two_built_from_bits(z: Any) -> Any:
    """2^k is made of an exponent's bits, and there is none below 2^emin: the whole is 0 there."""
    t = z - top(z)
    e = np.exp(t)
    return shares(np.where(np.floor(t / z.dtype.type(math.log(2))) < np.finfo(z.dtype).minexp, 0, e))


@unseen("exp.inaccurate")
def table_of_256_steps_an_octave_halved(z: Any) -> Any:
    t = (z - top(z)).astype(np.float64) / math.log(2)
    steps = np.floor(np.where(np.isfinite(t), t, -5000) * 8) / 8
    return shares(np.exp2(steps).astype(z.dtype))


@unseen("exp.inaccurate")
def exp_by_a_cubic(z: Any) -> Any:
    t = (z - top(z)).astype(np.float64) / math.log(2)
    t = np.where(np.isfinite(t), t, -5000)
    k = np.floor(t)
    f = (t - k) * math.log(2)
    return shares(np.ldexp(1 + f * (1 + f * (0.5 + f / 6)), k.astype(int)).astype(z.dtype))


@unseen("exp.wrong_base", "input.scaled")
def a_temperature_left_in(z: Any) -> Any:
    return sound(z * z.dtype.type(1.25))


# Division and outputs ----------------------------------------------------------------------


@unseen("divide.epsilon", formats=WIDE)
def epsilon_of_a_millionth(z: Any) -> Any:
    e = _terms(z)
    return e / (total(e) + z.dtype.type(1e-6))


@unseen("divide.approximate", formats=WIDE)
def reciprocal_of_nine_bits(z: Any) -> Any:
    e = _terms(z)
    mantissa, exponent = np.frexp(1 / total(e))
    return e * np.ldexp(np.rint(mantissa * 512) / 512, exponent).astype(z.dtype)


@unseen("output.narrowed", formats=WIDE)
def outputs_kept_in_bfloat16(z: Any) -> Any:
    return sound(z).astype(ml_dtypes.bfloat16).astype(z.dtype)


@unseen("output.cut", "output.clamped", formats=WIDE)
def outputs_of_less_than_a_billionth_are_0(z: Any) -> Any:
    y = sound(z)
    return np.where(y < 1e-9, 0, y)


@unseen("output.quantised", formats=("float16", "float32", "float64"))
def outputs_in_255ths(z: Any) -> Any:
    return np.rint(sound(z) * 255) / 255


@unseen("output.unwritten")
def outputs_beyond_200_are_not_written(z: Any) -> Any:
    return np.where(np.arange(z.shape[-1]) < 200, sound(z), 0)


@unseen("input.quantised", formats=("float32", "float64"))
def logits_in_whole_thousandths(z: Any) -> Any:
    held = np.where(np.isfinite(z), np.rint(z * 1000) / 1000, z)
    return sound(held.astype(z.dtype))


@unseen("input.clamped")
def logits_clipped_to_50(z: Any) -> Any:
    return sound(np.clip(z, -50, 50))


@unseen("input.narrowed", formats=WIDE)
def logits_with_13_bits_dropped(z: Any) -> Any:
    """The significand of TensorFloat-32, cut off."""
    bits, drop = (np.uint32, 13) if z.dtype == np.float32 else (np.uint64, 42)
    kept = (z.view(bits) >> bits(drop) << bits(drop)).view(z.dtype)
    return sound(np.where(np.isnan(z), z, kept))


@unseen("output.narrowed", formats=WIDE)
def outputs_with_half_their_bits(z: Any) -> Any:
    """The low half of the word is not stored."""
    bits, drop = (np.uint32, 16) if z.dtype == np.float32 else (np.uint64, 32)
    y = sound(z)
    return np.where(np.isnan(y), y, (y.view(bits) >> bits(drop) << bits(drop)).view(z.dtype))


@unseen("sum.padded")
def rows_filled_up_to_24(z: Any) -> Any:
    missing = -z.shape[-1] % 24
    filled = np.concatenate([z, np.zeros((*z.shape[:-1], missing), z.dtype)], axis=-1)
    return sound(filled)[..., : z.shape[-1]]


@unseen("exp.inaccurate", formats=WIDE)
def coarse_exp_in_the_last_n_mod_8(z: Any) -> Any:
    """The vector path is sound, and what it leaves takes exp from fourteen bits."""
    e = _terms(z)
    tail = np.arange(z.shape[-1]) >= z.shape[-1] // 8 * 8
    return shares(np.where(tail, np.rint(e * 16384) / 16384, e).astype(z.dtype))


@unseen("exp.inaccurate", formats=WIDE)
def another_exp_in_rows_of_200_and_more(z: Any) -> Any:
    t = z - top(z)
    if z.shape[-1] < 200:
        return shares(np.exp(t))
    return shares(np.where(t < -3, np.exp(t) * z.dtype.type(1.001), np.exp(t)))


# Masks and policy --------------------------------------------------------------------------


@unseen("mask.sentinel", formats=("float16", "float32"))
def minus_ten_thousand_for_a_mask(z: Any) -> Any:
    return sound(np.where(np.isneginf(z), z.dtype.type(-1e4), z))


@unseen("mask.sentinel", formats=("float32",))
def minus_100_for_a_mask(z: Any) -> Any:
    return sound(np.where(np.isneginf(z), z.dtype.type(-100), z))


@unseen("policy.masked")
def masked_rows_are_zeros(z: Any) -> Any:
    return np.where(np.isneginf(z).all(axis=-1, keepdims=True), 0, sound(z))


@unseen("policy.nan")
def nan_passed_over_by_the_maximum(z: Any) -> Any:
    e = np.exp(z - np.fmax.reduce(z, axis=-1, keepdims=True))
    return np.where(np.isnan(z), 0, e / np.nansum(e, axis=-1, keepdims=True))


# State and layout --------------------------------------------------------------------------


@stateful("depends.history", "depends.threads", "depends.batch")
def scratch_that_is_not_cleared() -> Callable[..., Any]:
    """Rows are filled up to a multiple of 8 in a buffer that keeps what the row before left."""
    scratch = np.zeros(1 << 20)

    def softmax(x: Any) -> Any:
        z = widened(x)
        rows = z.reshape(-1, z.shape[-1])
        n = z.shape[-1]
        y = np.empty_like(rows)
        for row, out in zip(rows, y, strict=True):
            e = np.exp(row - row.max())
            scratch[:n] = e
            out[...] = e / scratch[: -(-n // 8) * 8].sum()
        return narrowed(y.reshape(z.shape), x.dtype)

    return softmax


@stateful("depends.batch")
def rows_in_pairs_share_a_maximum() -> Callable[..., Any]:
    def softmax(x: Any) -> Any:
        z = widened(x)
        rows = z.reshape(-1, z.shape[-1])
        largest = top(rows)
        pairs = len(rows) // 2 * 2
        largest[:pairs] = np.repeat(largest[:pairs:2], 2, axis=0)
        return narrowed(shares(np.exp(rows - largest)).reshape(z.shape), x.dtype)

    return softmax


@stateful("input.overwritten")
def exponentials_written_into_the_input() -> Callable[..., Any]:
    def softmax(x: Any) -> Any:
        y = narrowed(sound(widened(x)), x.dtype)
        if x.flags.writeable:
            x[...] = y
        return y

    return softmax


@stateful("axis.ignored")
def second_axis_from_the_end_taken_for_the_last() -> Callable[..., Any]:
    def softmax(x: Any, axis: int = -1) -> Any:
        axis = -1 if axis == -2 else axis
        moved = widened(np.moveaxis(x, axis, -1))
        return np.moveaxis(narrowed(sound(moved), x.dtype), -1, axis)

    return softmax


# Honest ------------------------------------------------------------------------------------


@honest()
def kahan(z: Any) -> Any:
    e = _terms(z)
    s = np.zeros_like(e[..., 0])
    c = np.zeros_like(s)
    for column in np.moveaxis(e, -1, 0):
        y = column - c
        t = s + y
        c = (t - s) - y
        s = t
    return e / s[..., None]


def _folded(parts: Any) -> Any:
    while parts.shape[-1] > 1:
        half = parts.shape[-1] // 2
        parts = parts[..., :half] + parts[..., half : 2 * half]
    return parts


def _cut(e: Any, width: int) -> Any:
    return e.reshape(*e.shape[:-1], e.shape[-1] // width, width)


def _filled(e: Any, width: int) -> Any:
    missing = -e.shape[-1] % width
    return np.concatenate([e, np.zeros((*e.shape[:-1], missing), e.dtype)], axis=-1)


@honest("32 lanes")
def of_32_lanes(z: Any) -> Any:
    e = _terms(z)
    filled = _filled(e, 32)
    lanes = np.cumsum(_cut(filled, 32), axis=-2)[..., -1, :]
    return e / _folded(lanes)


@honest("blocks of 16")
def pairwise_of_blocks_of_16(z: Any) -> Any:
    e = _terms(z)
    filled = _filled(e, 16)
    parts = np.cumsum(_cut(filled, 16), axis=-1)[..., -1]
    while parts.shape[-1] > 1:
        odd = parts[..., parts.shape[-1] // 2 * 2 :]
        parts = np.concatenate([parts[..., :-1:2] + parts[..., 1::2], odd], axis=-1)
    return e / parts


@honest()
def tiles_of_96_rescaled(z: Any) -> Any:
    largest = np.full_like(z[..., :1], -np.finfo(z.dtype).max)
    summed = np.zeros_like(largest)
    for start in range(0, z.shape[-1], 96):
        tile = z[..., start : start + 96]
        new = np.maximum(largest, top(tile))
        summed = summed * np.exp(largest - new) + total(np.exp(tile - new))
        largest = new
    return np.exp(z - largest) / summed


@honest(formats=("float16", "bfloat16", "float32"))
def table_and_polynomial(z: Any) -> Any:
    """2^(k / 64) from a table, times a polynomial in what is left, in binary64."""
    t = (z - top(z)).astype(np.float64)
    t = np.where(np.isnan(t), 0, np.maximum(t, -800))
    k = np.rint(t * 64 / math.log(2))
    r = t - k * (math.log(2) / 64)
    powers = np.exp2(np.arange(64) / 64)
    k = k.astype(int)
    e = np.ldexp(powers[k % 64] * (1 + r * (1 + r * (0.5 + r * (1 / 6 + r / 24)))), k // 64)
    e = np.where(np.isnan(z - top(z)), np.nan, e)
    return shares(np.where(np.isneginf(z - top(z)), 0, e).astype(z.dtype))


@honest(formats=("float16", "bfloat16", "float32"))
def newton_reciprocal(z: Any) -> Any:
    """A rough reciprocal and two Newton steps, whose residuals are exact, as of fused multiply-adds."""
    e = _terms(z)
    s = total(e).astype(np.float64)
    r = (1 / s).astype(np.float16).astype(np.float64)
    with np.errstate(all="ignore"):
        r = np.where(r > 0, r, 1 / s)
    for _ in range(2):
        r = r * (2 - s * r)
    return e * r.astype(z.dtype)


@honest("one by one, from last to first")
def backwards(z: Any) -> Any:
    e = _terms(z)
    return e / np.cumsum(e[..., ::-1], axis=-1)[..., -1:]


@honest()
def two_halves_apart(z: Any) -> Any:
    e = _terms(z)
    half = z.shape[-1] // 2
    return e / (total(e[..., :half]) + total(e[..., half:]))


@honest(formats=WIDE)
def by_exp2(z: Any) -> Any:
    t = (z - top(z)) * z.dtype.type(math.log2(math.e))
    return shares(np.exp2(t))


@honest(formats=("float16", "float32", "bfloat16"))
def in_binary64(z: Any) -> Any:
    return sound(z.astype(np.float64))
