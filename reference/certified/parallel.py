"""Rows dealt to threads.

The kernels run without the GIL, and what comes out for a row depends on that row alone, so the results
are the same bits for any number of threads.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any, Final, TypeVar

__all__ = ["deal_rows"]

Result = TypeVar("Result")

_PIECES_PER_THREAD: Final = 2
_LEAST_ELEMENTS: Final = 1 << 16
"""What a piece must hold to be worth a call."""


def deal_rows(work: Callable[[slice], Result], rows: int, n: int, jobs: int) -> list[Result]:
    """Call `work` on slices that cover all the rows, on `jobs` threads, and return what it returns.

    This thread is one of them: it works while the others wake.

    Raises:
        ValueError: jobs < 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs {jobs}: at least 1 thread must do the work")
    pieces = _pieces(rows, n, jobs)
    if len(pieces) == 1:
        return [work(pieces[0])]
    results: list[Any] = [None] * len(pieces)
    turns = itertools.count()

    def take_turns() -> None:
        while (turn := next(turns)) < len(pieces):
            results[turn] = work(pieces[turn])

    others = [_pool(jobs - 1, os.getpid()).submit(take_turns) for _ in range(jobs - 1)]
    try:
        take_turns()
    finally:
        wait(others)
    for other in others:
        other.result()
    return results


@lru_cache(maxsize=8)
def _pool(jobs: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001  (threads do not survive a fork)
    """Return the threads of this process: starting them anew would cost more than a small call."""
    return ThreadPoolExecutor(jobs, thread_name_prefix="certified")


def _pieces(rows: int, n: int, jobs: int) -> list[slice]:
    if jobs == 1:
        return [slice(0, rows)]
    size = max(1, _LEAST_ELEMENTS // n, -(-rows // (_PIECES_PER_THREAD * jobs)))
    return [slice(start, start + size) for start in range(0, rows, size)] or [slice(0, rows)]
