"""exp(x - max) / sum(exp(x - max)): the form that libraries use.

The shift keeps exp within [0, 1] and the sum within [1, n]; x - max is rounded, and exp turns that
into a relative error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, per_format
from reference.declaration import Declaration

__all__ = ["CANDIDATE", "max_shifted"]

NAME = "max_shifted"
DECLARATION = Declaration(argument="shifted")


def max_shifted(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


CANDIDATE = built_in(
    NAME,
    max_shifted,
    "exp(x - max) / sum(exp(x - max))",
    DECLARATION,
    per_format(lambda fmt: arrays(NAME, fmt, DECLARATION)),
)
