"""Defects of layout: axis, strides, rows of a batch, writing and reading beyond a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import listed, narrowed, shares, sound, top, widened

__all__ = ["DEFECTS"]

Array = NDArray[Any]


def _along(z: Array, axis: int) -> Array:
    return np.moveaxis(sound(np.ascontiguousarray(np.moveaxis(z, axis, -1))), -1, axis)


def _with_axis(function: Callable[..., Array]) -> Callable[..., Any]:
    """Return the maker of f(x, axis=-1) from a function of an array in a wider format, an axis, constants."""

    def make(*values: Any) -> Any:
        def softmax(x: Array, axis: int = -1) -> Array:
            return narrowed(np.asarray(function(widened(x), axis, *values)), x.dtype)

        return softmax

    return make


def _as_given(function: Callable[..., Array]) -> Callable[..., Any]:
    """Return the maker of f(x) that sees x as it lies in memory."""
    return lambda *values: lambda x: narrowed(np.asarray(function(x, *values)), x.dtype)


# Axis --------------------------------------------------------------------------------------


def axis_ignored(z: Array, _axis: int) -> Array:
    """jax 20856, Flux.jl 1425: the axis is dropped by a rewrite."""
    return sound(z)


def axis_of_the_flattened(z: Array, axis: int) -> Array:
    """openvino 37823, tvm 1642: opset 12 flattens all axes from the given one on."""
    first = axis % z.ndim
    return sound(z.reshape(*z.shape[:first], -1)).reshape(z.shape)


def middle_axis_taken_for_the_last(z: Array, axis: int) -> Array:
    """TIM-VX 266: the axis of another memory order."""
    return _along(z, axis if axis % z.ndim in (0, z.ndim - 1) else z.ndim - 1)


def first_axis_taken_for_the_last(z: Array, axis: int) -> Array:
    """axis = 0 is taken for "not given"."""
    return _along(z, axis or -1)


def negative_axis_miscounted(z: Array, axis: int) -> Array:
    """axis + ndim - 1: -1 comes out right by an extra rule, -2 does not."""
    return _along(z, axis if axis >= -1 else (axis + z.ndim - 1) % z.ndim)


def axis_of_length_over_a_block(z: Array, axis: int, most: int) -> Array:
    """A strided axis is handled in one block of threads, and the rest of it is left out."""
    moved = np.moveaxis(z, axis, -1)
    if axis % z.ndim == z.ndim - 1:
        return _along(z, axis)
    e = np.exp(moved - top(moved))
    return np.moveaxis(e / e[..., :most].sum(axis=-1, keepdims=True), -1, axis)


# Strides -----------------------------------------------------------------------------------


def _in_storage_order(x: Array) -> Array:
    """Return what is read from where x begins in memory if its strides are taken for those of C order."""
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not (owner.flags.c_contiguous and owner.dtype == x.dtype):
        return x.ravel(order="K").reshape(x.shape)
    first = (x.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // x.itemsize
    return np.asarray(owner.reshape(-1).take(first + np.arange(x.size), mode="clip").reshape(x.shape))


def strides_ignored(x: Array) -> Array:
    """tracel-ai/burn 4815, FlagGems 5723: x.T is read in storage order."""
    return sound(widened(x if x.flags.c_contiguous else _in_storage_order(x)))


def row_pitch_ignored(x: Array) -> Array:
    """mlx 657, rocm-libraries 11387: rows that are contiguous, and farther apart than they are long."""
    dense = x.ndim > 1 and x.strides[-1] == x.itemsize and not x.flags.c_contiguous
    return sound(widened(_in_storage_order(x) if dense else x))


def column_stride_ignored(x: Array) -> Array:
    """mlx 657: a slice of columns is read as if they lay side by side."""
    apart = x.ndim > 1 and x.strides[-1] != x.itemsize and x.strides[-1] > 0
    return sound(widened(_in_storage_order(x) if apart else x))


def fortran_order_returned_in_c(x: Array) -> Array:
    """The output is allocated in C order and filled in the input's."""
    y = sound(widened(x))
    if x.ndim == 2 and x.flags.f_contiguous and not x.flags.c_contiguous:
        return np.asarray(y.ravel(order="F").reshape(y.shape))
    return y


