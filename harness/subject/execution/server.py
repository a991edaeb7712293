"""The worker's side of the connection: load the candidate, call it on parts, answer.

The candidate is given the rows in shared memory, which are the worker's own copy.
This module runs under a private name, so it imports its neighbours relatively, and of others NumPy alone.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import calls, wire

__all__ = ["serve"]


Loader = Callable[[str], calls.Loaded]
Describer = Callable[[str], dict[str, Any]]
Sources = Callable[[str], dict[str, dict[str, str]]]


def serve(
    control: int, memory: int, max_memory: int, load: Loader, describe: Describer, sources: Sources
) -> NoReturn:
    """Answer requests until the connection is gone, then exit.

    Args:
        control: descriptor of the connection.
        memory: descriptor of the shared memory.
        max_memory: bytes of address space that the candidate may take; 0 for no limit.
        load: returns the function to call, by its specification.
        describe: returns what a user's candidate declares, by its specification.
        sources: returns the files of a candidate that are loaded here, by its specification.
    """
    calls.keep_freed_memory()
    if max_memory:
        _limit_memory(max_memory)
    connection = socket.socket(fileno=control)
    server = _Server(connection, memory, load, describe, sources)
    try:
        while True:
            request = _receive(connection)
            answer = {**server.answer(request), "token": request["token"]}
            connection.sendall(wire.frame(answer))
    except (EOFError, OSError):  # the harness went away, or the candidate closed what is not its own
        os._exit(wire.DISCONNECTED)


def _receive(connection: socket.socket) -> dict[str, Any]:
    header = connection.recv(wire.LENGTH_BYTES, socket.MSG_WAITALL)
    length = int.from_bytes(header, "big")
    data = connection.recv(length, socket.MSG_WAITALL) if length else b""
    if not data or len(data) < length:
        raise EOFError
    request: dict[str, Any] = json.loads(data)
    return request


def _limit_memory(more: int) -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class _Clock:
    """The time of this thread, less the time in which it waited for a processor (Linux; elsewhere all of it).

    So the speed of a candidate does not depend on what else the machine does.
    """

    def __init__(self) -> None:
        try:
            self._waits: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._waits = None

    def seconds(self) -> float:
        """Return the time now, from an arbitrary start."""
        return time.perf_counter() - self._waited()

    def _waited(self) -> float:
        if self._waits is None:
            return 0.0
        try:
            return int(os.pread(self._waits, 128, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # the candidate closed it, or it is another's by now
            return 0.0


class _Server:
    def __init__(
        self, connection: socket.socket, memory: int, load: Loader, describe: Describer, sources: Sources
    ) -> None:
        self._connection = connection
        self._process = os.getpid()
        self._descriptor = memory
        self._memory = mmap.mmap(memory, wire.HEADER_BYTES)
        self._part = self._array((1,), np.dtype(np.int64), wire.PART_AT)
        self._started = self._array((1,), np.dtype(np.float64), wire.STARTED_AT)
        self._load = load
        self._describer = describe
        self._sources = sources
        self._spec = ""
        self._modules = 0
        self._candidate: calls.Loaded | None = None
        self._clock = _Clock()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request and return the answer."""
        if "describe" in request:
            return self._describe(request["describe"])
        if "load" in request:
            self._spec = request["load"]
            failure = self._import(self._spec)
            return {"failure": failure, "processor_seconds": time.process_time(), **self._new_sources()}
        start = self._clock.seconds()
        answer = self._call(request)
        return {**answer, "seconds": self._clock.seconds() - start, **self._new_sources()}

    def _new_sources(self) -> dict[str, Any]:
        """Return the sources of the candidate where more modules are loaded than at the last report."""
        count = len(sys.modules)
        if count == self._modules:
            return {}
        self._modules = count
        try:
            return {"sources": self._sources(self._spec)}
        except Exception:  # noqa: BLE001 - it may have put anything among the modules, or moved its file away
            return {}

    def _describe(self, spec: str) -> dict[str, Any]:
        try:
            return self._describer(spec)
        finally:
            self._check_itself()

    def _import(self, spec: str) -> tuple[str, str] | None:
        """Load the candidate; return kind and message if that fails."""
        try:
            self._candidate = self._load(spec)
        except BaseException as error:  # noqa: BLE001 - whatever an import does is a finding
            memory = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
            self._check_itself()
            message = str(error) if isinstance(error, ValueError) else calls.describe(error)
            return ("out_of_memory" if memory else "raised", message)
        self._check_itself()
        return None

    def _check_itself(self) -> None:
        """Exit in a fork that the candidate made and returned from.

        Raises:
            OSError: the candidate closed the connection; raised at once, so that the fault is of this part.
        """
        if os.getpid() != self._process:
            os._exit(0)
        os.fstat(self._connection.fileno())

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call the candidate on each part in turn, up to the first that fails."""
        assert self._candidate is not None
        self._map(request["bytes"])
        shape, parts = tuple(request["shape"]), request["parts"]
        x = self._array(shape, calls.dtype_named(request["dtype"]), wire.HEADER_BYTES)
        reduces = request["reduces"]
        results = calls.outputs_shape(shape, reduces=reduces)
        y = self._array(results, calls.dtype_named(request["out_dtype"]), request["outputs_at"])
        for number, (low, high) in enumerate(parts):
            self._begin(number)
            candidate = calls.Watched(self._candidate, partial(self._begin, number))
            try:
                outputs = calls.call(
                    candidate, x[low:high], y.dtype, request["presentation"], reduces=reduces
                )
                self._check_itself()
                y[low:high] = outputs
            except calls.CallFailed as failed:
                self._check_itself()
                return {"passed": number, "failure": (failed.kind, failed.message)}
        return {"passed": len(parts), "failure": None}

    def _map(self, size: int) -> None:
        if len(self._memory) < size:
            self._memory = mmap.mmap(self._descriptor, size)

    def _begin(self, part: int) -> None:
        self._part[0] = part
        self._started[0] = time.monotonic()

    def _array(self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> calls.Array:
        return np.frombuffer(self._memory, dtype, math.prod(shape), offset).reshape(shape)
