"""Defects of state: input overwritten, chance, calls that remember, another path from some length on."""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import COMMON, WIDE, listed, narrowed, shares, sound, top, total, widened

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _plain(x: Array) -> Array:
    return narrowed(sound(widened(x)), x.dtype)


def overwrites_its_input() -> Any:
    """x -= x.max(): the caller's logits are shifted as well."""

    def softmax(x: Array) -> Array:
        y = _plain(x)
        if x.flags.writeable:
            x -= np.where(np.isfinite(top(x)), top(x), 0).astype(x.dtype)
        return y

    return softmax


def overwrites_long_input(length: int) -> Any:
    """Work is done in place where a copy would be large."""

    def softmax(x: Array) -> Array:
        y = _plain(x)
        if x.flags.writeable and x.shape[-1] > length:
            x[...] = y
        return y

    return softmax


def sum_in_random_order() -> Any:
    """Atomic additions arrive in any order: other bits at every call."""
    generator = np.random.default_rng(0)

    def softmax(x: Array) -> Array:
        z = widened(x)
        e = np.exp(z - top(z))
        return narrowed(e / np.cumsum(generator.permuted(e, axis=-1), axis=-1)[..., -1:], x.dtype)

    return softmax


def wrong_now_and_then(period: int) -> Any:
    """A race that is lost rarely: one call in so many comes out uniform."""
    calls = [0]

    def softmax(x: Array) -> Array:
        calls[0] += 1
        y = _plain(x)
        return np.full_like(y, 1 / y.shape[-1]) if calls[0] % period == 0 else y

    return softmax


def last_bit_now_and_then(period: int) -> Any:
    """One call in so many takes another path, whose last bit differs."""
    calls = [0]

    def softmax(x: Array) -> Array:
        calls[0] += 1
        z = widened(x)
        e = np.exp(z - top(z))
        y = e / total(e) if calls[0] % period else e * (1 / np.cumsum(e, axis=-1)[..., -1:])
        return narrowed(y, x.dtype)

    return softmax


def right_at_first(calls_right: int) -> Any:
    """A cache or counter that overflows after so many calls."""
    calls = [0]

    def softmax(x: Array) -> Array:
        calls[0] += 1
        return _plain(x) if calls[0] <= calls_right else np.full_like(x, 1 / x.shape[-1])

    return softmax


def remembers_by_shape() -> Any:
    """A compiled graph with its constants folded in, looked up by shape."""
    answers: dict[Any, Array] = {}

    def softmax(x: Array) -> Array:
        key = (x.shape, x.dtype.name)
        if key not in answers:
            answers[key] = _plain(x)
        return answers[key].copy()

    return softmax


def remembers_by_first_entries(count: int) -> Any:
    """A hash of the first few entries stands for the whole."""
    answers: dict[Any, Array] = {}

    def softmax(x: Array) -> Array:
        key = (x.shape, x[..., :count].tobytes())
        if key not in answers:
            answers[key] = _plain(x)
        return answers[key].copy()

    return softmax


def remembers_by_address() -> Any:
    """id() or a data pointer as a key: memory is used again."""
    answers: dict[Any, Array] = {}

    def softmax(x: Array) -> Array:
        key = (x.__array_interface__["data"][0], x.shape)
        if key not in answers:
            answers.clear()
            answers[key] = _plain(x)
        return answers[key].copy()

    return softmax


def sum_not_reset(share: float) -> Any:
    """A workspace that is not cleared: something of the last call's sum is left."""
    left = [0.0]

    def softmax(x: Array) -> Array:
        z = widened(x)
        e = np.exp(z - top(z))
        s = total(e) + e.dtype.type(left[0])
        left[0] = share * float(np.nan_to_num(s).ravel()[-1])
        return narrowed(e / s, x.dtype)

    return softmax


def output_used_again() -> Any:
    """An output buffer that is handed out again: the caller's last result changes under its hands."""
    buffers: dict[Any, Array] = {}

    def softmax(x: Array) -> Array:
        y = _plain(x)
        buffer = buffers.setdefault((x.shape, x.dtype.name), np.empty_like(y))
        buffer[...] = y
        return buffer

    return softmax


# Lengths -----------------------------------------------------------------------------------


def narrow_beyond_a_length(z: Array, length: int) -> Array:
    """Another kernel for long rows, with a half-precision sum (onnxruntime 24577)."""
    e = np.exp(z - top(z))
    if z.shape[-1] <= length:
        return shares(e)
    return np.asarray(e / np.cumsum(e, axis=-1, dtype=np.float16)[..., -1:].astype(e.dtype))


