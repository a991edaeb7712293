"""Rows that are given rather than drawn: recorded logits, known bugs, a user's own file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.source import F64

__all__ = ["FixedRows", "fixed_rows"]

Array = NDArray[Any]


@dataclass(frozen=True)
class FixedRows:
    """Rows of one length in a format, and what to call each.

    Attributes:
        length: entries in a row.
        rows: (k, length), of the format's dtype.
        labels: k of them.
    """

    length: int
    rows: Array
    labels: tuple[str, ...]


def fixed_rows(fmt: FloatFormat, values: F64, labels: Sequence[str]) -> tuple[FixedRows, ...]:
    """Round rows (k, length) to nearest into the format and leave out those it cannot hold.

    A row is left out where a finite value would become infinite or NaN, or an infinity NaN.
    The result has one `FixedRows`, or none where no row is left.
    """
    rows = fmt.from_float64(values)
    rounded = fmt.to_float64(rows)
    kept = np.isfinite(rounded) == np.isfinite(values)
    kept &= np.isnan(rounded) == np.isnan(values)
    held = np.flatnonzero(kept.all(axis=1)).tolist()
    if not held:
        return ()
    return (FixedRows(values.shape[1], rows[held], tuple(labels[i] for i in held)),)
