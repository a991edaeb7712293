"""(x - max) - log(sum(exp(x - max))): the form that libraries use.

At a dominating entry the sum rounds to 1 and the result to 0, where it is about -exp(second - max).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from reference.ops import LOG_SOFTMAX

__all__ = ["CANDIDATE"]


def log_softmax_shifted(x: NDArray[Any]) -> NDArray[Any]:
    """Return the log_softmax of each row of x."""
    gap = x - x.max(axis=-1, keepdims=True)
    return np.asarray(gap - np.log(np.exp(gap).sum(axis=-1, keepdims=True)))


CANDIDATE = logarithm(log_softmax_shifted, "(x - max) - log(sum(exp(x - max)))", LOG_SOFTMAX, "shifted")
