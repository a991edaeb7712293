"""(x - max) - log1p(the sum without the maximum's own term): accurate at a dominating entry too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from harness.subject.candidates.builtin.logsumexp_log1p import sum_of_others
from reference.ops import LOG_SOFTMAX

__all__ = ["CANDIDATE"]


def log_softmax_log1p(x: NDArray[Any]) -> NDArray[Any]:
    """Return the log_softmax of each row of x."""
    gap = x - x.max(axis=-1, keepdims=True)
    return np.asarray(gap - np.log1p(sum_of_others(x, gap))[:, None])


CANDIDATE = logarithm(
    log_softmax_log1p, "(x - max) - log1p(sum of the others)", LOG_SOFTMAX, "shifted", "pos_inf=any"
)
