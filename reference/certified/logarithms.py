"""log_softmax and logsumexp by the certified path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reference import logarithms
from reference.formats import FloatFormat
from reference.model import Truth

__all__ = ["truth_of_log_softmax", "truth_of_logsumexp"]


def truth_of_log_softmax(x: NDArray[np.float64], fmt: FloatFormat, jobs: int = 1) -> Truth:  # noqa: ARG001
    """Return what `reference.logarithms.truth_of_log_softmax` does."""
    truth = logarithms.truth_of_log_softmax(x, fmt)
    return replace(truth, fallbacks=truth.nearest.size)


def truth_of_logsumexp(x: NDArray[np.float64], fmt: FloatFormat, jobs: int = 1) -> Truth:  # noqa: ARG001
    """Return what `reference.logarithms.truth_of_logsumexp` does."""
    truth = logarithms.truth_of_logsumexp(x, fmt)
    return replace(truth, fallbacks=truth.nearest.size)
