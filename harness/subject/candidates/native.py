"""Kernels of C, C++, Rust and the like, called by ctypes: `path/lib.so:softmax_f32`.

A kernel has C linkage and, unless another prototype is declared for it (see `prototypes`), the signature

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .beside import reference_file
from .prototypes import Prototype, declared_beside, parsed
from .symbols import exported_functions

__all__ = ["SUFFIXES", "native_function", "own_name", "signature", "try_out"]

Array = NDArray[Any]

SUFFIXES: Final = (".so", ".dylib", ".dll")
"""What the files of native libraries end in."""

_GUARD_BYTES: Final = 4096
_OTHER_PATTERN: Final = 0x5A
_TRIED: Final = (3, 256)  # whole vectors of any machine
_GRAIN: Final = 16  # entries: a stride is the next multiple beyond the row
_MOST_SHOWN: Final = 12
_BYTE: Final = 8
_EXAMPLE: Final = ("softmax_f32", "float32", "float32")
_C_TYPES: Final = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class _Kernel:
    """A function of a library, with the formats of its logits and of its results."""

    function: Any
    prototype: Prototype
    format: str
    out: str

    def __call__(self, x: Array, pattern: int | None = None, mask: Array | None = None) -> Array:
        """Return the results for rows x; what the kernel leaves alone consists of the byte `pattern`, a NaN.

        The mask, of x's shape, is for kernels that take one; without it every entry counts.

        Raises:
            IndexError: it wrote beyond the end of y, or of the x that it overwrites.
            RuntimeError: it returned a status other than 0.
        """
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        counts = np.ones(rows.shape, dtype=np.bool_) if mask is None else mask
        counts = np.ascontiguousarray(counts).reshape(rows.shape)
        if self.prototype.returns in ("float32", "float64"):
            results = [self._call(rows[i : i + 1], 0, 0, counts[i]) for i in range(len(rows))]
            return np.array(results, dtype=_formats()[self.out].dtype).reshape(x.shape[:-1])
        pattern = _nan_byte(self.out) if pattern is None else pattern
        stride = self._stride(rows.shape[1])
        memory, y = _guarded(len(rows), stride, self.out, pattern)
        held = rows
        if self.prototype.has("both"):
            held = y
        elif stride > rows.shape[1]:
            _, held = _guarded(len(rows), stride, self.format, _nan_byte(self.format))
        if held is not rows:
            held[:, : rows.shape[1]] = rows
        self._fill(held, y, rows.shape[1], counts)
        if (memory[y.nbytes :] != pattern).any():
            where = "x" if self.prototype.has("both") else "y"
            raise IndexError(f"it wrote beyond the end of {where}, {y.size} entries of {self.out}")
        return np.ascontiguousarray(y[:, : rows.shape[1]]).reshape(x.shape)

    def _stride(self, length: int) -> int:
        return (length // _GRAIN + 1) * _GRAIN if self.prototype.has("stride") else length

    def _fill(self, x: Array, y: Array, length: int, counts: Array) -> None:
        if self.prototype.has("rows"):
            self._call(x, y.ctypes.data, length, counts)
            return
        for i in range(len(x)):
            self._call(x[i : i + 1], y[i : i + 1].ctypes.data, length, counts[i])

    def _call(self, x: Array, y: int, length: int, counts: Array) -> Any:
        values = {
            "mask": counts.ctypes.data,
            "input": x.ctypes.data,
            "output": y,
            "both": y,
            "rows": len(x),
            "length": length or x.shape[1],
            "stride": x.shape[1],
        }
        given = (p.value if p.value is not None else values[p.role] for p in self.prototype.parameters)
        returned = self.function(*given)
        if self.prototype.returns == "status" and returned:
            raise RuntimeError(f"{self.prototype.symbol} returned {returned}; 0 is taken for success")
        return returned


def native_function(file: Path, name: str, declaration: str | None = None) -> Callable[..., Array]:
    """Return the softmax of a native library; its `formats` are those that the library has.

    It takes the logits and, where its prototype has a mask, the mask; its prototype's settings are declared.

    Args:
        file: the library.
        name: a function's name, or what the names of several begin with.
        declaration: the C prototype of that function; else that of a header beside the library, or as above.

    Raises:
        ValueError: the library cannot be loaded, has no such function, or a prototype is not understood; one
            line.
    """
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise ValueError(f"loading {file} fails: {error}") from error
    kernels = {kernel.format: kernel for kernel in _kernels(library, file, name, declaration)}
    if not kernels:
        ends = ", ".join(f"_{end}" for end in _ends())
        raise ValueError(f"{file} has no function {name!r} whose name ends in one of {ends}; {_has(file)}")

    def plain(x: Array) -> Array:
        return kernel_for(x)(x)

    def masked(x: Array, mask: Array) -> Array:
        return kernel_for(x)(x, mask=mask)

    def kernel_for(x: Array) -> _Kernel:
        try:
            return kernels[x.dtype.name]
        except KeyError:
            raise TypeError(f"{name} has no kernel for {x.dtype.name}") from None

    declares = next(iter(kernels.values())).prototype.declares
    if any(kernel.prototype.declares != declares for kernel in kernels.values()):
        raise ValueError(f"{name}: its kernels take other settings in other formats; name one of them")
    softmax: Any = masked if "mask" in declares else plain
    softmax.declares, softmax.kernels, softmax.formats = declares, kernels, tuple(kernels)
    softmax.__doc__ = f"{name} of {file.name}, for {', '.join(kernels)}."
    function: Callable[..., Array] = softmax
    return function


def own_name(name: str) -> str:
    """Return a kernel's name without the ends that tell formats."""
    while (parts := name.rpartition("_"))[2] in _ends() and parts[0]:
        name = parts[0]
    return name


