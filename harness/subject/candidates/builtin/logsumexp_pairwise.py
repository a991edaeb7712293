"""logaddexp of pairs, and of pairs of pairs: each addition rounds a logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from reference.ops import LOGSUMEXP

__all__ = ["CANDIDATE"]


def logsumexp_pairwise(x: NDArray[Any]) -> NDArray[Any]:
    """Return the logsumexp of each row of x."""
    while x.shape[1] > 1:
        pairs = np.logaddexp(x[:, : x.shape[1] // 2 * 2 : 2], x[:, 1::2])
        x = np.concatenate([pairs, x[:, -1:]], axis=1) if x.shape[1] % 2 else pairs
    return x[:, 0].copy()


CANDIDATE = logarithm(logsumexp_pairwise, "logaddexp of pairs, pairs of pairs, ...", LOGSUMEXP, "shifted")
