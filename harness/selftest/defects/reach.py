"""Defects beyond the reach of a few short rows: long rows, huge calls, many calls, threads, four axes."""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import WIDE, listed, narrowed, shares, sound, top, total, widened

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _plain(x: Array) -> Array:
    return narrowed(sound(widened(x)), x.dtype)


def _by_splits(e: Array, splits: int) -> Array:
    """Return the sum of each row from those of parts, as split rows have it."""
    parts = [total(part) for part in np.array_split(e, splits, axis=-1)]
    return np.asarray(np.cumsum(np.concatenate(parts, axis=-1), axis=-1)[..., -1:])


# Threads -----------------------------------------------------------------------------------


def static_scratch() -> Any:
    """A static buffer for the exponentials: right until two threads call at once."""
    buffers: dict[Any, Array] = {}

    def softmax(x: Array) -> Array:
        z = widened(x)
        buffer = buffers.setdefault((z.shape, z.dtype.name), np.empty_like(z))
        np.subtract(z, top(z), out=buffer)
        np.exp(buffer, out=buffer)
        return narrowed(shares(buffer), x.dtype)

    return softmax


def static_scratch_of_long_rows(length: int) -> Any:
    """Short rows are done on the stack, long ones in a static buffer."""
    shared = static_scratch()
    return lambda x: shared(x) if x.shape[-1] > length else _plain(x)


# Calls -------------------------------------------------------------------------------------


def wrong_after_many_calls(calls_right: int) -> Any:
    """A counter of calls that runs over, a pool that runs dry."""
    calls = [0]

    def softmax(x: Array) -> Array:
        calls[0] += 1
        return _plain(x) if calls[0] <= calls_right else np.full_like(x, 1 / x.shape[-1])

    return softmax


def long_rows_in_random_order(length: int) -> Any:
    """Atomic additions where a row takes more than one block: other bits at every call."""
    generator = np.random.default_rng(0)

    def softmax(x: Array) -> Array:
        z = widened(x)
        e = np.exp(z - top(z))
        s = total(e) if z.shape[-1] <= length else total(generator.permuted(e, axis=-1))
        return narrowed(e / s, x.dtype)

    return softmax


def long_rows_wrong_now_and_then(share: float) -> Any:
    """A race between the blocks of a long row, lost in a share of the calls at random."""
    generator = random.Random(0)  # noqa: S311 - reproducible, not secret

    def softmax(x: Array) -> Array:
        y = _plain(x)
        if x.shape[-1] > 1024 and generator.random() < share:
            y[..., 1024:] = 0
        return y

    return softmax


def long_input_overwritten(length: int) -> Any:
    """Work is done in place where a copy would be large."""

    def softmax(x: Array) -> Array:
        y = _plain(x)
        if x.flags.writeable and x.shape[-1] > length:
            x[...] = y
        return y

    return softmax


# Huge calls --------------------------------------------------------------------------------


def entries_beyond_a_cap(z: Array, cap: int) -> Array:
    """65 535 blocks of 64, or 2^24 in a binary32 counter: what lies beyond, in a call, is not written."""
    y = sound(z)
    y.reshape(-1)[cap:] = 0
    return y


def rows_beyond_a_cap(z: Array, cap: int) -> Array:
    """A number of rows that a grid cannot have: those beyond are not written."""
    y = sound(z)
    y.reshape(-1, z.shape[-1])[cap:] = 0
    return y


# Batches -----------------------------------------------------------------------------------


def long_rows_split_by_the_batch(z: Array, length: int) -> Array:
    """Split rows: into how many parts depends on the rows beside, so that processors are busy."""
    e = np.exp(z - top(z))
    rows = z.size // z.shape[-1]
    return shares(e) if z.shape[-1] <= length or rows > 100 else np.asarray(e / _by_splits(e, 8))


# Lying elsewhere ---------------------------------------------------------------------------


def long_strided_rows_wrong(x: Array, length: int) -> Array:
    """A strided row is gathered into a buffer of fixed size."""
    z = widened(x)
    y = sound(z)
    if x.ndim > 1 and x.strides[-1] != x.itemsize and x.shape[-1] > length:
        y[..., length:] = 0
    return y


def long_vectors_wrong(x: Array, length: int) -> Array:
    """The kernel of a single row has no loop over blocks."""
    y = sound(widened(x))
    if x.ndim == 1:
        y[length:] = 0
    return y


def long_rows_off_a_vector_wrong(x: Array, length: int) -> Array:
    """Vectors are loaded from the multiple of 32 bytes before, in the unrolled loop of long rows."""
    z = widened(x)
    off = x.__array_interface__["data"][0] % 32 != 0
    return sound(np.roll(z, 1, axis=-1) if off and x.shape[-1] > length else z)


# Shapes ------------------------------------------------------------------------------------


def four_axes_passed_through(z: Array) -> Array:
    """No branch for four axes: the input comes back."""
    return z.copy() if z.ndim == 4 else sound(z)


