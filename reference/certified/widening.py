"""Outputs of any format to float64, inside the kernels: a copy of the whole would cost as much as judging.

All formats are handed over in one type, so that kernels have one signature: an array for
each width, of which one is used. What an encoding stands for is looked up in the format's own table.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled, inlined
from reference.formats import FloatFormat

__all__ = ["Encoded", "encoded", "rows_of", "widened"]

_DOUBLE: Final = 64
_SINGLE: Final = 32
_HALF: Final = 16
_QUARTER: Final = 8

_NO_VALUES: Final = np.empty(0)
_NO_VALUES.flags.writeable = False


class Encoded(NamedTuple):
    """Rows of a format: the array of its `width` in bits holds them, the others are empty.

    Up to 16 bits they are encodings, which stand for the format's own `values`.
    """

    width: int
    double: NDArray[np.float64]
    single: NDArray[np.float32]
    half: NDArray[np.uint16]
    quarter: NDArray[np.uint8]
    values: NDArray[np.float64]


def encoded(y: NDArray[Any], fmt: FloatFormat) -> Encoded:
    """Wrap (rows, n) outputs, of the format or float64 values of it.

    Raises:
        ValueError: y is of another dtype.
    """
    width = _DOUBLE if y.dtype == np.float64 else fmt.storage_bits
    if y.dtype not in (np.dtype(np.float64), fmt.dtype):
        raise ValueError(f"y of {y.dtype}: it must be of {fmt}, or float64 with values of {fmt}")
    data = np.require(y, requirements=["C", "W"])
    return Encoded(
        width,
        data if width == _DOUBLE else np.empty((0, 0)),
        data if width == _SINGLE else np.empty((0, 0), np.float32),
        data.view(np.uint16) if width == _HALF else np.empty((0, 0), np.uint16),
        data.view(np.uint8) if width == _QUARTER else np.empty((0, 0), np.uint8),
        fmt.values if width <= _HALF else _NO_VALUES,
    )


def rows_of(y: Encoded, rows: slice) -> Encoded:
    """Return some rows."""
    return y._replace(
        double=y.double[rows], single=y.single[rows], half=y.half[rows], quarter=y.quarter[rows]
    )


@inlined
def widened(y: Encoded, first: int, last: int, room: Any) -> Any:
    """Return rows first..last-1 as float64, in `room` unless they are float64 already."""
    if y.width == _DOUBLE:
        return y.double[first:last]
    values = room[: last - first]
    if y.width == _SINGLE:
        _extend(y.single[first:last].reshape(-1), values.reshape(-1))
    elif y.width == _HALF:
        _decode(y.half[first:last].reshape(-1), y.values, values.reshape(-1))
    else:
        _decode(y.quarter[first:last].reshape(-1), y.values, values.reshape(-1))
    return values


@compiled
def _extend(singles: Any, values: Any) -> None:
    for i in range(singles.size):
        values[i] = singles[i]


@compiled
def _decode(codes: Any, decoded: Any, values: Any) -> None:
    for i in range(codes.size):
        values[i] = decoded[codes[i]]
