"""What users hand to the reference: checked once, at the edge, and never rounded.

Arrays of a format of `FORMATS` carry their own values, those of PyTorch, JAX and CuPy too; integers, lists
and whatever else `numpy.asarray` takes are accepted where float64 holds every value exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.foreign import library_of, to_numpy
from reference.formats import FORMATS, FloatFormat

__all__ = ["as_numpy", "as_rows", "exact_float64", "logit_rows", "values_of"]

Array = NDArray[Any]


def as_numpy(x: Any) -> Any:
    """Return another library's array as NumPy's, bit for bit, and anything else as it is.

    Raises:
        ValueError: it holds what NumPy cannot.
    """
    foreign = library_of(x) is not None or (hasattr(x, "__dlpack__") and not hasattr(x, "__array__"))
    return to_numpy(x) if foreign else x


def exact_float64(x: ArrayLike) -> NDArray[np.float64]:
    """Return the values of x as float64, exactly.

    Raises:
        ValueError: a value is not a real number that float64 holds exactly (such as the
            integer 2^53 + 1), or the dtype is no format.
    """
    x = as_numpy(x)
    array = np.asarray(x) if hasattr(x, "dtype") else np.array(x, dtype=object)
    for fmt in FORMATS.values():
        if array.dtype == fmt.dtype:
            return fmt.to_float64(array)
    if array.dtype.kind not in "iuO":
        raise ValueError(f"dtype {array.dtype}: it is one of {', '.join(FORMATS)}, or of integers")
    values = np.array([_exact(v) for v in array.ravel().tolist()], dtype=np.float64)
    return values.reshape(array.shape)


def _exact(value: Any) -> float:
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        number = float(plain)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(plain, (str, bytes, bool)) or number != plain == plain:
        raise ValueError(f"value {value!r}: float64 must hold it exactly; convert it yourself")
    return number


def as_rows(values: NDArray[np.float64], name: str = "x") -> NDArray[np.float64]:
    """Return (..., n) values as a C-contiguous (rows, n) array.

    Raises:
        ValueError: there is no last axis, or its length is 0.
    """
    if values.ndim == 0:
        raise ValueError(f"{name} of shape (): softmax needs a last axis; give at least one row")
    if values.shape[-1] == 0:
        raise ValueError(f"{name} of shape {values.shape}: rows of length 0; softmax needs a logit in a row")
    return np.ascontiguousarray(values).reshape(-1, values.shape[-1])


def logit_rows(x: ArrayLike) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Return logits as exact (rows, n) float64 values, and the shape that they came in."""
    values = exact_float64(x)
    return as_rows(values), values.shape


def values_of(y: ArrayLike, fmt: FloatFormat) -> NDArray[np.float64]:
    """Return outputs of a format as float64.

    Raises:
        ValueError: a value does not belong to the format.
    """
    values = exact_float64(y)
    alien = np.flatnonzero(~np.isnan(values) & (fmt.to_float64(fmt.from_float64(values)) != values))
    if alien.size:
        value = float(values.ravel()[alien[0]])
        raise ValueError(f"y value {value!r} ({value.hex()}): no value of {fmt}; round it to {fmt} first")
    return values
