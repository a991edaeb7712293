"""Rows and outputs in memory that the harness and one worker share.

An unlinked file in memory (memfd on Linux, sealed so that a worker cannot shrink it under
the harness's feet; a deleted temporary file elsewhere). Its first page shows the progress:
which part is being called, and since when. The rows follow, then the outputs. The rows are a copy
for the worker: the harness reads them back only to see whether they were changed.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.calls import changed_rows
from harness.subject.execution.wire import HEADER_BYTES, PART_AT, STARTED_AT

__all__ = ["SharedRows"]

Array = NDArray[Any]

FIRST_BYTES: Final = 1 << 20
KEPT_BYTES: Final = 32 << 20
"""Memory beyond so many bytes goes back to the system after the call that needed it."""


class SharedRows:
    """A growing block of shared memory."""

    def __init__(self) -> None:
        self.descriptor = _unlinked_file()
        self._size = self._allocated = 0
        self._grow(FIRST_BYTES)

    def place(self, x: Array, out_dtype: np.dtype[Any]) -> tuple[int, int]:
        """Copy rows in; return where the outputs go and how many bytes are in use."""
        outputs_at = _whole_pages(HEADER_BYTES + x.nbytes)
        size = outputs_at + _whole_pages(x.size * out_dtype.itemsize)
        if size > self._size:
            self._grow(size)
        elif size > self._allocated:
            self._allocate(size)
        self._array(x.shape, x.dtype, HEADER_BYTES)[...] = x
        return outputs_at, size

    def release(self) -> None:
        """Return the memory that only a large call needs to the system, with its contents."""
        if self._allocated > KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_REMOVE, KEPT_BYTES, self._allocated - KEPT_BYTES)
                self._allocated = KEPT_BYTES

    def outputs(self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> Array:
        """Return a copy of the outputs, which the worker cannot change."""
        return self._array(shape, dtype, offset).copy()

    def differs(self, x: Array) -> NDArray[np.bool_]:
        """Return which rows differ from those of x, bit for bit."""
        return changed_rows(self._array(x.shape, x.dtype, HEADER_BYTES), x)

    def reset(self, now: float) -> None:
        """Set the progress to the first part, starting now."""
        self._part[0], self._started[0] = 0, now

    def current_part(self, parts: int) -> int:
        """Return the part being called; the first where the number is impossible."""
        part = int(self._part[0])
        return part if 0 <= part < parts else 0

    def started(self, earliest: float) -> float:
        """Return when the current part began; the earliest where the time is impossible."""
        since = float(self._started[0])
        return since if earliest <= since <= time.monotonic() else earliest

    def close(self) -> None:
        """Free the memory once no array uses it."""
        os.close(self.descriptor)
        del self._memory, self._part, self._started

    def _array(self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> Array:
        return np.frombuffer(self._memory, dtype, math.prod(shape), offset).reshape(shape)

    def _grow(self, size: int) -> None:
        size = _whole_pages(max(size, min(2 * self._size, KEPT_BYTES)))
        self._allocate(size)
        self._size = size
        self._memory = mmap.mmap(self.descriptor, size)
        self._part = np.frombuffer(self._memory, np.int64, 1, PART_AT)
        self._started = np.frombuffer(self._memory, np.float64, 1, STARTED_AT)

    def _allocate(self, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.descriptor, 0, size)  # a full memory is an error here, no SIGBUS later
        else:
            os.ftruncate(self.descriptor, size)
        self._allocated = size


def _unlinked_file() -> int:
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    import fcntl

    descriptor = os.memfd_create("softmax-harness-rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


def _whole_pages(count: int) -> int:
    return -(-count // mmap.PAGESIZE) * mmap.PAGESIZE
