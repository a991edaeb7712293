"""exp(x) / sum(exp(x)), as the definition is written.

It overflows where exp(x), or their sum, leaves the range, and underflows where all of them do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, per_format
from reference.declaration import Declaration, Policy

__all__ = ["CANDIDATE"]

NAME = "naive"
DECLARATION = Declaration(argument="plain", policy=Policy(pos_inf="nan_at_inf"))


def naive(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    e = np.exp(x)
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


CANDIDATE = built_in(
    NAME,
    naive,
    "exp(x) / sum(exp(x))",
    DECLARATION,
    per_format(lambda fmt: arrays(NAME, fmt, DECLARATION)),
)
