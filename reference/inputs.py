"""What users hand to the reference: checked once, at the edge, and never rounded.

Arrays of a format of `FORMATS` carry their own values, those of PyTorch, JAX, CuPy and pandas too, in either
byte order; integers, long doubles, lists and whatever else `numpy.asarray` takes are accepted where float64
holds every value exactly. What a masked entry holds nobody says, so masked arrays are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.foreign import library_of, to_numpy
from reference.formats import FORMATS, FloatFormat

__all__ = ["as_numpy", "as_rows", "dtype_of", "exact_float64", "logit_rows", "outputs_of"]

Array = NDArray[Any]


def as_numpy(x: Any) -> Any:
    """Return an array as NumPy's in the machine's byte order, bit for bit, and anything else as it is.

    A list of arrays of one dtype and shape is stacked; so are a data frame's columns.

    Raises:
        ValueError: it holds what NumPy cannot, or has masked entries.
    """
    if library_of(x) is not None or (hasattr(x, "__dlpack__") and not hasattr(x, "__array__")):
        return to_numpy(x)
    if isinstance(x, (list, tuple)):
        return _stacked([as_numpy(entry) for entry in x]) if any(map(_is_array, x)) else x
    if type(x).__module__.partition(".")[0] == "pandas":
        x = _of_pandas(x)
    if not hasattr(x, "dtype"):
        return x
    if isinstance(x, np.ma.MaskedArray):
        _refuse_missing("masked", np.ma.getmaskarray(x))
    array = np.asarray(x)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def dtype_of(x: Any) -> Any:
    """Return the dtype that the entries of an array, or of lists of numbers, have in common.

    Raises:
        ValueError: there are several.
    """
    array = as_numpy(x)
    if hasattr(array, "dtype"):
        return array.dtype
    found = set(_dtypes_in(array))
    if len(found) > 1:
        raise ValueError(f"entries of {', '.join(sorted(map(str, found)))}: name the format")
    return found.pop() if found else np.dtype(np.float64)


def _dtypes_in(x: Any) -> Iterator[np.dtype[Any]]:
    """Yield the dtypes of what nested lists hold; plain numbers are of float64."""
    for entry in x if isinstance(x, (list, tuple)) else ():
        if isinstance(entry, (list, tuple)):
            yield from _dtypes_in(entry)
        else:
            yield np.dtype(getattr(entry, "dtype", np.float64))


def _of_pandas(x: Any) -> Array:
    """Return a frame's or a series' values; pandas itself would round integers that stand beside floats."""
    dtypes = set(x.dtypes) if x.ndim > 1 else {x.dtype}
    if not all(isinstance(dtype, np.dtype) for dtype in dtypes):
        _refuse_missing("missing", np.asarray(x.isna()))
    (common,) = dtypes if len(dtypes) == 1 else (np.dtype(object),)
    array: Array = x.to_numpy(dtype=getattr(common, "numpy_dtype", common))
    return array


def _refuse_missing(what: str, which: NDArray[np.bool_]) -> None:
    if which.any():
        raise ValueError(
            f"array with {what} entries: {int(which.sum())} of {which.size} hold no number; fill them in,"
            " with -inf where a logit shall count for nothing"
        )


def _is_array(entry: Any) -> bool:
    return isinstance(entry, (list, tuple)) or hasattr(entry, "dtype") or library_of(entry) is not None


def _stacked(entries: list[Any]) -> Any:
    arrays = [entry for entry in entries if hasattr(entry, "dtype")]
    alike = len({(array.dtype, array.shape) for array in arrays}) == 1
    return np.stack(arrays) if alike and len(arrays) == len(entries) else entries


def exact_float64(x: ArrayLike) -> NDArray[np.float64]:
    """Return the values of x as float64, exactly.

    Raises:
        ValueError: a value is not a real number that float64 holds exactly (such as the
            integer 2^53 + 1), the dtype is no format, rows differ in length, or entries are masked.
    """
    array = as_numpy(x)
    if not hasattr(array, "dtype"):
        array = np.array(array, dtype=object)
    fmt = FORMATS.get(array.dtype.name)
    if fmt is not None and fmt.dtype == array.dtype:
        return fmt.to_float64(array)
    if array.dtype.type is np.longdouble:
        return _narrowed(array)
    if array.dtype.kind not in "iuO":
        raise ValueError(f"dtype {array.dtype}: it is one of {', '.join(FORMATS)}, or of integers")
    entries = array.ravel().tolist()
    for row in (entry for entry in entries if isinstance(entry, (list, tuple, np.ndarray))):
        raise ValueError(f"row of {len(row)} values among rows of other lengths; give rows of one length")
    values = np.array([_exact(entry) for entry in entries], dtype=np.float64)
    return values.reshape(array.shape)


def _narrowed(array: Array) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        values: NDArray[np.float64] = array.astype(np.float64)
    lost = np.flatnonzero((values != array) & ~np.isnan(array))
    if lost.size:
        raise _inexact(array.ravel()[lost[0]])
    return values


def _exact(value: Any) -> float:
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        number = float(plain)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(plain, (str, bytes, bool)) or number != plain == plain:
        raise _inexact(value)
    return number


def _inexact(value: Any) -> ValueError:
    return ValueError(f"value {value!r}: float64 must hold it exactly; convert it yourself")


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


def outputs_of(y: ArrayLike, fmt: FloatFormat) -> Array:
    """Return outputs of a format: an array of it as it is, anything else as float64 values.

    Raises:
        ValueError: a value does not belong to the format.
    """
    array = as_numpy(y)
    if getattr(array, "dtype", None) == fmt.dtype:
        return np.asarray(array)
    values = exact_float64(array)
    alien = np.flatnonzero(~np.isnan(values) & (fmt.to_float64(fmt.from_float64(values)) != values))
    if alien.size:
        value = float(values.ravel()[alien[0]])
        raise ValueError(f"y value {value!r} ({value.hex()}): no value of {fmt}; round it to {fmt} first")
    return values
