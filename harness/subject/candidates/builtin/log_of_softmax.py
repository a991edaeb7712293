"""log(softmax(x)): the form that loses what the softmax loses.

Where a share underflows it gives -inf. Next to 1 the rounding of a share is the error of a logarithm near 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from harness.subject.candidates.builtin.max_shifted import max_shifted
from reference.ops import LOG_SOFTMAX

__all__ = ["CANDIDATE"]


def log_of_softmax(x: NDArray[Any]) -> NDArray[Any]:
    """Return the log_softmax of each row of x."""
    return np.asarray(np.log(max_shifted(x)))


CANDIDATE = logarithm(log_of_softmax, "log(softmax(x))", LOG_SOFTMAX, "shifted")
