"""log(sum(exp(x))): overflows where x is large, and gives -inf where every exponential vanishes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from reference.ops import LOGSUMEXP

__all__ = ["CANDIDATE"]


def logsumexp_naive(x: NDArray[Any]) -> NDArray[Any]:
    """Return the logsumexp of each row of x."""
    return np.asarray(np.log(np.exp(x).sum(axis=-1)))


CANDIDATE = logarithm(logsumexp_naive, "log(sum(exp(x)))", LOGSUMEXP, "plain")
