"""Kernels of C, C++, Rust and the like, called by ctypes: `path/lib.so:softmax_f32`.

A kernel has C linkage and the signature

    void softmax_f32(const float *x, float *y, size_t rows, size_t n);

x and y hold `rows` rows of n entries each, row after row without gaps; y is to be filled, x left alone.
The end of the name tells the format: `_f16 _bf16 _f32 _f64 _f8e4m3fn _f8e5m2`. The 16- and 8-bit formats
are passed as their encodings, `uint16_t` and `uint8_t`. Two ends, as in `softmax_bf16_f32`, tell the input's
format and the output's. A name without an end, `lib.so:softmax`, stands for all of the library's
functions that have that name and one end.

Every entry of y that a kernel leaves alone is a NaN, and what it writes beyond y's end is found out.
Imports none of the rooms.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENDS", "SUFFIXES", "native_function"]

Array = NDArray[Any]

SUFFIXES: Final = (".so", ".dylib", ".dll")
"""What the files of native libraries end in."""

ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "f16": "float16",
        "bf16": "bfloat16",
        "f32": "float32",
        "f64": "float64",
        "f8e4m3fn": "float8_e4m3fn",
        "f8e5m2": "float8_e5m2",
    }
)
"""The formats by the ends of names."""

_GUARD_BYTES: Final = 4096
_GUARD: Final = 0xFF  # a NaN in every format


def native_function(file: Path, name: str) -> Callable[[Array], Array]:
    """Return the softmax of a native library; its `formats` are those that the library has.

    Raises:
        ValueError: the library cannot be loaded, or has no such function; one line.
    """
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise ValueError(f"loading {file} fails: {error}") from error
    kernels = dict(_kernels(library, name))
    if not kernels:
        ends = ", ".join(f"_{end}" for end in ENDS)
        raise ValueError(f"{file} has no function {name!r} whose name ends in one of {ends}")

    def softmax(x: Array) -> Array:
        try:
            kernel, out = kernels[x.dtype.name]
        except KeyError:
            raise TypeError(f"{name} has no kernel for {x.dtype.name}") from None
        return _called(kernel, x, out)

    softmax.formats = tuple(kernels)  # type: ignore[attr-defined]  # functions take any
    softmax.__doc__ = f"{name} of {file.name}, for {', '.join(kernels)}."
    return softmax


def _kernels(library: ctypes.CDLL, name: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield input format, kernel and output format of all that a name stands for."""
    *_, before, last = ("", "", *name.split("_"))
    if last in ENDS:
        named = {name: (ENDS.get(before, ENDS[last]), ENDS[last])}
    else:
        named = {f"{name}_{end}": (fmt, fmt) for end, fmt in ENDS.items()}
    for symbol, (fmt, out) in named.items():
        if hasattr(library, symbol):
            kernel = getattr(library, symbol)
            kernel.restype = None
            kernel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
            yield fmt, (kernel, out)


def _called(kernel: Any, x: Array, out: str) -> Array:
    rows = np.ascontiguousarray(x)
    dtype = _dtype_named(out)
    size = rows.size * dtype.itemsize
    memory = np.full(size + _GUARD_BYTES, _GUARD, dtype=np.uint8)
    length = rows.shape[-1]
    kernel(rows.ctypes.data, memory.ctypes.data, rows.size // length, length)
    if (memory[size:] != _GUARD).any():
        raise IndexError(f"it wrote beyond the end of y, {rows.size} entries of {out}")
    return np.asarray(memory[:size].view(dtype).reshape(rows.shape))


def _dtype_named(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
