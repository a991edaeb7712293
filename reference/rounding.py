"""Rounding to nearest, with subnormals, for as long as figures are made.

Whatever else runs in a user's process may have left the processor in another mode: a library built with
-ffast-math, `torch.set_flush_denormal(True)`, `fesetround`. Every proof of this room assumes IEEE 754's
default. In another mode subnormal truths come out as 0, and figures wrong without a word.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["is_to_nearest", "to_nearest"]

_ENVIRONMENT_BYTES = 256  # fenv_t is 8 to 32 bytes on the platforms that NumPy supports
_ONE, _HALF_ULP, _QUARTER_ULP = 1.0, 2.0**-53, 2.0**-54
_LEAST_NORMAL, _HALF = 2.0**-1022, 0.5


def is_to_nearest() -> bool:
    """Tell whether this thread rounds to nearest, ties to even, and neither flushes subnormals nor reads 0.

    1 + 2^-53 is a tie that goes to 1, and only rounding upwards gives more; 1 - 2^-54 is one too, and only
    rounding downwards or to zero gives less. Half the least normal number is 0 where results are flushed,
    and doubled again where operands are.
    """
    halved = _LEAST_NORMAL * _HALF
    return _ONE + _HALF_ULP == _ONE - _QUARTER_ULP == _ONE and halved + halved == _LEAST_NORMAL


@contextmanager
def to_nearest() -> Iterator[None]:
    """Have this thread, and those that it starts, compute in the default mode; give back the one before.

    Raises:
        RuntimeError: the mode is another and cannot be changed here.
    """
    if is_to_nearest():
        yield
        return
    before = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    if _LIBM is not None:
        _LIBM.fegetenv(before)
        _LIBM.fesetenv(_default(_LIBM))
    if not is_to_nearest():
        raise RuntimeError(
            "this process rounds in another mode than to nearest, or flushes subnormals, and figures would be"
            " wrong; take that back first (torch.set_flush_denormal(False), a library built with -ffast-math)"
        )
    try:
        yield
    finally:
        if _LIBM is not None:
            _LIBM.fesetenv(before)


def _default(library: ctypes.CDLL) -> ctypes.c_void_p:
    """Return FE_DFL_ENV: the address of a constant in Apple's library, -1 in glibc and musl."""
    with contextlib.suppress(ValueError):
        return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(library, "_FE_DFL_ENV")))
    return ctypes.c_void_p(-1)


def _math_library() -> ctypes.CDLL | None:
    for name in (None, "libm.so.6", "libm.dylib"):
        with contextlib.suppress(OSError, AttributeError, TypeError):
            library = ctypes.CDLL(name)
            library.fegetenv.argtypes = library.fesetenv.argtypes = [ctypes.c_void_p]
            return library
    return None


_LIBM = _math_library()
