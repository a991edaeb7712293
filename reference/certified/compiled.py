"""How the kernels are compiled, and the error-free transformations they share.

Every kernel is IEEE-exact: no fastmath flag is set, so LLVM neither reorders nor contracts
an operation, and the results are the same bits on every CPU. The one fused operation is
`fma`, asked for by name: LLVM's `llvm.fma` rounds once everywhere, by an instruction or by
the C library.

Below, u = 2^-53 and fl(.) is a binary64 operation rounded to nearest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import EnumType
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

__all__ = [
    "FRACTION_BITS",
    "compiled",
    "fast_two_sum",
    "float_of",
    "fma",
    "inlined",
    "leading_zeros",
    "multiply_high",
    "pattern",
    "two_sum",
]

Function = TypeVar("Function", bound=Callable[..., Any])

FRACTION_BITS: Final = 52
"""Where the exponent starts in a binary64 encoding."""


def _sources() -> bytes:
    """Digest the source of this package, whose blocks stand in kernels everywhere."""
    sources = [source for source in files("reference.certified").iterdir() if source.name.endswith(".py")]
    digest = hashlib.sha256()
    for source in sorted(sources, key=lambda source: source.name):
        digest.update(source.read_bytes())
    return digest.digest()


_SOURCES: Final = _sources()


def _fingerprint(function: Callable[..., Any]) -> str:
    """Digest what a kernel or block may hold: its file, and what that takes of others.

    Constants count by value, blocks by their own fingerprints. Both are globals of the module, which imports
    them before it defines the function.
    """
    digest = hashlib.sha256(_SOURCES + _source(function.__code__.co_filename))
    for name, value in sorted(function.__globals__.items()):
        if not name.startswith("__") and (held := _held(value)):
            digest.update(f"{name}={held}\n".encode())
    return digest.hexdigest()[:12]


@cache
def _source(path: str) -> bytes:
    return Path(path).read_bytes() if Path(path).is_file() else b""


def _held(value: Any) -> str:
    """Return what numba compiles into a kernel for a global; empty if it compiles nothing in."""
    if isinstance(value, Dispatcher):
        return str(value.py_func.__qualname__)
    if isinstance(value, tuple):
        return f"({', '.join(map(_held, value))})"
    if isinstance(value, EnumType):
        members: list[Any] = list(value)
        return repr([(member.name, member.value) for member in members])
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    return repr(value) if isinstance(value, (int, float, str, np.generic)) else ""


def compiled(function: Function) -> Function:
    """Compile a kernel: cached on disk, free of the GIL, with IEEE division.

    numba notices only changes of the file that a kernel stands in, though code and
    constants of others are compiled into it. So its name, by which numba finds it in the
    cache, carries the fingerprint of them all.
    """
    function.__qualname__ += f"_{_fingerprint(function)}"
    kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast("Function", kernel)


def inlined(function: Function) -> Function:
    """Compile a building block of the kernels, inlined wherever it is called."""
    function.__qualname__ += f"_{_fingerprint(function)}"
    block: Any = numba.njit(error_model="numpy", forceinline=True)(function)
    return cast("Function", block)


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that emits LLVM code be called from kernels, without its typing context."""
    block: Callable[..., Any] = intrinsic(function)
    return block


@_intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    """Return a * b + c, rounded once."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), emit


@_intrinsic
def pattern(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """Return the encoding of a float64 as an int64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), emit


@_intrinsic
def float_of(typingctx: Any, encoding: Any) -> Any:  # noqa: ARG001
    """Return the float64 of an int64 encoding."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), emit


@_intrinsic
def multiply_high(typingctx: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """Return the upper 64 bits of the product of two uint64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        word = args[0].type
        double = type(word)(128)
        product = builder.mul(builder.zext(args[0], double), builder.zext(args[1], double))
        return builder.trunc(builder.lshr(product, double(64)), word)

    return types.uint64(types.uint64, types.uint64), emit


@_intrinsic
def leading_zeros(typingctx: Any, a: Any) -> Any:  # noqa: ARG001
    """Return how many of the 64 bits of a uint64 come before its first one; 64 of 0."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.ctlz(args[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), emit


@inlined
def two_sum(a: float, b: float) -> tuple[float, float]:
    """Return (s, e), s = fl(a + b) and s + e = a + b exactly (Knuth, TAOCP 2, 4.2.2, theorem B)."""
    s = a + b
    virtual = s - a
    return s, (a - (s - virtual)) + (b - virtual)


@inlined
def fast_two_sum(a: float, b: float) -> tuple[float, float]:
    """Return (s, e) as `two_sum` does, for |a| >= |b| or a = 0 (Dekker, 1971, theorem 4.7)."""
    s = a + b
    return s, (a - s) + b
