"""x - logsumexp(x): the rounding of logsumexp stays, and grows with a common offset of the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from harness.subject.candidates.builtin.logsumexp_shifted import logsumexp_shifted
from reference.ops import LOG_SOFTMAX

__all__ = ["CANDIDATE"]


def x_minus_logsumexp(x: NDArray[Any]) -> NDArray[Any]:
    """Return the log_softmax of each row of x."""
    return np.asarray(x - logsumexp_shifted(x)[:, None])


CANDIDATE = logarithm(x_minus_logsumexp, "x - logsumexp(x)", LOG_SOFTMAX, "shifted", "pos_inf=nan_at_inf")
