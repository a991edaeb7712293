"""Floating-point modes other than the default, as other libraries leave them behind."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["flushing", "mode_flushes", "rounding"]

FLUSH = 0x8040
"""FTZ and DAZ in x86's control word, which is at byte 28 of glibc's fenv_t."""

DIRECTIONS = {"down": 0x400, "up": 0x800, "to zero": 0xC00}
"""What x86's fesetround takes."""


@contextmanager
def flushing() -> Iterator[None]:
    """Flush subnormal results and operands to zero in this thread."""
    libm, before = ctypes.CDLL("libm.so.6"), ctypes.create_string_buffer(64)
    libm.fegetenv(before)
    changed = ctypes.create_string_buffer(before.raw, 64)
    word = int.from_bytes(before.raw[28:32], "little") | FLUSH
    changed[28:32] = word.to_bytes(4, "little")
    libm.fesetenv(changed)
    try:
        yield
    finally:
        libm.fesetenv(before)


@contextmanager
def rounding(direction: str) -> Iterator[None]:
    """Round in another direction in this thread."""
    libm = ctypes.CDLL("libm.so.6")
    libm.fesetround(DIRECTIONS[direction])
    try:
        yield
    finally:
        libm.fesetround(0)


def mode_flushes() -> bool:
    """Tell whether half the least normal number is zero."""
    least, half = 2.0**-1022, 0.5
    return least * half == 0
