"""The plain form and the form shifted by the maximum, as the claims examine them on a batch."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.claims.evidence import Batch

__all__ = ["PLAIN", "SHIFTED", "in_range", "plain_error", "shifted_error"]

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

PLAIN: Final = "naive"
SHIFTED: Final = "max_shifted"


def plain_error(batch: Batch) -> Floats:
    """Return the greatest ULP error of each row of the plain form."""
    return batch.seen[PLAIN].error


def shifted_error(batch: Batch) -> Floats:
    """Return the greatest ULP error of each row of the shifted form."""
    return batch.seen[SHIFTED].error


def in_range(batch: Batch) -> Flags:
    """Return the rows in which every exp(x) is normal and their sum finite."""
    return batch.in_range