def _has(file: Path) -> str:
    """Say which functions of a library can be kernels by their names, or else which it has."""
    names = exported_functions(file)
    fitting = [name for name in names if name.rpartition("_")[2] in _ends()]
    if not names:
        return "see nm -D for those that it has"
    listed = fitting or names
    shown = ", ".join(listed[:_MOST_SHOWN]) + (", ..." if len(listed) > _MOST_SHOWN else "")
    declared = f"declare its prototype, as in '{file.name}:int {listed[0]}(float *x, size_t n)'"
    return f"it has {shown}" if fitting else f"it has {shown}; {declared}"


def signature(symbol: str, fmt: str, out: str) -> str:
    """Return the prototype that a kernel has where none is declared."""
    return f"void {symbol}(const {_c_type(fmt)} *x, {_c_type(out)} *y, size_t rows, size_t n)"


def _c_type(fmt: str) -> str:
    return _C_TYPES.get(fmt) or f"uint{_formats()[fmt].storage_bits}_t"


def try_out(function: Callable[[Array], Array]) -> None:
    """Call each kernel of a native function once, with a few rows of zeros.

    Raises:
        ValueError: it left results unwritten, wrote beyond their end, failed, or took rows for n; one line.
    """
    for fmt, kernel in getattr(function, "kernels", {}).items():
        if told := _misuse(kernel, np.zeros(_TRIED, dtype=_formats()[fmt].dtype)):
            rows, length = _TRIED
            raise ValueError(
                f"{kernel.prototype.symbol}, given {rows} rows of {length} zeros, {told}; it was called as"
                f" {kernel.prototype.text}; if that is not its prototype, write its own after the colon"
                " or into a header beside the library"
            )


def _misuse(kernel: _Kernel, x: Array) -> str:
    """Say what a call shows of another signature; nothing where it shows none."""
    rows, length = x.shape
    unwritten = np.ones(x.shape, dtype=np.bool_)
    for pattern in (
        _nan_byte(kernel.out),
        _OTHER_PATTERN,
    ):  # what is written may look like one, not like both
        own = x.copy()
        try:
            y = kernel(own, pattern)
        except (IndexError, RuntimeError) as error:
            return str(error).removeprefix("it ").removeprefix(f"{kernel.prototype.symbol} ")
        if y.shape != x.shape:
            return ""
        bits = y.view(np.uint8).reshape(*x.shape, -1)
        unwritten &= (bits == pattern).all(axis=-1)
        if not unwritten.any():
            break
    if unwritten.any():
        instead = ", and wrote into x" if own.tobytes() != x.tobytes() else ""
        return f"left {int(unwritten.sum())} of {x.size} entries of y unwritten{instead}"
    values = y.astype(np.float64)
    if np.allclose(values, 1 / rows, rtol=0.1) and not np.allclose(values, 1 / length, rtol=0.1):
        return "took the number of rows for the length of a row"
    return ""


def _kernels(library: ctypes.CDLL, file: Path, name: str, declaration: str | None) -> Iterator[_Kernel]:
    """Yield the kernels that a name stands for, with their prototypes.

    Raises:
        ValueError: a prototype is not understood, or the format of a kernel cannot be told.
    """
    declared = declared_beside(file) if declaration is None else {name: parsed(declaration)}
    ends = _ends()
    is_one = name in declared or name.rpartition("_")[2] in ends
    for symbol in [name] if is_one else [f"{name}_{end}" for end in ends]:
        prototype = declared.get(symbol)
        if isinstance(prototype, ValueError):
            raise prototype
        if not hasattr(library, symbol):
            continue
        fmt, out = _formats_of(symbol, prototype)
        function = getattr(library, symbol)
        own = prototype or parsed(signature(symbol, fmt, out))
        function.restype, function.argtypes = own.result_type, own.argument_types
        yield _Kernel(function, own, fmt, out)


def _formats_of(symbol: str, prototype: Prototype | None) -> tuple[str, str]:
    """Return the formats of logits and results, which the types or the ends of the name tell."""
    *_, before, last = ("", "", *symbol.split("_"))
    ends = _ends()
    by_name = (ends.get(before, ends[last]), ends[last]) if last in ends else (None, None)
    by_type = (None, None) if prototype is None else (prototype.format, prototype.out_format)
    told = tuple(t or n for t, n in zip(by_type, by_name, strict=True))
    if any(t and n and t != n for t, n in zip(by_type, by_name, strict=True)):
        raise ValueError(
            f"{prototype and prototype.text}: its name tells {by_name[0]}, and its types {told[0]}"
        )
    fmt, out = told
    if fmt is None or out is None:
        raise ValueError(
            f"{prototype and prototype.text}: its types tell no format; write _Float16 or __bf16, or end its"
            " name in _f16, _bf16 or another format"
        )
    return fmt, out


def _guarded(rows: int, stride: int, fmt: str, pattern: int) -> tuple[Array, Array]:
    """Return memory of one byte throughout, and rows at its start; behind them lies a guard."""
    dtype = _formats()[fmt].dtype
    size = rows * stride * dtype.itemsize
    memory = np.full(size + _GUARD_BYTES, pattern, dtype=np.uint8)
    return memory, memory[:size].view(dtype).reshape(rows, stride)


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