def negative_strides_refused(x: Array) -> Array:
    """torch.from_numpy refuses negative strides; a wrapper that hands arrays on does too."""
    if any(stride < 0 for stride in x.strides):
        raise ValueError("at least one stride is negative")
    return sound(widened(x))


def read_only_refused(x: Array) -> Array:
    """A Cython memory view without const takes only buffers that may be written to."""
    if not x.flags.writeable:
        raise ValueError("buffer source array is read-only")
    return sound(widened(x))


# Batches -----------------------------------------------------------------------------------


def _rows(z: Array) -> Array:
    return z.reshape(-1, z.shape[-1])


def only_the_first_of_a_stack(z: Array) -> Array:
    """Batches of three axes: the outer loop runs once."""
    y = sound(z)
    return np.concatenate([y[:1], np.broadcast_to(y[:1], y[1:].shape)]) if z.ndim > 2 else y


def square_batch_transposed(z: Array) -> Array:
    """Rows and columns are distinguished by their numbers."""
    return _along(z, 0) if z.ndim == 2 and z.shape[0] == z.shape[1] else sound(z)


def vector_flattened(z: Array) -> Array:
    """A single row comes back as a batch of one."""
    return sound(z)[None] if z.ndim == 1 else sound(z)


def stale_row(z: Array, period: int) -> Array:
    """A tile boundary: every so many rows the output is that of the row before."""
    y = _rows(sound(z)).copy()
    y[period::period] = y[period - 1 : -1 : period]
    return y.reshape(z.shape)


def rows_beyond_a_limit(z: Array, limit: int) -> Array:
    """pytorch 84144, onnxruntime 32299, Paddle 71935: rows past the reach of an index are not written."""
    y = _rows(sound(z)).copy()
    y[limit:] = 0
    return y.reshape(z.shape)


