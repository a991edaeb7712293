"""max + log(sum(exp(x - max))): the form that libraries use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from reference.ops import LOGSUMEXP

__all__ = ["CANDIDATE", "finite_largest", "logsumexp_shifted"]


def logsumexp_shifted(x: NDArray[Any]) -> NDArray[Any]:
    """Return the logsumexp of each row of x."""
    largest = finite_largest(x)
    return np.asarray(largest + np.log(np.exp(x - largest[:, None]).sum(axis=-1)))


def finite_largest(x: NDArray[Any]) -> NDArray[Any]:
    """Return the largest entry of each row; 0 where that is no finite number, so that x - largest is x."""
    largest = x.max(axis=-1)
    return np.asarray(np.where(np.isfinite(largest), largest, np.zeros_like(largest)))


CANDIDATE = logarithm(logsumexp_shifted, "max + log(sum(exp(x - max)))", LOGSUMEXP, "shifted")
