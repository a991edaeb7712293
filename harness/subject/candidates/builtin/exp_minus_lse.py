"""exp(x - lse) with lse = max + log(sum(exp(x - max))): the form without a division.

Blanchard, Higham and Higham (IMA J. Numer. Anal. 2021) find it the less accurate one: the
rounding errors of lse and of x - lse grow with a common offset of the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, per_format
from reference.declaration import Declaration

__all__ = ["CANDIDATE"]

NAME = "exp_minus_lse"
DECLARATION = Declaration(argument="shifted")


def exp_minus_lse(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    largest = x.max(axis=-1, keepdims=True)
    lse = largest + np.log(np.exp(x - largest).sum(axis=-1, keepdims=True))
    return np.asarray(np.exp(x - lse))


CANDIDATE = built_in(
    NAME,
    exp_minus_lse,
    "exp(x - lse), lse = max + log(sum(exp(x - max)))",
    DECLARATION,
    per_format(lambda fmt: arrays(NAME, fmt, DECLARATION, division="none")),
)
