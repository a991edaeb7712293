"""Messages between a process and its copy, whose arrays go through memory that both share.

A pipe holds 64 KiB, so an array of a megabyte would take the two processes in turn for every piece of it.
Arrays with gaps between their elements take the pipe.
"""

from __future__ import annotations

import io
import mmap
import pickle
from collections.abc import Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final, Self

import numpy as np

__all__ = ["Line"]

ROOM: Final = 8 << 20
"""Bytes that both share: the rows of nearly every call, or its outputs. A larger message takes the pipe."""

_ALIGNMENT: Final = 64
"""Bytes that the places of arrays are multiples of; kernels take no array whose elements lie askew."""

_REGISTERED: Final = 2
"""The value of `numpy.dtype.isbuiltin` of a type that another library registered."""


class Line:
    """One end of a line; its process and the other send in turn.

    Args:
        connection: carries the messages without their arrays.
        memory: shared with the other end.
    """

    def __init__(self, connection: Connection, memory: mmap.mmap) -> None:
        self._connection = connection
        self._memory = memory

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return both ends; make them before the process is copied."""
        memory = mmap.mmap(-1, ROOM)
        ours, theirs = Pipe()
        return cls(ours, memory), cls(theirs, memory)

    def send(self, message: Any, *, lent: bool = False) -> None:
        """Send a message.

        Args:
            message: what to send.
            lent: whether the other end may read its arrays only, and only until it sends: it makes no copy.

        Raises:
            OSError: the other process is gone.
        """
        arrays: list[pickle.PickleBuffer] = []
        pickled = _pickled(message, arrays)
        raw = [array.raw() for array in arrays]
        if sum(_room(part.nbytes) for part in raw) > ROOM:
            raw, pickled = [], pickle.dumps(message, protocol=5)
        sizes = [part.nbytes for part in raw]
        for part, place in zip(raw, _places(sizes), strict=True):
            self._memory[place] = part
        self._connection.send((sizes, lent, pickled))

    def receive(self) -> Any:
        """Return the next message.

        Arrays that are not lent are its own, and may be written to where the sender's might.

        Raises:
            EOFError, OSError: the other process is gone.
        """
        sizes, lent, pickled = self._connection.recv()
        memory = memoryview(self._memory)
        parts = [memory[place] for place in _places(sizes)]
        buffers = [part.toreadonly() if lent else bytearray(part) for part in parts]
        return pickle.loads(pickled, buffers=buffers)  # noqa: S301  our own

    def fileno(self) -> int:
        """Return the descriptor of this end."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this end."""
        self._connection.close()


def _places(sizes: Iterable[int]) -> list[slice]:
    """Return where in the memory buffers of these sizes lie, one after the other."""
    places, start = [], 0
    for size in sizes:
        places.append(slice(start, start + size))
        start += _room(size)
    return places


def _room(size: int) -> int:
    """Return how many bytes a buffer takes with the gap after it."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class _Pickler(pickle.Pickler):
    """Passes arrays of ml_dtypes as those of their encodings: NumPy keeps only its own types apart."""

    def reducer_override(self, value: Any) -> Any:
        """See `pickle.Pickler`."""
        if type(value) is not np.ndarray or value.dtype.isbuiltin != _REGISTERED:
            return NotImplemented
        if not value.flags.c_contiguous or not value.ndim:
            return NotImplemented
        return np.ndarray.view, (value.view(f"u{value.itemsize}"), value.dtype)


def _pickled(message: Any, arrays: list[pickle.PickleBuffer]) -> bytes:
    """Pickle a message without its arrays, which are added to a list."""
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=arrays.append).dump(message)
    return file.getvalue()
