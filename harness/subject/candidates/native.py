"""Kernels of C, C++, Rust and the like, called by ctypes: `path/lib.so:softmax_f32`.

A kernel has C linkage and the signature

    void softmax_f32(const float *x, float *y, size_t rows, size_t n);

x and y hold `rows` rows of n entries each, row after row without gaps; y is to be filled, x left alone.
The end of the name tells the format: `_f16 _bf16 _f32 _f64 _f8e4m3fn _f8e5m2`, and so for every format. The
16- and 8-bit formats are passed as their encodings, `uint16_t` and `uint8_t`. Two ends, as in
`softmax_bf16_f32`, tell the input's format and the output's. A name without an end, `lib.so:softmax`, stands
for all of the library's functions that have that name and one end.

Every entry of y that a kernel leaves alone is a NaN, and what it writes beyond y's end is found out. One
that leaves some alone in a few rows of zeros is of another signature, and refused.
Imports none of the rooms.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .beside import reference_file
from .symbols import exported_functions

__all__ = ["SUFFIXES", "native_function", "signature", "try_out"]

Array = NDArray[Any]

SUFFIXES: Final = (".so", ".dylib", ".dll")
"""What the files of native libraries end in."""

_GUARD_BYTES: Final = 4096
_OTHER_PATTERN: Final = 0x5A
_TRIED: Final = (3, 256)  # whole vectors of any machine
_MOST_SHOWN: Final = 12
_BYTE: Final = 8
_EXAMPLE: Final = ("softmax_f32", "float32", "float32")
_C_TYPES: Final = {"float32": "float", "float64": "double"}


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
        ends = ", ".join(f"_{end}" for end in _ends())
        raise ValueError(f"{file} has no function {name!r} whose name ends in one of {ends}; {_has(file)}")

    def softmax(x: Array) -> Array:
        try:
            kernel, out = kernels[x.dtype.name]
        except KeyError:
            raise TypeError(f"{name} has no kernel for {x.dtype.name}") from None
        return _called(kernel, x, out)

    softmax.kernels = kernels  # type: ignore[attr-defined]  # functions take any
    softmax.formats = tuple(kernels)  # type: ignore[attr-defined]  # functions take any
    softmax.__doc__ = f"{name} of {file.name}, for {', '.join(kernels)}."
    return softmax


def _has(file: Path) -> str:
    """Say which functions of a library can be kernels by their names, or else which it has."""
    names = exported_functions(file)
    fitting = [name for name in names if name.rpartition("_")[2] in _ends()]
    if not names:
        return "see nm -D for those that it has"
    listed = fitting or names
    shown = ", ".join(listed[:_MOST_SHOWN]) + (", ..." if len(listed) > _MOST_SHOWN else "")
    return f"it has {shown}" if fitting else f"it has {shown}; wrap one as {signature(*_EXAMPLE)}"


def signature(symbol: str, fmt: str, out: str) -> str:
    """Return the prototype that a kernel has."""
    return f"void {symbol}(const {_c_type(fmt)} *x, {_c_type(out)} *y, size_t rows, size_t n)"


def _c_type(fmt: str) -> str:
    return _C_TYPES.get(fmt) or f"uint{_formats()[fmt].storage_bits}_t"


def try_out(function: Callable[[Array], Array]) -> None:
    """Call each kernel of a native function once, with a few rows of zeros.

    Raises:
        ValueError: it left entries of y alone, wrote beyond its end, or took rows for n; one line.
    """
    for fmt, (kernel, out) in getattr(function, "kernels", {}).items():
        if told := _misuse(kernel, np.zeros(_TRIED, dtype=_formats()[fmt].dtype), out):
            wanted = signature(kernel.__name__, fmt, out)
            rows, length = _TRIED
            raise ValueError(
                f"{kernel.__name__}, given {rows} rows of {length} zeros, {told}; it is to be {wanted}"
            )


def _misuse(kernel: Any, x: Array, out: str) -> str:
    """Say what a call shows of another signature; nothing where it shows none."""
    unwritten = np.ones(x.shape, dtype=np.bool_)
    for pattern in (_nan_byte(out), _OTHER_PATTERN):  # what is written may look like one, not like both
        own = x.copy()
        try:
            y = _called(kernel, own, out, pattern)
        except IndexError as error:
            return str(error).removeprefix("it ")
        bits = y.view(np.uint8).reshape(*x.shape, -1)
        unwritten &= (bits == pattern).all(axis=-1)
        if not unwritten.any():
            break
    if unwritten.any():
        instead = ", and wrote into x" if own.tobytes() != x.tobytes() else ""
        return f"left {int(unwritten.sum())} of {x.size} entries of y unwritten{instead}"
    rows, length = x.shape
    values = y.astype(np.float64)
    if np.allclose(values, 1 / rows, rtol=0.1) and not np.allclose(values, 1 / length, rtol=0.1):
        return "took the number of rows for the length of a row"
    return ""


def _kernels(library: ctypes.CDLL, name: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield input format, kernel and output format of all that a name stands for."""
    *_, before, last = ("", "", *name.split("_"))
    ends = _ends()
    if last in ends:
        named = {name: (ends.get(before, ends[last]), ends[last])}
    else:
        named = {f"{name}_{end}": (fmt, fmt) for end, fmt in ends.items()}
    for symbol, (fmt, out) in named.items():
        if hasattr(library, symbol):
            kernel = getattr(library, symbol)
            kernel.restype = None
            kernel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
            yield fmt, (kernel, out)


def _called(kernel: Any, x: Array, out: str, pattern: int | None = None) -> Array:
    rows = np.ascontiguousarray(x)
    dtype = _formats()[out].dtype
    size = rows.size * dtype.itemsize
    pattern = _nan_byte(out) if pattern is None else pattern
    memory = np.full(size + _GUARD_BYTES, pattern, dtype=np.uint8)
    length = rows.shape[-1]
    kernel(rows.ctypes.data, memory.ctypes.data, rows.size // length, length)
    if (memory[size:] != pattern).any():
        raise IndexError(f"it wrote beyond the end of y, {rows.size} entries of {out}")
    return np.asarray(memory[:size].view(dtype).reshape(rows.shape))


# Formats -----------------------------------------------------------------------------------


@functools.cache
def _formats() -> Any:
    return reference_file("formats").FORMATS


@functools.cache
def _ends() -> dict[str, str]:
    """Return the formats by the ends of names."""
    return {name.replace("float", "f").replace("_", ""): name for name in _formats()}


def _nan_byte(fmt: str) -> int:
    """Return the byte of which NaNs of a format consist."""
    return int(_formats()[fmt].nan_code) if _formats()[fmt].storage_bits == _BYTE else 0xFF