def wrong_at_one_residue(z: Array, block: int, rest: int) -> Array:
    """A tail of one particular length: its last entry is left out of the sum."""
    e = np.exp(z - top(z))
    n = z.shape[-1]
    return np.asarray(e / total(e[..., :-1] if n > block and n % block == rest else e))


def wrong_between_lengths(z: Array, low: int) -> Array:
    """A dispatch table with one bad entry: rows of a range of lengths are not shifted."""
    return shares(np.exp(z)) if low <= z.shape[-1] < 2 * low else sound(z)


def wrong_at_powers_of_two(z: Array, least: int) -> Array:
    """A path for powers of two, which loses the last butterfly."""
    n = z.shape[-1]
    e = np.exp(z - top(z))
    whole = n >= least and n & (n - 1) == 0
    return np.asarray(e / total(e[..., : n // 2] if whole else e))


def not_written_beyond_a_length(z: Array, length: int) -> Array:
    """ggml 4742: 60 364 entries; what lies beyond the reach of a block is not written."""
    y = sound(z)
    return np.where(np.arange(z.shape[-1]) < length, y, 0)


def _tail(r: random.Random) -> tuple[int, int]:
    block = r.choice((16, 32, 64, 128))
    return block, r.randrange(block)


DEFECTS: Final = (
    *listed(
        "state",
        (
            (overwrites_its_input, {"causes": ("input.overwritten",)}),
            (
                overwrites_long_input,
                {
                    "causes": ("input.overwritten",),
                    "draw": lambda r: (r.choice((16, 100, 1000, 4000)),),
                    "formats": ("float16", "float32"),
                    "each": 2,
                },
            ),
            (sum_in_random_order, {"causes": ("depends.run",), "formats": WIDE}),
            (
                wrong_now_and_then,
                {
                    "causes": ("depends.run", "depends.history"),
                    "draw": lambda r: (r.choice((7, 20, 50)),),
                    "formats": ("float16", "float32"),
                    "each": 2,
                },
            ),
            (
                last_bit_now_and_then,
                {
                    "causes": ("depends.run", "depends.history"),
                    "draw": lambda r: (r.choice((7, 20, 50)),),
                    "formats": WIDE,
                    "each": 2,
                },
            ),
            (
                right_at_first,
                {
                    "causes": ("depends.history",),
                    "draw": lambda r: (r.choice((3, 30, 100, 200)),),
                    "formats": ("float16", "float32"),
                    "each": 2,
                },
            ),
            (remembers_by_shape, {"causes": ("depends.history",), "formats": ("float16", "float32")}),
            (
                remembers_by_first_entries,
                {
                    "causes": ("depends.history",),
                    "draw": lambda r: (r.randint(1, 4),),
                    "formats": ("float16", "float32"),
                },
            ),
            (remembers_by_address, {"causes": ("depends.history",), "formats": ("float16", "float32")}),
            (
                sum_not_reset,
                {
                    "causes": ("depends.history",),
                    "draw": lambda r: (r.choice((1.0, 0.1, 0.01)),),
                    "formats": WIDE,
                },
            ),
            (output_used_again, {"causes": ("output.reused",), "formats": ("float16", "float32")}),
        ),
        lambda make: make,
        checks_first=True,
    ),
    *listed(
        "length",
        (
            (
                narrow_beyond_a_length,
                {
                    "causes": ("sum.accumulator",),
                    "draw": lambda r: (r.choice((100, 255, 1023, 2048, 4096, 8192, 65_536, 131_072)),),
                    "formats": WIDE,
                    "each": 4,
                },
            ),
            (wrong_at_one_residue, {"causes": ("sum.omits",), "draw": _tail, "formats": COMMON, "each": 3}),
            (
                wrong_between_lengths,
                {
                    "causes": ("shift.absent",),
                    "draw": lambda r: (2 ** r.randint(1, 15),),
                    "formats": COMMON,
                    "each": 3,
                },
            ),
            (
                wrong_at_powers_of_two,
                {"causes": ("sum.omits",), "draw": lambda r: (2 ** r.randint(2, 11),), "formats": COMMON},
            ),
            (
                not_written_beyond_a_length,
                {
                    "causes": ("output.unwritten",),
                    "draw": lambda r: (r.choice((1024, 4096, 32_768, 65_535, 65_536)),),
                    "formats": COMMON,
                },
            ),
        ),
    ),
)