def rows_left_over_by_threads(z: Array, threads: int) -> Array:
    """rows // threads for each thread, and nobody takes the rest."""
    y = _rows(sound(z)).copy()
    if len(y) > 2 * threads:
        y[len(y) // threads * threads :] = 1 / z.dtype.type(z.shape[-1])
    return y.reshape(z.shape)


def another_order_in_large_batches(z: Array, limit: int) -> Array:
    """batch invariance: a large batch is summed by another kernel (split over threads, or not)."""
    e = np.exp(z - top(z))
    if _rows(z).shape[0] < limit:
        return shares(e)
    return np.asarray(e / np.cumsum(e, axis=-1)[..., -1:])


def narrow_in_small_batches(z: Array, limit: int) -> Array:
    """The kernel for a few rows keeps its sum in half precision."""
    e = np.exp(z - top(z))
    if not 1 < _rows(z).shape[0] < limit:
        return shares(e)
    return np.asarray(e / np.cumsum(e, axis=-1, dtype=np.float16)[..., -1:].astype(e.dtype))


def writes_into_the_next_row(z: Array, width: int) -> Array:
    """Whole vectors are stored at a row's end: the first entries of the next row are lost (out of order)."""
    y = _rows(sound(z)).copy()
    over = -z.shape[-1] % width
    y[1:, : min(over, z.shape[-1])] = 0
    return y.reshape(z.shape)


def reads_into_the_next_row(z: Array, width: int) -> Array:
    """pytorch 191565 reads outside its buffer: whole vectors are loaded at a row's end."""
    rows = _rows(z)
    over = min(-z.shape[-1] % width, z.shape[-1])
    following = np.concatenate([rows[1:], np.full_like(rows[:1], -np.inf)])[:, :over]
    wide = np.concatenate([rows, following], axis=1)
    e = np.exp(wide - top(wide))
    return np.asarray((e / e.sum(axis=-1, keepdims=True))[:, : z.shape[-1]].reshape(z.shape))


def writes_beyond_its_input(x: Array, width: int) -> Array:
    """Rows are filled up to whole vectors in place, beyond the end of the buffer (tensorflow 4425)."""
    over = -x.shape[-1] % width
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    y = sound(widened(x))
    if over and x.flags.c_contiguous and owner.flags.writeable and owner.dtype == x.dtype:
        flat = owner.reshape(-1)
        end = (x.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // x.itemsize + x.size
        flat[end : end + over] = 0
    return y


_PERIODS: Final = {"draw": lambda r: (r.choice((64, 100, 1000, 4096, 10_000, 32_768)),), "each": 2}
_LIMITS: Final = {"draw": lambda r: (r.choice((1024, 2048, 4096, 32_768, 65_535)),), "each": 2}
_WIDTHS: Final = {"draw": lambda r: (r.choice((4, 8, 16, 32)),), "formats": ("float16", "float32")}
_TWO: Final = {"formats": ("float16", "float32")}

DEFECTS: Final = (
    *listed(
        "layout",
        (
            (axis_ignored, _TWO | {"causes": ("axis.ignored",)}),
            (axis_of_the_flattened, _TWO | {"causes": ("axis.ignored",)}),
            (middle_axis_taken_for_the_last, _TWO | {"causes": ("axis.ignored",)}),
            (first_axis_taken_for_the_last, _TWO | {"causes": ("axis.ignored",)}),
            (negative_axis_miscounted, _TWO | {"causes": ("axis.ignored",)}),
            (
                axis_of_length_over_a_block,
                {
                    "causes": ("axis.ignored",),
                    "draw": lambda r: (r.choice((32, 100, 128, 200)),),
                    **_TWO,
                    "each": 2,
                },
            ),
        ),
        _with_axis,
        checks_first=True,
    ),
    *listed(
        "layout",
        (
            (strides_ignored, _TWO | {"causes": ("strides.ignored",)}),
            (row_pitch_ignored, _TWO | {"causes": ("strides.ignored",)}),
            (column_stride_ignored, _TWO | {"causes": ("strides.ignored",)}),
            (fortran_order_returned_in_c, _TWO | {"causes": ("strides.ignored",)}),
            (negative_strides_refused, _TWO | {"causes": ("input.refused",)}),
            (read_only_refused, _TWO | {"causes": ("input.refused",)}),
            (writes_beyond_its_input, _WIDTHS | {"causes": ("input.overrun",)}),
        ),
        _as_given,
        checks_first=True,
    ),
    *listed(
        "layout",
        (
            (only_the_first_of_a_stack, _TWO | {"causes": ("axis.stacks",)}),
            (square_batch_transposed, _TWO | {"causes": ("depends.batch",)}),
            (vector_flattened, _TWO | {"causes": ("axis.stacks",)}),
            (stale_row, _PERIODS | {"causes": ("depends.batch",)}),
            (rows_beyond_a_limit, _LIMITS | {"causes": ("depends.batch",)}),
            (
                rows_left_over_by_threads,
                {"causes": ("depends.batch",), "draw": lambda r: (r.choice((2, 4, 8, 64)),)},
            ),
            (
                another_order_in_large_batches,
                {
                    "causes": ("depends.batch",),
                    "draw": lambda r: (r.choice((2, 8, 64, 1000, 4096)),),
                    "formats": ("float32", "float64"),
                    "each": 2,
                },
            ),
            (
                narrow_in_small_batches,
                {
                    "causes": ("depends.batch",),
                    "draw": lambda r: (r.choice((4, 16, 64)),),
                    "formats": ("float32", "float64"),
                },
            ),
            (writes_into_the_next_row, _WIDTHS | {"causes": ("depends.batch",)}),
            (reads_into_the_next_row, _WIDTHS | {"causes": ("depends.batch",)}),
        ),
        checks_first=True,
    ),
)
