"""Compiling the kernels before they are needed.

numba compiles a kernel at its first call and keeps it in its on-disk cache, from which
later processes load it. A kernel has one signature, whatever the format.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer
from typing import Final

import numpy as np

from reference.certified.evaluation import evaluate
from reference.certified.layout import SHORT
from reference.certified.tiers import truth_certified
from reference.certified.verdict import judge_certified
from reference.formats import FORMATS

__all__ = ["prepare"]

_LOADING_SECONDS: Final = 1.5
"""Loading takes less; compiling more."""


def prepare(announce: Callable[[], None] = lambda: None) -> None:
    """Load or compile every kernel; call `announce`, from another thread, if it takes compiling."""
    timer = Timer(_LOADING_SECONDS, announce)
    timer.start()
    try:
        for fmt in (FORMATS["float32"], FORMATS["float64"]):
            for x in _rows_for_every_kernel():
                y = np.zeros(x.shape)
                judge_certified(y, truth_certified(x, fmt))
                evaluate(x, y, fmt)
    finally:
        timer.cancel()


def _rows_for_every_kernel() -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], ...]:
    """A short row, a long one, a tie and a near tie."""
    return np.zeros((1, 2)), np.zeros((1, SHORT)), np.array([[0.0, -1e-30]])
