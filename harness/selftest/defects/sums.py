"""Defects of the sum: entries left out or counted twice, accumulators too narrow, blocks merged wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import WIDE, listed, sound, top, total
from reference.formats import FORMATS

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _over(z: Array, of: Callable[[Array], Array]) -> Array:
    """Return exp(z - max) over a sum that `of` makes of it."""
    e = np.exp(z - top(z))
    return np.asarray(e / of(e))


def without_the_last_entry(z: Array) -> Array:
    """for (i = 0; i < n - 1; i++)."""
    return _over(z, lambda e: total(e[..., :-1] if e.shape[-1] > 1 else e))


def without_the_first_entry(z: Array) -> Array:
    """The sum starts at 0 where it should start at exp of the first entry."""
    return _over(z, lambda e: total(e[..., 1:] if e.shape[-1] > 1 else e))


def without_the_tail(z: Array, width: int) -> Array:
    """The vector loop's sum without the scalar tail's (NNPACK 174: another tail path)."""
    whole = z.shape[-1] // width * width
    return _over(z, lambda e: total(e[..., :whole] if whole else e))


def without_a_whole_last_block(z: Array, block: int) -> Array:
    """A loop that leaves the last block to a tail, which a multiple of the block does not have."""
    n = z.shape[-1]
    kept = n - block if n % block == 0 and n > block else n
    return _over(z, lambda e: total(e[..., :kept]))


def of_the_first_entries(z: Array, count: int) -> Array:
    """One block of threads for a row, whatever its length."""
    return _over(z, lambda e: total(e[..., :count]))


def tail_counted_twice(z: Array, block: int) -> Array:
    """The last block is moved back to be whole, and what it overlaps is added again."""
    n = z.shape[-1]
    start = n - block if n > block and n % block else n
    return _over(z, lambda e: total(e[..., : n // block * block or n]) + total(e[..., start:]))


def odd_lane_lost(z: Array) -> Array:
    """llama.cpp 4742: a tree reduction that drops the odd one of lengths that are no power of two."""

    def tree(e: Array) -> Array:
        while e.shape[-1] > 1:
            half = e.shape[-1] // 2
            e = e[..., :half] + e[..., half : 2 * half]
        return e

    return _over(z, tree)


def padding_counted(z: Array, width: int) -> Array:
    """onnxruntime 20059, sonos/tract 2318: rows are filled up with a number that is not -inf."""
    missing = -z.shape[-1] % width
    filled = np.concatenate([z, np.zeros((*z.shape[:-1], missing), z.dtype)], axis=-1)
    return sound(filled)[..., : z.shape[-1]]


def ties_counted_once(z: Array) -> Array:
    """A sum over distinct values, as over a table of quantised logits."""

    def distinct(e: Array) -> Array:
        ordered = np.sort(e, axis=-1)
        new = np.diff(ordered, axis=-1, prepend=-1) != 0
        return total(np.where(new, ordered, 0))

    return _over(z, distinct)


def saturating(z: Array, most: float) -> Array:
    """A fixed-point accumulator that is full at a power of two."""
    return _over(z, lambda e: np.minimum(total(e), e.dtype.type(most)))


def float16_accumulator(z: Array) -> Array:
    """huggingface/candle 3727: a sum of ones stands still at 2048; onnxruntime 24577."""
    return _over(z, lambda e: np.cumsum(e, axis=-1, dtype=np.float16)[..., -1:].astype(e.dtype))


def bfloat16_accumulator(z: Array) -> Array:
    """executorch 20090, tt-metal 52045: a sum of ones stands still at 256."""
    return _over(z, lambda e: _added(e.astype(FORMATS["bfloat16"].dtype)).astype(e.dtype))


def float16_partial_sums(z: Array, lanes: int) -> Array:
    """Partial sums of lanes kept in float16, added up in a wider format."""
    return _over(z, lambda e: total(_by_lanes(e, lanes, np.dtype(np.float16))))


def float32_accumulator(z: Array) -> Array:
    """A sum in binary32 for a softmax of float64."""
    return _over(z, lambda e: total(e.astype(np.float32)).astype(e.dtype))


def added_one_by_one(z: Array) -> Array:
    """A sum from first to last: good enough for fast, not for standard (NumPy's own along a strided axis)."""
    return _over(z, lambda e: np.cumsum(e, axis=-1)[..., -1:])


def _added(e: Array) -> Array:
    """Return the sum of each row from first to last, each step rounded to e's format."""
    columns = np.moveaxis(e, -1, 0)
    result = columns[0].copy()
    for column in columns[1:]:
        result = result + column
    return np.asarray(result[..., None])


def _by_lanes(e: Array, lanes: int, dtype: np.dtype[Any]) -> Array:
    """Return the sums of every `lanes`-th entry, each added one by one in a format, in e's."""
    missing = -e.shape[-1] % lanes
    filled = np.concatenate([e, np.zeros((*e.shape[:-1], missing), e.dtype)], axis=-1)
    apart = filled.reshape(*e.shape[:-1], -1, lanes)
    return np.asarray(np.cumsum(apart, axis=-2, dtype=dtype)[..., -1, :].astype(e.dtype))


# Blocks ------------------------------------------------------------------------------------


def _blocks(z: Array, size: int) -> Iterator[Array]:
    for start in range(0, z.shape[-1], size):
        yield z[..., start : start + size]


Merge = Callable[[Array, Array, Array, Array, int], Array]


def _blockwise(z: Array, size: int, merge: Merge) -> Array:
    """Return the softmax by blocks; `merge(sum, max, new max, block, number)` gives the new sum."""
    size = max(size, z.shape[-1] // 64)  # a long row would take its time
    lowest = z.dtype.type(-np.finfo(z.dtype).max)
    largest = np.full_like(z[..., :1], lowest)
    summed = np.zeros_like(largest)
    for number, block in enumerate(_blocks(z, size)):
        larger = np.maximum(largest, top(block))
        summed = merge(summed, largest, larger, block, number)
        largest = larger
    return np.asarray(np.exp(z - largest) / summed)


def block_without_rescale(z: Array, size: int) -> Array:
    """A flash-attention merge that forgets to rescale what it has."""
    return _blockwise(z, size, lambda s, _m, new, block, _k: s + total(np.exp(block - new)))


def block_with_the_inverted_rescale(z: Array, size: int) -> Array:
    """exp(new - old) for exp(old - new)."""

    def merge(s: Array, m: Array, new: Array, block: Array, number: int) -> Array:
        return np.asarray((s * np.exp(new - m) if number else s) + total(np.exp(block - new)))

    return _blockwise(z, size, merge)


def block_by_its_own_maximum(z: Array, size: int) -> Array:
    """Partial sums of split rows added without their scales (vllm 39148 merges such states)."""
    return _blockwise(z, size, lambda s, m, new, b, _k: s * np.exp(m - new) + total(np.exp(b - top(b))))


def first_block_rescaled_alone(z: Array, size: int) -> Array:
    """The rescale is inside the branch for the first block."""

    def merge(s: Array, m: Array, new: Array, block: Array, number: int) -> Array:
        return (s * np.exp(m - new) if number == 1 else s) + total(np.exp(block - new))

    return _blockwise(z, size, merge)


def short_last_block_dropped(z: Array, size: int) -> Array:
    """A tail block of less than a quarter is not worth a launch."""

    def merge(s: Array, m: Array, new: Array, block: Array, number: int) -> Array:
        small = number > 0 and block.shape[-1] < size // 4
        return np.asarray(s * np.exp(m - new) + (0 if small else total(np.exp(block - new))))

    return _blockwise(z, size, merge)


def hidden_block_skipped(z: Array, size: int, gap: float) -> Array:
    """Blocks whose maximum is far below the running one are skipped, and not far enough."""

    def merge(s: Array, m: Array, new: Array, block: Array, _number: int) -> Array:
        share = total(np.exp(block - new))
        return np.asarray(s * np.exp(m - new) + np.where(top(block) < m - gap, 0, share))

    return _blockwise(z, size, merge)


def online_start_of_a_masked_block(z: Array, size: int) -> Array:
    """flashinfer 1178, torch-mojo-backend 319: exp(-inf - -inf) in a block that is all -inf."""

    def merge(s: Array, m: Array, new: Array, block: Array, _number: int) -> Array:
        own = top(block)
        return np.asarray(s * np.exp(m - new) + total(np.exp(block - own)) * np.exp(own - new))

    return _blockwise(z, size, merge)


_SIZES: Final = {"draw": lambda r: (r.randint(3, 300),), "each": 2}
_WIDTHS: Final = {"draw": lambda r: (r.choice((4, 8, 16, 32, 64)),), "each": 2}

DEFECTS: Final = listed(
    "sum",
    (
        (without_the_last_entry, {"causes": ("sum.omits",)}),
        (without_the_first_entry, {"causes": ("sum.omits",)}),
        (without_the_tail, _WIDTHS | {"causes": ("sum.omits",)}),
        (
            without_a_whole_last_block,
            {"causes": ("sum.omits",), "draw": lambda r: (r.choice((32, 64, 128, 256, 1024)),)},
        ),
        (
            of_the_first_entries,
            {"causes": ("sum.omits",), "draw": lambda r: (r.choice((32, 256, 1024, 4096)),)},
        ),
        (tail_counted_twice, {"causes": ("sum.repeats",), "draw": lambda r: (r.choice((8, 16, 32, 100)),)}),
        (odd_lane_lost, {"causes": ("sum.omits",)}),
        (padding_counted, _WIDTHS | {"causes": ("sum.padded",)}),
        (ties_counted_once, {"causes": ("sum.omits",)}),
        (saturating, {"causes": ("sum.stagnates",), "draw": lambda r: (2 ** r.randint(2, 12),)}),
        (float16_accumulator, {"causes": ("sum.accumulator",)}),
        (bfloat16_accumulator, {"causes": ("sum.accumulator",)}),
        (
            float16_partial_sums,
            {"causes": ("sum.accumulator",), "draw": lambda r: (r.choice((2, 4, 8)),), "formats": WIDE},
        ),
        (float32_accumulator, {"causes": ("sum.accumulator",), "formats": ("float64",)}),
        (added_one_by_one, {"causes": ("sum.order",), "formats": WIDE, "tier": "standard"}),
        (block_without_rescale, _SIZES | {"causes": ("sum.not_rescaled",)}),
        (block_with_the_inverted_rescale, _SIZES | {"causes": ("sum.not_rescaled",)}),
        (block_by_its_own_maximum, _SIZES | {"causes": ("sum.not_rescaled",)}),
        (first_block_rescaled_alone, _SIZES | {"causes": ("sum.not_rescaled",)}),
        (
            short_last_block_dropped,
            {"causes": ("sum.omits",), "draw": lambda r: (r.choice((32, 64, 128, 256)),)},
        ),
        (
            hidden_block_skipped,
            {"causes": ("sum.omits",), "draw": lambda r: (r.choice((16, 64)), r.choice((4.0, 6.0)))},
        ),
        (
            online_start_of_a_masked_block,
            {"causes": ("mask.poisons",), "draw": lambda r: (r.choice((4, 32, 100)),)},
        ),
    ),
)