def empty_batch_refused(z: Array) -> Array:
    """max of nothing."""
    if not z.size:
        raise ValueError("zero-size array to reduction operation maximum which has no identity")
    return sound(z)


def _along(z: Array, axis: int) -> Array:
    return np.moveaxis(sound(np.ascontiguousarray(np.moveaxis(z, axis, -1))), -1, axis)


def axis_one_of_a_matrix_taken_for_zero(z: Array, axis: int) -> Array:
    """axis = 1 stands for the batch, in a layer that counts without it."""
    return _along(z, 0 if z.ndim == 2 and axis == 1 else axis)


def third_axis_from_the_end_miscounted(z: Array, axis: int) -> Array:
    """-1 and -2 have rules of their own, other negative numbers are taken for the last."""
    return _along(z, axis if axis >= -2 else -1)


def inner_axis_of_four_taken_for_the_last(z: Array, axis: int) -> Array:
    """The axes of a picture, (n, c, h, w), are known; of others the last is taken."""
    return _along(z, axis if z.ndim < 4 or axis % z.ndim in (0, 1, 3) else 3)


def columns_beyond_a_grid(z: Array, axis: int, most: int) -> Array:
    """Along the first axis one block stands for each column of entries, 65 535 at most."""
    y = _along(z, axis)
    if axis % z.ndim != z.ndim - 1:
        np.moveaxis(y, axis, -1)[..., most:] = 0
    return y


def _with_axis(function: Any) -> Any:
    def make(*values: Any) -> Any:
        def softmax(x: Array, axis: int = -1) -> Array:
            return narrowed(np.asarray(function(widened(x), axis, *values)), x.dtype)

        return softmax

    return make


def _as_given(function: Any) -> Any:
    return lambda *values: lambda x: narrowed(np.asarray(function(x, *values)), x.dtype)


_ONE: Final = {"formats": ("float32",)}
_TWO: Final = {"formats": ("float16", "float32")}
_LONG: Final = {"draw": lambda r: (r.choice((1024, 2047, 4096)),), "formats": WIDE}

DEFECTS: Final = (
    *listed(
        "reach",
        (
            (static_scratch, _TWO | {"causes": ("depends.threads",)}),
            (
                static_scratch_of_long_rows,
                {"causes": ("depends.threads",), "draw": lambda r: (r.choice((1024, 8192)),), **_ONE},
            ),
            (
                wrong_after_many_calls,
                {
                    "causes": ("depends.history",),
                    "draw": lambda r: (r.choice((2000, 20_000)),),
                    **_ONE,
                    "each": 2,
                },
            ),
            (long_rows_in_random_order, _LONG | {"causes": ("depends.run",)}),
            (long_rows_wrong_now_and_then, {"causes": ("depends.run",), "draw": lambda _: (0.05,), **_TWO}),
            (
                long_input_overwritten,
                {"causes": ("input.overwritten",), "draw": lambda r: (r.choice((4096, 8192)),), **_TWO},
            ),
        ),
        lambda make: make,
        checks_first=True,
    ),
    *listed(
        "reach",
        (
            (
                entries_beyond_a_cap,
                {
                    "causes": ("depends.batch",),
                    "draw": lambda r: (r.choice((4_194_240, 1 << 24)),),
                    **_ONE,
                    "each": 2,
                },
            ),
            (
                rows_beyond_a_cap,
                {"causes": ("depends.batch",), "draw": lambda r: (r.choice((100_000, 131_071)),), **_TWO},
            ),
            (
                long_rows_split_by_the_batch,
                _LONG | {"draw": lambda r: (r.choice((300, 1024)),)} | {"causes": ("depends.batch",)},
            ),
            (four_axes_passed_through, _TWO | {"causes": ("axis.stacks",)}),
            (empty_batch_refused, _TWO | {"causes": ("input.refused",)}),
        ),
        checks_first=True,
    ),
    *listed(
        "reach",
        (
            (long_strided_rows_wrong, {"causes": ("strides.ignored",), "draw": lambda _: (4096,), **_ONE}),
            (long_vectors_wrong, {"causes": ("axis.stacks",), "draw": lambda _: (4096,), **_TWO}),
            (long_rows_off_a_vector_wrong, {"causes": ("depends.place",), "draw": lambda _: (4096,), **_TWO}),
        ),
        _as_given,
        checks_first=True,
    ),
    *listed(
        "reach",
        (
            (axis_one_of_a_matrix_taken_for_zero, _TWO | {"causes": ("axis.ignored",)}),
            (third_axis_from_the_end_miscounted, _TWO | {"causes": ("axis.ignored",)}),
            (inner_axis_of_four_taken_for_the_last, _TWO | {"causes": ("axis.ignored",)}),
            (columns_beyond_a_grid, {"causes": ("axis.ignored",), "draw": lambda _: (65_535,), **_ONE}),
        ),
        _with_axis,
        checks_first=True,
    ),
)
